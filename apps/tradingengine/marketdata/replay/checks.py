"""Validation of recorded ticks and bars: every row, in batches, so that memory does not grow with the file.

A row is named by its number in the file, the first data row being 1. Checks are done on whole columns by Arrow; of the
rows that fail only the first comes to Python: one defect says how many there are. The order of bars does not matter;
minutes that come twice are compared later, over all files (`overlap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay import columns as read
from tradingengine.marketdata.replay.columns import Layout
from tradingengine.marketdata.replay.spellings import MEND as MEND_SPELLING
from tradingengine.marketdata.replay.spellings import Spellings, groups

BATCH_ROWS = 65_536
IST_OFFSET_S = 19_800
DAY_S = 86_400
DAY_MINUTES = 1_440
MOST_SHOWN = 40  # characters of a wrong value

MEND_COPY = "Copy the file again from its source, whole"
MEND_ROW = "Correct or remove the row, or copy the file again from its source"
MEND_PAISE = "Write the prices as they were traded, in rupees: not adjusted, not averaged, not in another unit"
MEND_DOUBLE = "Write prices as double from their source: single precision has lost the paise"
MEND_SORT = "Sort the rows by ts, those of one second in the order of the trades"
MEND_UNIT = "Write all of ts in one unit: epoch seconds UTC"
MEND_SYMBOL = "Write the exchange's symbol: letters, digits and & - . _ + * as in M&M or BAJAJ-AUTO"
_TICKER = r"^[A-Z0-9&._+*-]{1,40}$"

DayKey = tuple[int, str]
"""IST date as days since 1970-01-01, and ticker."""


@dataclass(slots=True)
class TableFindings:
    """What one pass over one Parquet file found.

    `days` has the number of rows of each IST date (ordinal since 1970-01-01) and ticker, `minutes` its minutes of the
    day as bits of a number. `again` are the days of bars in which a row does not come after all before it. `spellings`
    are the symbols that the file has for a ticker. `tick_paise` is the price step of each ticker: 5 when all its prices
    are multiples of 0.05, else 1.
    """

    rows: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    days: dict[DayKey, int] = field(default_factory=dict)
    minutes: dict[DayKey, int] = field(default_factory=dict)
    again: set[DayKey] = field(default_factory=set)
    spellings: dict[str, set[str]] = field(default_factory=dict)
    tick_paise: dict[str, int] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)


@dataclass(slots=True)
class _Slip:
    """One kind of fault: where it was first seen, and in how many rows."""

    where: str
    what: str
    mend: str
    count: int


@dataclass(slots=True)
class _Pass:
    """State of one pass over one file."""

    name: str
    layout: Layout
    ticker: Callable[[str], str]
    offset: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    slips: dict[str, _Slip] = field(default_factory=dict)
    spelled: Spellings = field(default_factory=Spellings)
    found: TableFindings = field(default_factory=TableFindings)

    def report(self, kind: str, row: int, what: str, mend: str, count: int = 1) -> None:
        """Note rows of one kind of fault; `row`, the first, counts from 0 within the current batch."""
        slip = self.slips.get(kind)
        if slip is None:
            self.slips[kind] = _Slip(f"row {self.offset + row + 1}", what, mend, count)
        else:
            slip.count += count

    def flag(self, mask: Any, text: str, mend: str = MEND_ROW, **values: Any) -> bool:
        """Report the rows where `mask` is true; `{name}` in `text` stands for that column's value in the first."""
        rows = pc.indices_nonzero(pc.fill_null(mask, False))
        if not len(rows):
            return False
        first = rows[0].as_py()
        self.report(text, first, text.format(**{name: shown(values[name][first]) for name in values}), mend, len(rows))
        return True

    def finish(self) -> TableFindings:
        """The findings, with one defect for each kind of fault."""
        for slip in self.slips.values():
            more = "" if slip.count == 1 else f" (and {slip.count - 1} more row{'s' if slip.count > 2 else ''} like it)"
            self.found.defects.append(Defect(self.name, slip.where, slip.what + more, slip.mend))
        return self.found


