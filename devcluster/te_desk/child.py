"""One child process of the desk: started, watched, started again when it ends by itself, ended in good order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable

from te_devcluster.errors import DevclusterError

from te_desk.output import ChildLog, tell
from te_desk.servers import Launch

FIRST_DELAY = 1.0
LAST_DELAY = 30.0
STEADY_SECONDS = 20.0
STOP_SECONDS = 15.0
READY_SECONDS = 90.0
_CHUNK = 1 << 16


class Child:
    """`launch` says what to start each time; `ready` asks whether it serves.

    `before_stop` is done before an end that was asked for; when it fails, that takes away the grace, not the end.
    """

    def __init__(
        self,
        launch: Callable[[], Launch],
        ready: Callable[[], Awaitable[bool]],
        log: ChildLog,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        before_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = log.name
        self.log = log
        self.exits = 0
        self._launch = launch
        self._ready = ready
        self._stop_signal = stop_signal
        self._before_stop = before_stop
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._asked = False  # the end that comes is one that was asked for
        self._over = asyncio.Event()
        self._code = 0

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None else None

    def begin(self) -> None:
        """Start it and keep it running. Call it in the main thread: the child ends with the thread that started it."""
        self._task = asyncio.create_task(self._keep(), name=self.name)

    async def until_ready(self) -> None:
        """Wait until it serves; DevclusterError when it ends instead, which was told, or does not get there."""
        await self._until_ready(self.exits)

    async def _until_ready(self, exits: int) -> None:
        end = time.monotonic() + READY_SECONDS
        while not (self._process is not None and await self._ready()):
            if self.exits != exits:
                raise DevclusterError(f"{self.name} ended at its start", "see its last words above")
            if time.monotonic() > end:
                raise DevclusterError(f"{self.name} is not ready after {READY_SECONDS:.0f} s:\n{self.log.last_words()}")
            if self._task is not None and self._task.done():
                await self._task  # what kept it from starting at all
            await asyncio.sleep(0.05)

    async def restart(self) -> float:
        """End it in good order and start it again; the seconds until it served. DevclusterError when it does not."""
        begun, exits = time.monotonic(), self.exits
        self._asked = True
        self._wake.set()  # it may be waiting for its next attempt
        before = self._process
        if before is not None:
            await self._end()
        while self._process is before or self._process is None:
            if self._task is None or self._task.done():
                raise DevclusterError(f"{self.name} is not kept running any more")
            await asyncio.sleep(0.02)
        await self._until_ready(exits)
        return time.monotonic() - begun

    async def stop(self) -> None:
        """End it for good, in good order, by force after a while."""
        self._over.set()
        self._wake.set()
        await self._end()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self.log.close()

    def kill(self) -> None:
        """End it at once and for good."""
        self._over.set()
        self._wake.set()
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if self._before_stop is not None and process.returncode is None:
            with contextlib.suppress(Exception):  # the process may be broken: that is why it is started again
                await self._before_stop()
        _signal(process, self._stop_signal)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            tell(f"{self.name} did not end within {STOP_SECONDS:.0f} s; ended by force")
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while not self._over.is_set():
            begun = time.monotonic()
            await self._run_once()
            if self._over.is_set():
                return
            if self._asked:
                delay = FIRST_DELAY
                continue
            self.exits += 1
            delay = FIRST_DELAY if time.monotonic() - begun > STEADY_SECONDS else delay
            woken = await self._pause(delay)
            delay = FIRST_DELAY if woken else min(delay * 2, LAST_DELAY)

    async def _run_once(self) -> None:
        launch = await asyncio.to_thread(self._launch)
        self.log.begin()
        self._wake.clear()
        process = await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(launch.environment),
            cwd="/",
            start_new_session=True,  # a Ctrl+C of the terminal is the desk's to act upon
        )
        self._process, self._asked = process, False
        self._end_if_over(process)
        reader = asyncio.create_task(self._read(process))
        self._code = await process.wait()
        try:
            async with asyncio.timeout(1.0):
                await reader
        except TimeoutError:
            reader.cancel()  # something of its own still holds the pipe
        self._process = None

    def _end_if_over(self, process: asyncio.subprocess.Process) -> None:
        """The end was asked for while it started, and found nothing to end."""
        if self._over.is_set():
            _signal(process, self._stop_signal)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        rest = b""
        while chunk := await process.stdout.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.log.line(line.decode(errors="replace"))
            if len(rest) > _CHUNK:
                self.log.line(rest.decode(errors="replace"))
                rest = b""
        self.log.line(rest.decode(errors="replace"))

    async def _pause(self, delay: float) -> bool:
        """Say that it ended, and wait; True when it is asked for before the time."""
        how = f"with code {self._code}" if self._code >= 0 else f"by {signal.Signals(-self._code).name}"
        tell(
            f"{self.name} ended by itself {how}; again in {delay:.0f} s. Its last words ({self.log.file}):\n"
            f"{self.log.last_words() or '    (none)'}"
        )
        try:
            async with asyncio.timeout(delay):
                return await self._wake.wait()
        except TimeoutError:
            return False


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.send_signal(number)
