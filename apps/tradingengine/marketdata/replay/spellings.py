"""Ticks of one instrument under two spellings in one file, which no order of time can tell from trades of their own.

Bars show it: the same minute comes twice. Of ticks several in one second are the rule, and a recorder that subscribed
to `RELIANCE` and to `RELIANCE-EQ` wrote every trade twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pyarrow.compute as pc

MEND = "Keep the rows of one spelling on each day"
_EPOCH = date(1970, 1, 1)


class Spellings:
    """The spelling that each day and ticker of one file had first; a day may have another than the day before."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, str], str] = {}

    def second(self, symbols: Any, tickers: Any, days: Any) -> tuple[int, str, int] | None:
        """Of the next batch: the first row with a second spelling, what it is, and how many rows; None without one.

        `symbols` are as recorded, `tickers` their names, `days` IST dates as days since 1970-01-01.
        """
        found: list[tuple[int, str, int]] = []
        for symbol, rows in groups(symbols):
            ticker, own = tickers[rows[0].as_py()].as_py(), pc.take(days, rows)
            for entry in pc.value_counts(own).to_pylist():
                day, count = entry["values"], entry["counts"]
                first = self._first.setdefault((day, ticker), symbol)
                if first != symbol:
                    row = rows[pc.index(own, day).as_py()].as_py()
                    found.append((row, _words(day, ticker, symbol, first), count))
        if not found:
            return None
        row, what, _ = min(found)
        return row, what, sum(count for _, _, count in found)


def groups(symbols: Any) -> Iterator[tuple[str, Any]]:
    """Each symbol of a batch with the row numbers it has, in order."""
    encoded = pc.dictionary_encode(symbols)
    for code, symbol in enumerate(encoded.dictionary.to_pylist()):
        yield symbol, pc.indices_nonzero(pc.equal(encoded.indices, code))


def _words(day: int, ticker: str, symbol: str, first: str) -> str:
    return (
        f"ticks of {ticker} on {_EPOCH + timedelta(days=day)} are here as {symbol} and above as {first}: each trade "
        "would be played twice"
    )
