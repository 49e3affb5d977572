"""Text for people: colours where somebody looks, columns, durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from tradingengine_operator.flows.state import parse_time

_COLOURS = {"good": "32", "bad": "31", "busy": "33", "dim": "2", "bold": "1"}
_TREE = {"├─ ": "|- ", "└─ ": "`- ", "│  ": "|  ", "→": "->", "…": "..."}


@dataclass(frozen=True)
class Cell:
    """A text of a table, and how it looks: good, bad, busy, dim, bold, or plain when empty."""

    text: str
    look: str = ""


@dataclass(frozen=True)
class Style:
    """What a stream can show."""

    colour: bool = False
    unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> Style:
        """Colours only for a terminal, and for none that NO_COLOR or TERM=dumb speaks for."""
        wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        encoding = (stream.encoding or "ascii").lower().replace("-", "")
        return cls(stream.isatty() and wanted, encoding.startswith("utf"))

    def text(self, text: str, look: str = "") -> str:
        """A text as this stream shows it."""
        if not self.unicode:
            for sign, plain in _TREE.items():
                text = text.replace(sign, plain)
            text = text.encode("ascii", "replace").decode()
        if not self.colour or look not in _COLOURS or not text.strip():
            return text
        return f"\x1b[{_COLOURS[look]}m{text}\x1b[0m"


@dataclass
class Table:
    """Rows of cells under a head; the last column is as long as it is."""

    head: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell | str) -> None:
        """One more row."""
        self.rows.append([cell if isinstance(cell, Cell) else Cell(cell) for cell in cells])

    def lines(self, style: Style) -> list[str]:
        """The table with columns as wide as their widest text; no line ends in blanks."""
        texts = [list(self.head), *([style_free(cell.text, style) for cell in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in texts) for column in range(len(self.head))]
        looks = [["dim"] * len(self.head), *([cell.look for cell in row] for row in self.rows)]
        lines = []
        for row, look in zip(texts, looks, strict=True):
            last = max((column for column, text in enumerate(row) if text), default=-1)
            padded = [text if column >= last else text.ljust(widths[column]) for column, text in enumerate(row)]
            shown = [style.text(text, look[column]) for column, text in enumerate(padded[: last + 1])]
            lines.append("  ".join(shown))
        return lines


def style_free(text: str, style: Style) -> str:
    """The text as the stream can show it, without colours."""
    return Style(False, style.unicode).text(text)


def duration(seconds: float) -> str:
    """Seconds as people say them: `0s`, `42m10s`, `3h5m`, `12d4h`."""
    whole = max(0, int(seconds))
    for unit, size, lower, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f"{rest}{lower}" if rest else "")
    return f"{whole}s"


def seconds_since(text: Any, now: datetime) -> float | None:
    """Seconds since an RFC 3339 time, None when there is none that can be read."""
    try:
        return (now - parse_time(str(text))).total_seconds() if text else None
    except ValueError:
        return None


def percent(value: float) -> str:
    """A weight with as many digits as it has, at most one: `10 %`, `0.5 %`."""
    return f"{value:.1f}".removesuffix(".0") + " %"
