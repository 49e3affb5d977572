"""The lock of the state directory: two executors never share one."""

import asyncio
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tradingengine.errors import TradingEngineError

_POLL_SECONDS: Final = 0.1


class StateLockedError(TradingEngineError):
    """Another process holds the state directory."""

    code = "state_locked"
    title = "Another executor holds this state directory"


class StateLock:
    """An exclusive flock on `<state>/lock`; the kernel frees it when the process dies, however it dies."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is taken before `acquire`."""
        self._path = state_dir / "lock"
        self._file: int | None = None

    async def acquire(self, timeout: float = 30.0) -> None:
        """Take the lock, waiting for an executor that is just stopping; StateLockedError after `timeout` seconds."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "an unknown process"
                    os.close(file)
                    raise StateLockedError(
                        f"{self._path.parent} is in use by {holder}",
                        mend="Stop the other executor; one journal has one executor.",
                    ) from None
                await asyncio.sleep(_POLL_SECONDS)
            else:
                self._file = file
                with suppress(OSError):  # a full disk: the lock holds, only its holder's name is missing
                    os.ftruncate(file, 0)
                    os.pwrite(file, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
                return

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
