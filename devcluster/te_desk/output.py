"""What a desk says: its own lines, and of its children's only what went wrong, the whole of it in files."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from te_devcluster.console import say

MAX_BYTES = 20_000_000
LAST_WORDS = 12
_SEVERE = frozenset({"error", "critical", "fatal", "panic"})
_OWN_FIELDS = frozenset({"at", "time", "level", "logger", "message", "component", "release", "slot", "pod"})


def tell(text: str) -> None:
    """One line on stderr with the time since the start. A terminal that is gone hinders nothing, the end least."""
    with contextlib.suppress(OSError, ValueError):
        say(text)


def severe_line(line: str) -> str:
    """A child's log line as a person should see it if it tells of an error; empty otherwise.

    Ours and Traefik's are JSON objects with a level; what is no JSON is what Python or Redis write when they fail.
    """
    try:
        record = json.loads(line)
    except ValueError:
        return line.rstrip()
    if not isinstance(record, dict) or str(record.get("level", "")).lower() not in _SEVERE:
        return ""
    more = {key: value for key, value in record.items() if key not in _OWN_FIELDS}
    trace = more.pop("exc_info", "")
    fields = ", ".join(f"{key}={value}" for key, value in more.items())
    return f"{record.get('message', '')}{f' ({fields})' if fields else ''}{f'{chr(10)}{trace}' if trace else ''}"


def severe_of_postgres(line: str) -> str:
    """The same for a line of Postgres."""
    passing = "the database system is" in line  # starting up, shutting down: said to whoever asks too early or too late
    return line.rstrip() if not passing and any(f"{word}:" in line for word in ("ERROR", "FATAL", "PANIC")) else ""


def severe_of_redis(line: str) -> str:
    """The same for a line of Redis, which marks what is serious by `#`."""
    return line.rstrip() if " # " in line else ""


class ChildLog:
    """The log of one child: into its file, bounded, and what is severe (or, when `verbose`, all) to the terminal."""

    def __init__(self, name: str, folder: Path, *, verbose: bool, severe: Callable[[str], str] = severe_line) -> None:
        self.name = name
        self.file = folder / f"{name}.log"
        self.muted = False
        self._verbose = verbose
        self._severe = severe
        self._last: deque[str] = deque(maxlen=LAST_WORDS)
        self._handler = RotatingFileHandler(self.file, maxBytes=MAX_BYTES, backupCount=1, errors="replace")

    def line(self, text: str) -> None:
        """Take one line, without its end."""
        if not text.strip():
            return
        self._last.append(text)
        self._handler.emit(logging.makeLogRecord({"msg": text}))
        if self._verbose:
            tell(f"{self.name} | {text}")
        elif not self.muted and (shown := self._severe(text)):
            tell(f"{self.name}: {shown}")

    def last_words(self) -> str:
        """The end of what it said since its last start, indented."""
        return "\n".join(f"    {line[:400]}" for line in self._last)

    def begin(self) -> None:
        """A new process writes from here on."""
        self._last.clear()

    def close(self) -> None:
        """Nothing is written any more."""
        self._handler.close()
