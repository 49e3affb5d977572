"""Validation of recorded ticks and bars: every row, in batches, so that memory does not grow with the file.

A row is named by its number in the file, the first data row being 1. Checks are done on whole columns by Arrow; only
the rows that fail come to Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradingengine.marketdata.errors import Defect

BATCH_ROWS = 65_536
DEFECTS_PER_FILE = 20
IST_OFFSET_S = 19_800
DAY_S = 86_400
EARLIEST_TS = 631_152_000  # 1990-01-01; anything before or after the bounds is a unit slip, such as milliseconds
LATEST_TS = 4_102_444_800  # 2100-01-01
PAISE_TOLERANCE = 1e-3

TICK_COLUMNS = ("symbol", "ts", "ltp", "day_volume")
BAR_COLUMNS = ("symbol", "ts", "open", "high", "low", "close")
MEND_COPY = "Copy the file again from its source, whole"
MEND_ROW = "Correct or remove the row, or copy the file again from its source"


@dataclass(slots=True)
class TableFindings:
    """What one pass over one Parquet file found.

    `days` maps the IST date's ordinal since 1970-01-01 and the symbol to the number of rows.
    `tick_paise` is the price step of each symbol: 5 when all its prices are multiples of 0.05, else 1.
    """

    rows: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    days: dict[tuple[int, str], int] = field(default_factory=dict)
    tick_paise: dict[str, int] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)


@dataclass(slots=True)
class _Pass:
    """State of one pass over one file."""

    name: str
    bars: bool
    offset: int = 0
    last_seen: dict[str, int] = field(default_factory=dict)
    found: TableFindings = field(default_factory=TableFindings)

    def report(self, row: int | None, what: str, mend: str = MEND_ROW) -> None:
        """Note a defect; `row` counts from 0 within the current batch."""
        if len(self.found.defects) < DEFECTS_PER_FILE:
            where = "" if row is None else f"row {self.offset + row + 1}"
            self.found.defects.append(Defect(self.name, where, what, mend))


def inspect_table(path: Path, *, bars: bool) -> TableFindings:
    """Check every row of a file of bars or ticks.

    Returns counts, extent and defects (at most 20); never raises for a bad file: an unreadable one is a defect.
    """
    state = _Pass(path.name, bars)
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        state.report(None, f"not a readable Parquet file ({_first_line(error)})", MEND_COPY)
        return state.found
    with file:
        columns = _columns(state, file.schema_arrow, bars=bars)
        if columns is None:
            return state.found
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                _inspect_batch(state, batch)
                state.offset += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            state.report(0, f"the file cannot be read from here on ({_first_line(error)})", MEND_COPY)
    state.found.rows = state.offset
    if state.offset == 0 and not state.found.defects:
        state.report(None, "the file holds no rows", MEND_COPY)
    return state.found


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _columns(state: _Pass, schema: Any, *, bars: bool) -> list[str] | None:
    """Names of the columns to read, or None after reporting what is wrong with the schema."""
    wanted = list(BAR_COLUMNS if bars else TICK_COLUMNS)
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        state.report(None, f"column {', '.join(missing)} is missing (found: {', '.join(schema.names)})", MEND_COPY)
        return None
    if bars and "volume" in schema.names:
        wanted.append("volume")
    wrong = [_type_slip(schema.field(name)) for name in wanted]
    for slip in filter(None, wrong):
        state.report(None, slip, "Write the column with the type that the documentation of market data gives")
    return None if any(wrong) else wanted


def _type_slip(column: Any) -> str | None:
    """Sentence about a column of the wrong type, or None."""
    kind = column.type
    if column.name == "symbol":
        fits, wanted = pa.types.is_string(kind) or pa.types.is_large_string(kind), "text"
    elif column.name in ("ts", "volume", "day_volume"):
        fits, wanted = pa.types.is_integer(kind), "whole numbers"
    else:
        fits, wanted = pa.types.is_floating(kind) or pa.types.is_integer(kind), "numbers"
    return None if fits else f"column {column.name} has type {kind}; needed: {wanted}"


def _inspect_batch(state: _Pass, batch: Any) -> None:
    before = len(state.found.defects)
    for name in batch.schema.names:
        _flag(state, pc.is_null(batch[name], nan_is_null=True), f"{name} is empty")
    if len(state.found.defects) > before:
        return
    _flag(state, pc.equal(pc.utf8_length(batch["symbol"]), 0), "symbol is empty")
    ts = pc.cast(batch["ts"], pa.int64())
    _flag(
        state,
        pc.or_(pc.less(ts, EARLIEST_TS), pc.greater_equal(ts, LATEST_TS)),
        "ts {ts} is not a time in epoch seconds UTC",
        ts=ts,
    )
    _check_prices(state, batch)
    if len(state.found.defects) > before:
        return
    _check_order(state, batch["symbol"], ts)
    _count(state, batch, ts)


def _flag(state: _Pass, mask: Any, text: str, **columns: Any) -> None:
    """Report the rows where `mask` is true; `{name}` in `text` stands for that column's value in the row."""
    for row in pc.indices_nonzero(mask)[:DEFECTS_PER_FILE].to_pylist():
        state.report(row, text.format(**{name: column[row] for name, column in columns.items()}))


