"""One recorded day out of the files that hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import IST
from tradingengine.marketdata.replay.folder import DataFolder
from tradingengine.marketdata.replay.overlap import with_file
from tradingengine.marketdata.replay.rows import read_rows
from tradingengine.marketdata.replay.spellings import groups

_DAY_S = 86_400
_TICKS = ("symbol", "ts", "ltp", "day_volume")
_BARS = ("symbol", "ts", "open", "high", "low", "close", "volume")


def load_bars(folder: DataFolder, day: date, holders: Mapping[str, tuple[str, ...]]) -> list[tuple[str, Candle]]:
    """Recorded minutes of one day by ticker, by time and then in the files' order; one that comes twice comes once.

    DataFolderError when a file changed or vanished since it was checked.
    """
    table = _load(folder, day, holders, _BARS)
    candles: dict[tuple[str, int], Candle] = {}
    for ticker, ts, first, high, low, last, volume in zip(*(table[name].to_pylist() for name in _BARS), strict=True):
        if (ticker, ts) not in candles:
            candles[ticker, ts] = Candle(
                symbol=f"NSE:{ticker}",
                interval="1m",
                time=ts,
                open=first,
                high=high,
                low=low,
                close=last,
                volume=volume,
            )
    return [(ticker, candle) for (ticker, _), candle in candles.items()]


def load_ticks(folder: DataFolder, day: date) -> Any:
    """A table of the day's ticks (symbol, ts, ltp in paise, day_volume) by time; what files share comes once."""
    holders = folder.ticks.get(day, {})
    table = _load(folder, day, holders, _TICKS)
    if any(len(files) > 1 for files in holders.values()):
        table = _merged(table, {ticker for ticker, files in holders.items() if len(files) > 1})
    return table.select(_TICKS)


def _merged(table: Any, split: set[str]) -> Any:
    """Without the ticks that a second file has of a time that the one before holds already; they are the same."""
    wanted = [True] * table.num_rows
    files, times = table["file"].combine_chunks(), table["ts"].combine_chunks()
    for ticker, rows in groups(table["symbol"].combine_chunks()):
        if ticker not in split:
            continue
        parts = []
        for _, held in groups(pc.take(files, rows)):
            own = pc.take(rows, held)
            parts.append((pc.take(times, own).to_pylist(), own.to_pylist()))
        parts.sort(key=lambda part: part[0][0])
        until = -1
        for seconds, own in parts:
            if seconds[0] < until:
                for second, row in zip(seconds, own, strict=True):
                    wanted[row] = second > until
            until = max(until, seconds[-1])
    return table.filter(pa.array(wanted))


def _load(folder: DataFolder, day: date, holders: Mapping[str, tuple[str, ...]], columns: tuple[str, ...]) -> Any:
    """The day's rows of each ticker from its files, by ts, then in the order of files and rows."""
    start = int(datetime.combine(day, time(), tzinfo=IST).astimezone(UTC).timestamp())
    parts = []
    for file in sorted({file for files in holders.values() for file in files}):
        tickers = [ticker for ticker, files in holders.items() if file in files]
        rows = read_rows(folder.path / file, _selector(start, tickers), folder.names, bars=columns is _BARS)
        parts += [with_file(table, file) for table in rows]
    if not parts:
        return pa.table({name: pa.array([], pa.string() if name == "symbol" else pa.int64()) for name in columns})
    table = pa.concat_tables(parts)
    table = table.append_column("place", pa.array(range(table.num_rows), pa.int64()))
    return table.take(pc.sort_indices(table, sort_keys=[("ts", "ascending"), ("place", "ascending")]))


def _selector(start: int, tickers: list[str]) -> Callable[[Any], Any]:
    wanted = pa.array(tickers, pa.string())

    def select(table: Any) -> Any:
        inside = pc.and_(pc.greater_equal(table["ts"], start), pc.less(table["ts"], start + _DAY_S))
        return pc.and_(inside, pc.is_in(table["symbol"], value_set=wanted))

    return select
