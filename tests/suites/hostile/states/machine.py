"""Seconds of a machine that has time for us: a bound that holds on a free machine must not break on a busy one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Work that is measured, and how often: a fiftieth of one core.
_SPIN_SECONDS = 0.02
_EVERY_SECONDS = 1.0
#: How fast the figure follows.
_WEIGHT = 0.3


class MachineClock:
    """Grows as fast as wall time while a process that wants to run does, and slower by as much as it has to wait."""

    def __init__(self) -> None:
        self.slowdown = 1.0
        self._read = time.monotonic()
        self._seconds = 0.0

    def seconds(self) -> float:
        """Seconds since it began."""
        now = time.monotonic()
        self._seconds += (now - self._read) / self.slowdown
        self._read = now
        return self._seconds

    async def run(self) -> None:
        """Measures until cancelled."""
        while True:
            found = await asyncio.to_thread(_slowdown)
            self.seconds()
            self.slowdown += _WEIGHT * (max(1.0, found) - self.slowdown)
            await asyncio.sleep(_EVERY_SECONDS)


def _slowdown() -> float:
    """Wall seconds for each second of work of one thread."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < _SPIN_SECONDS:
        sum(range(1000))
    return (time.monotonic() - began) / (time.thread_time() - worked)


@asynccontextmanager
async def machine_clock() -> AsyncIterator[MachineClock]:
    """A clock that measures for as long as the block lasts."""
    clock = MachineClock()
    task = asyncio.create_task(clock.run())
    try:
        yield clock
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