def _check_prices(state: _Pass, batch: Any) -> None:
    prices = ("open", "high", "low", "close") if state.bars else ("ltp",)
    for name in prices:
        column = pc.cast(batch[name], pa.float64())
        _flag(state, pc.less_equal(column, 0), name + " {value} is not above zero", value=column)
        paise = pc.multiply(column, 100)
        off = pc.greater(pc.abs(pc.subtract(paise, pc.round(paise))), PAISE_TOLERANCE)
        infinite = pc.is_inf(column)
        _flag(
            state,
            pc.or_(pc.fill_null(off, True), infinite),
            name + " {value} is not a whole number of paise",
            value=column,
        )
    if state.bars:
        _check_extremes(state, batch)
    volume = "volume" if state.bars else "day_volume"
    if volume in batch.schema.names:
        _flag(state, pc.less(batch[volume], 0), volume + " {value} is below zero", value=batch[volume])


def _check_extremes(state: _Pass, batch: Any) -> None:
    high, low, first, last = (pc.cast(batch[name], pa.float64()) for name in ("high", "low", "open", "close"))
    _flag(state, pc.less(high, low), "high {high} is below low {low}", high=high, low=low)
    ordered = pc.greater_equal(high, low)
    _flag(
        state,
        pc.and_(ordered, pc.less(high, pc.max_element_wise(first, last))),
        "high {high} is below open {first} or close {last}",
        high=high,
        first=first,
        last=last,
    )
    _flag(
        state,
        pc.and_(ordered, pc.greater(low, pc.min_element_wise(first, last))),
        "low {low} is above open {first} or close {last}",
        low=low,
        first=first,
        last=last,
    )


def _groups(symbols: Any) -> Iterator[tuple[str, Any]]:
    """Each symbol of a batch with the row numbers it has, in order."""
    encoded = pc.dictionary_encode(symbols)
    for code, symbol in enumerate(encoded.dictionary.to_pylist()):
        yield symbol, pc.indices_nonzero(pc.equal(encoded.indices, code))


def _check_order(state: _Pass, symbols: Any, ts: Any) -> None:
    """Times of one symbol must rise; ticks may share a second, bars may not share a minute."""
    for symbol, rows in _groups(symbols):
        times = pc.take(ts, rows)
        previous = state.last_seen.get(symbol)
        if previous is not None and (times[0].as_py() < previous or (state.bars and times[0].as_py() == previous)):
            state.report(rows[0].as_py(), _order_text(symbol, times[0].as_py(), previous))
        if len(times) > 1:
            later, earlier = times[1:], times[:-1]
            wrong = pc.less_equal(later, earlier) if state.bars else pc.less(later, earlier)
            for at in pc.indices_nonzero(wrong)[:DEFECTS_PER_FILE].to_pylist():
                state.report(rows[at + 1].as_py(), _order_text(symbol, later[at].as_py(), earlier[at].as_py()))
        state.last_seen[symbol] = times[-1].as_py()
    if state.bars:
        _flag(state, pc.not_equal(_modulo(ts, 60), 0), "ts {ts} is not the start of a minute", ts=ts)


def _order_text(symbol: str, ts: int, previous: int) -> str:
    relation = "repeats" if ts == previous else "is before"
    return f"ts {ts} of {symbol} {relation} the one of its row above ({previous})"


def _modulo(values: Any, divisor: int) -> Any:
    return pc.subtract(values, pc.multiply(pc.divide(values, divisor), divisor))


def _count(state: _Pass, batch: Any, ts: Any) -> None:
    found = state.found
    extent = pc.min_max(ts).as_py()
    found.first_ts = extent["min"] if found.first_ts is None else min(found.first_ts, extent["min"])
    found.last_ts = extent["max"] if found.last_ts is None else max(found.last_ts, extent["max"])
    days = pc.divide(pc.add(ts, IST_OFFSET_S), DAY_S)
    prices = [batch[name] for name in (("open", "high", "low", "close") if state.bars else ("ltp",))]
    for symbol, rows in _groups(batch["symbol"]):
        for entry in pc.value_counts(pc.take(days, rows)).to_pylist():
            key = (entry["values"], symbol)
            found.days[key] = found.days.get(key, 0) + entry["counts"]
        step = found.tick_paise.get(symbol, 5)
        if step == 5 and any(_off_five(pc.take(column, rows)) for column in prices):
            step = 1
        found.tick_paise[symbol] = step


def _off_five(column: Any) -> bool:
    paise = pc.cast(pc.round(pc.multiply(pc.cast(column, pa.float64()), 100)), pa.int64())
    return bool(pc.any(pc.not_equal(_modulo(paise, 5), 0)).as_py())
