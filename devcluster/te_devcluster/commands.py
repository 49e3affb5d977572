"""Running other programs to their end, waiting for conditions, and being interrupted at any moment of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from te_devcluster.console import say_at_once
from te_devcluster.errors import CommandError, DevclusterError, StoppedError, TimedOutError

GRACE = 5.0
"""Seconds that an interrupted program gets to end by itself."""
_LOOK_SECONDS = 0.5
_Handler = Callable[[int, FrameType | None], object] | int | None
_WATCHED: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Scope:
    """The programs that a group of threads runs right now, to be ended together."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()

    def check(self) -> None:
        """Raises StoppedError once the group was asked to end."""
        if self._stopped.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        """Waits that long; StoppedError when the group is asked to end meanwhile."""
        self._stopped.wait(seconds)
        self.check()

    def start(self, start: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
        """Starts a program, unless the group was asked to end, and counts it in."""
        with self._lock:  # `stop` comes before the start, or finds the program
            self.check()
            child = start()
            self._children.add(child)
        return child

    def forget(self, child: subprocess.Popen[str]) -> None:
        """It has ended."""
        with self._lock:
            self._children.discard(child)

    def stop(self) -> None:
        """Asks all to end: interrupts their programs."""
        with self._lock:
            self._stopped.set()
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends their programs by force."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._lock:
            for child in self._children:
                _signal_group(child, number)


_MAIN = Scope()
"""Never stopped: the main thread is interrupted by an exception."""
_THREAD = threading.local()


def enter_scope(scope: Scope) -> None:
    """Makes this thread one of a group."""
    _THREAD.scope = scope


def _scope() -> Scope:
    found: Scope = getattr(_THREAD, "scope", _MAIN)
    return found


def check_stopped() -> None:
    """Raises StoppedError in a worker thread that was asked to end."""
    _scope().check()


def pause(seconds: float) -> None:
    """Waits that long; StoppedError in a worker thread that is asked to end meanwhile."""
    _scope().pause(seconds)


def run(
    command: list[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120.0,
    check: bool = True,
    errors_to: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and returns it with both streams as text.

    It is a process group of its own: a Ctrl+C reaches it once, through us, and all that it started with it.
    With `errors_to` its stderr can be read in that file while it runs.
    Raises CommandError when it fails and `check` is set, TimedOutError after `timeout` seconds, DevclusterError
    when there is no such program or it does not start, StoppedError in a worker thread that is asked to end.
    """

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if errors is None else errors,
            text=True,
            errors="replace",
            env={**os.environ, **env} if env is not None else None,
            cwd=cwd,
            process_group=0,
        )

    errors = None
    try:
        with contextlib.ExitStack() as files:
            if errors_to is not None:
                errors = files.enter_context(errors_to.open("wb"))
            done = _to_its_end(start, stdin, timeout)
        if errors_to is not None:
            done.stderr = errors_to.read_text(errors="replace")
    except FileNotFoundError as error:
        raise DevclusterError(f"no program `{error.filename}`", "devcluster doctor") from error
    except subprocess.TimeoutExpired as error:
        raise TimedOutError(f"{' '.join(command[:6])} did not end within {timeout:.0f} s") from error
    except OSError as error:
        raise DevclusterError(f"`{command[0]}` does not start: {error.strerror}", "devcluster doctor") from error
    check_stopped()
    if check and done.returncode != 0:
        raise CommandError(command, done.returncode, done.stderr or done.stdout)
    return done


def _to_its_end(
    start: Callable[[], subprocess.Popen[str]], stdin: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    scope, child = _scope(), None
    try:
        with uninterrupted():
            child = scope.start(start)
        out, err = _communicate(child, stdin, timeout)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)
    except BaseException:
        if child is not None:
            with uninterrupted():
                _end(child)
        raise
    finally:
        if child is not None:
            scope.forget(child)


def _communicate(child: subprocess.Popen[str], stdin: str | None, timeout: float) -> tuple[str, str]:
    """Both streams at its end; in short waits, since a signal that arrives just before one does not end it."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        try:
            return child.communicate(stdin, min(left, _LOOK_SECONDS))
        except subprocess.TimeoutExpired:
            if left <= _LOOK_SECONDS:
                raise
            stdin = None


def _end(child: subprocess.Popen[str]) -> None:
    if child.returncode is None:  # else it ended by itself in the moment that `communicate` gives an interrupted one
        _signal_group(child, signal.SIGINT)
        end = time.monotonic() + GRACE
        # Looked at and not reaped: as long as it is there, the group's number cannot become a stranger's.
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None and time.monotonic() < end:
            time.sleep(0.02)
        _signal_group(child, signal.SIGKILL)
        child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _signal_group(child: subprocess.Popen[str], number: int) -> None:
    if child.returncode is None:  # not reaped yet
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def wait_until(
    what: str,
    condition: Callable[[], bool],
    *,
    timeout: float,
    every: float = 0.2,
    hint: Callable[[], str] | None = None,
) -> None:
    """Asks `condition` every `every` seconds until it holds; TimedOutError names `what` and `hint()` otherwise."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimedOutError(f"{what}: not within {timeout:.0f} s", hint() if hint else "")
        pause(every)


def exit_code(work: Callable[[], int], interrupted: str) -> int:
    """Runs a command line's `work` and returns its exit code; what goes wrong is said on stderr, without a traceback.

    `interrupted` is said when somebody ends it.
    """
    try:
        with interruptible():
            return work()
    except DevclusterError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder of root's: it names the file, and a traceback would not help
        sys.stderr.write(f"error: {error}\n")
        return 1


@contextmanager
def interruptible() -> Iterator[None]:
    """For a command line: the first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread.

    Any later one only says that the end is being made: nothing interrupts the cleaning that the first one caused.
    """
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            say_at_once("cleaning up; a moment")
            return
        interrupted = True
        say_at_once("interrupted; ending what runs right now")
        raise KeyboardInterrupt

    before: dict[int, _Handler] = {}
    for number in _WATCHED:
        handler = signal.getsignal(number)
        # A shell's background job ignores SIGINT, which must end it all the same; nohup's SIGHUP is left ignored.
        if number != signal.SIGHUP or handler is not signal.SIG_IGN:
            before[number] = handler
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            # An interrupted program is ending, and nothing may cut that short, the interpreter's own end included.
            signal.signal(number, signal.SIG_IGN if interrupted else handler)


@contextmanager
def uninterrupted(said: str = "") -> Iterator[None]:
    """Holds SIGINT, SIGTERM and SIGHUP back until the block is done; `said` is what a person is told meanwhile.

    Between starting a process and writing down its pid an interrupt would leave a process that nobody knows of.
    Only the main thread receives signals, so in any other thread there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)
        if said:
            say_at_once(said)

    before = {number: signal.getsignal(number) for number in _WATCHED}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, hold)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
