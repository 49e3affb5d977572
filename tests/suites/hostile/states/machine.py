"""Seconds of a machine that has time for us: a bound that holds on a free machine must not break on a busy one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Work that is measured, and how often: a fiftieth of one core.
_SPIN_SECONDS = 0.02
_EVERY_SECONDS = 1.0
#: How fast the figure follows.
_WEIGHT = 0.3
#: What hangs ends, however busy the machine is.
_MOST = 8.0


class MachineClock:
    """Grows as fast as wall time while a process that wants to run does, and slower by as much as it has to wait."""

    def __init__(self) -> None:
        self.slowdown = 1.0
        self._read = time.monotonic()
        self._seconds = 0.0
        self._reading = threading.Lock()

    def seconds(self) -> float:
        """Seconds since it began."""
        with self._reading:
            now = time.monotonic()
            self._seconds += (now - self._read) / self.slowdown
            self._read = now
            return self._seconds

    def run(self, stop: threading.Event) -> None:
        """Measures until `stop`."""
        while not stop.wait(_EVERY_SECONDS):
            found = min(_MOST, max(1.0, _slowdown()))
            self.seconds()
            self.slowdown += _WEIGHT * (found - self.slowdown)


def _slowdown() -> float:
    """Wall seconds for each second of work of one thread."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < _SPIN_SECONDS:
        sum(range(1000))
    return (time.monotonic() - began) / (time.thread_time() - worked)


@contextmanager
def machine_clock() -> Iterator[MachineClock]:
    """A clock that measures, in a thread of its own, for as long as the block lasts."""
    clock, stop = MachineClock(), threading.Event()
    thread = threading.Thread(target=clock.run, args=(stop,), name="machine clock", daemon=True)
    thread.start()
    try:
        yield clock
    finally:
        stop.set()
        thread.join()