def inspect_table(path: Path, *, bars: bool, ticker: Callable[[str], str] = str) -> TableFindings:
    """Check every row of a file of bars or ticks; `ticker` names a recorded symbol as the product does.

    Returns counts, extent and defects (one for each kind of fault); never raises for a bad file: an unreadable one is a
    defect.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        return _refused(path.name, f"not a readable Parquet file ({first_line(error)})", MEND_COPY)
    with file:
        layout = open_layout(file, bars=bars)
        if not isinstance(layout, Layout):
            defects = [Defect(path.name, "", slip.what, slip.mend) for slip in layout]
            return TableFindings(rows=file.metadata.num_rows, defects=defects)
        state = _Pass(path.name, layout, ticker)
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(layout.names.values())):
                _inspect_batch(state, batch)
                state.offset += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            state.report("read", 0, f"the file cannot be read from here on ({first_line(error)})", MEND_COPY)
    state.found.rows = state.offset
    if state.offset == 0 and not state.slips:
        return _refused(path.name, "the file holds no rows", MEND_COPY)
    return state.finish()


def open_layout(file: Any, *, bars: bool) -> Layout | list[read.LayoutSlip]:
    """The layout of an open Parquet file, or what is wrong with its columns."""

    def first(name: str) -> Any:
        try:
            batch = next(file.iter_batches(batch_size=1, columns=[name]), None)
        except (pa.ArrowException, OSError):
            return None  # the pass over all rows says where the file cannot be read
        return None if batch is None or not batch.num_rows else batch[0][0].as_py()

    return read.read_layout(file.schema_arrow, first, bars=bars)


def _refused(name: str, what: str, mend: str) -> TableFindings:
    return TableFindings(defects=[Defect(name, "", what, mend)])


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _inspect_batch(state: _Pass, batch: Any) -> None:
    layout, columns = state.layout, {name: batch[held] for name, held in state.layout.names.items()}
    needed = ("symbol", "ts", *layout.prices, *(() if layout.bars else ("day_volume",)))
    empty = [name for name in needed if state.flag(_empty(columns[name]), f"{name} is empty")]
    if empty:
        return
    times = read.raw_times(columns["ts"])
    ts = read.seconds(times, layout)
    outside = pc.or_(pc.less(ts, read.EARLIEST_TS), pc.greater_equal(ts, read.LATEST_TS))
    unit = next(name for name, number in _UNITS.items() if number == layout.units)
    broken = state.flag(
        outside, f"ts {{ts}} is not a time in epoch {unit} UTC, as the first row is", MEND_UNIT, ts=times
    )
    if layout.bars:
        uneven = pc.and_(pc.not_equal(modulo(times, 60 * layout.units), 0), pc.invert(outside))
        broken |= state.flag(uneven, "ts {ts} is not the start of a minute", ts=times)
    symbols = read.plain_text(columns["symbol"])
    tickers = read.rename(symbols, state.ticker)
    broken |= state.flag(pc.equal(tickers, ""), "symbol is empty")
    nameless = pc.and_(pc.not_equal(tickers, ""), pc.invert(pc.match_substring_regex(tickers, _TICKER)))
    broken |= state.flag(nameless, "symbol {symbol} is no ticker", MEND_SYMBOL, symbol=symbols)
    prices = _check_prices(state, columns)
    if broken or prices is None:
        return
    _check_order(state, symbols, tickers, ts)
    _count(state, symbols, tickers, ts, prices)


_UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}


def shown(value: Any) -> str:
    """A value of Arrow in one short line."""
    text = " ".join(str(value).split())
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."


def _empty(column: Any) -> Any:
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def _check_prices(state: _Pass, columns: dict[str, Any]) -> dict[str, Any] | None:
    """The prices in whole paise, None when they cannot all be had so."""
    prices, sound = {}, True
    for name in state.layout.prices:
        single = pa.types.is_float32(columns[name].type)
        values = read.rupees(columns[name])
        wild = pc.or_(pc.is_inf(values), pc.greater(values, read.MOST_RUPEES))
        bad = state.flag(pc.less_equal(values, 0), name + " {value} is not above zero", value=values)
        bad |= state.flag(wild, name + " {value} is not a price in rupees", value=values)
        bad |= state.flag(
            read.too_coarse(values, single=single),
            name + " {value} in single precision has no paise",
            MEND_DOUBLE,
            value=values,
        )
        if bad:
            sound = False
            continue
        prices[name] = read.paise(values)
        off = read.off_paise(values, prices[name], single=single)
        sound &= not state.flag(off, name + " {value} is not a whole number of paise", MEND_PAISE, value=values)
    volume = columns.get(state.layout.volume)
    if volume is not None:
        what = state.layout.volume + " {value} is not a whole number from zero up"
        sound &= not state.flag(read.broken_volume(volume), what, value=volume)
    if sound and state.layout.bars:
        sound = _check_extremes(state, prices, columns)
    return prices if sound else None


def _check_extremes(state: _Pass, prices: dict[str, Any], columns: dict[str, Any]) -> bool:
    """Whether high and low hold open and close; compared in paise, since binary fractions differ in the last digits."""
    high, low, first, last = (prices[name] for name in ("high", "low", "open", "close"))
    said = {"high": columns["high"], "low": columns["low"], "first": columns["open"], "last": columns["close"]}
    ordered = pc.greater_equal(high, low)
    wrong = state.flag(pc.invert(ordered), "high {high} is below low {low}", **said)
    above = pc.and_(ordered, pc.less(high, pc.max_element_wise(first, last)))
    wrong |= state.flag(above, "high {high} is below open {first} or close {last}", **said)
    below = pc.and_(ordered, pc.greater(low, pc.min_element_wise(first, last)))
    wrong |= state.flag(below, "low {low} is above open {first} or close {last}", **said)
    return not wrong


def _check_order(state: _Pass, symbols: Any, tickers: Any, ts: Any) -> None:
    """Ticks of one ticker must not go back. Bars may come in any order: the days in which they do are noted."""
    double = None if state.layout.bars else state.spelled.second(symbols, tickers, days_of(ts))
    if double is not None:
        state.report("spelling", double[0], double[1], MEND_SPELLING, double[2])
    if "spelling" in state.slips:
        return  # two spellings one after the other go back too; they are one fault
    for symbol, rows in groups(tickers):
        times = pc.take(ts, rows)
        start = state.newest.get(symbol, -1)
        newest = pc.max_element_wise(pc.cumulative_max(times), start)
        before = pa.concat_arrays([pa.array([start], pa.int64()), newest[:-1]])
        wrong = pc.indices_nonzero(pc.less_equal(times, before) if state.layout.bars else pc.less(times, before))
        state.newest[symbol] = newest[-1].as_py()
        if not len(wrong):
            continue
        if state.layout.bars:
            state.found.again.update((day, symbol) for day in pc.unique(days_of(pc.take(times, wrong))).to_pylist())
        else:
            at = wrong[0].as_py()
            what = f"ts {times[at]} of {symbol} is before one of a row above ({before[at]})"
            state.report("order", rows[at].as_py(), what, MEND_SORT, len(wrong))


def modulo(values: Any, divisor: int) -> Any:
    """The rest of whole numbers from zero up."""
    return pc.subtract(values, pc.multiply(pc.divide(values, divisor), divisor))


def days_of(ts: Any) -> Any:
    """IST dates of epoch seconds, as days since 1970-01-01."""
    return pc.divide(pc.add(ts, IST_OFFSET_S), DAY_S)


def _count(state: _Pass, symbols: Any, tickers: Any, ts: Any, prices: dict[str, Any]) -> None:
    found = state.found
    extent = pc.min_max(ts).as_py()
    found.first_ts = extent["min"] if found.first_ts is None else min(found.first_ts, extent["min"])
    found.last_ts = extent["max"] if found.last_ts is None else max(found.last_ts, extent["max"])
    days = days_of(ts)
    for symbol, rows in groups(tickers):
        found.spellings.setdefault(symbol, set()).update(pc.unique(pc.take(symbols, rows)).to_pylist())
        times, own_days = pc.take(ts, rows), pc.take(days, rows)
        for entry in pc.value_counts(own_days).to_pylist():
            key = (entry["values"], symbol)
            found.days[key] = found.days.get(key, 0) + entry["counts"]
        _note_minutes(found, symbol, times)
        step = found.tick_paise.get(symbol, 5)
        if step == 5 and any(_off_five(pc.take(column, rows)) for column in prices.values()):
            step = 1
        found.tick_paise[symbol] = step


def _note_minutes(found: TableFindings, symbol: str, times: Any) -> None:
    """Set the bits of the minutes that have rows. Only the ends of stretches without a gap come to Python."""
    minutes = pc.unique(pc.divide(pc.add(times, IST_OFFSET_S), 60))
    minutes = pc.take(minutes, pc.sort_indices(minutes))
    breaks = pc.indices_nonzero(pc.greater(pc.subtract(minutes[1:], minutes[:-1]), 1)).to_pylist()
    starts = [0, *(at + 1 for at in breaks)]
    for start, end in zip(starts, [*breaks, len(minutes) - 1], strict=True):
        first, last = minutes[start].as_py(), minutes[end].as_py()
        while first <= last:
            day = first // DAY_MINUTES
            until = min(last, (day + 1) * DAY_MINUTES - 1)
            bits = ((1 << (until - first + 1)) - 1) << (first - day * DAY_MINUTES)
            found.minutes[day, symbol] = found.minutes.get((day, symbol), 0) | bits
            first = until + 1


def _off_five(column: Any) -> bool:
    return bool(pc.any(pc.not_equal(modulo(column, 5), 0)).as_py())
