"""Progress on stderr: one line per step with elapsed time, plain when stderr is not a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

_STARTED = [time.monotonic()]
_LOCK = threading.Lock()
ending: Callable[[], str] | None = None
"""What the lines about a step that still runs end with, such as what is left of a plan."""


def elapsed() -> str:
    """Time since the program started, as `m:ss`."""
    seconds = int(time.monotonic() - _STARTED[0])
    return f"{seconds // 60}:{seconds % 60:02d}"


def begun() -> float:
    """When the program started, on the machine's monotonic clock."""
    return _STARTED[0]


def begun_at(moment: float) -> None:
    """The program goes on for another that started then: times are counted from there."""
    _STARTED[0] = moment


def say(text: str) -> None:
    """One progress line on stderr, safe from several threads."""
    with _LOCK:
        sys.stderr.write(f"[{elapsed()}] {text}\n")
        sys.stderr.flush()


def say_at_once(text: str) -> None:
    """The same for a signal handler: the code that it interrupts may be in `say` and hold its lock."""
    with contextlib.suppress(OSError):
        os.write(2, f"[{elapsed()}] {text}\n".encode())


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says what begins, and how long it took; a failure is left to the caller to tell."""
    begun = time.monotonic()
    yield
    say(f"{text} ({time.monotonic() - begun:.1f} s)")


class Heartbeat:
    """Says every `every` seconds that a long step still runs, so that silence never looks like a hang.

    `text` may be a function that is asked each time.
    """

    def __init__(self, text: str | Callable[[], str], every: float = 30.0) -> None:
        self._text = text
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._done.wait(self._every):
            text = self._text if isinstance(self._text, str) else self._text()
            left = f"; {ending()}" if ending is not None else ""
            say(f"{text}: still at it after {time.monotonic() - begun:.0f} s{left}")
