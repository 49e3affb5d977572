"""The columns of a recording, whatever their spelling and type: one reading for the check and for the replay.

Taken: names in any case; times as whole seconds, milli-, micro- or nanoseconds since 1970 and as time stamps with a
time zone; text in any of Arrow's forms; prices as double or single precision, decimals or whole rupees. Everything
leaves here as epoch seconds and whole paise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

TICK_COLUMNS = ("symbol", "ts", "ltp", "day_volume")
BAR_COLUMNS = ("symbol", "ts", "open", "high", "low", "close")
BAR_PRICES = ("open", "high", "low", "close")
EARLIEST_TS = 631_152_000  # 1990-01-01, epoch seconds
LATEST_TS = 4_102_444_800  # 2100-01-01
MOST_RUPEES = 1e13
SINGLE = 2.0**-24
"""Half a step of single precision, relative: what rounding to it may have changed."""
MOST_SINGLE_RUPEES = 131_072.0
"""From here on neighbours in single precision are more than a paisa apart."""
_NOISE_PAISE = 1e-3  # what binary arithmetic leaves of a whole number of paise
_STAMP_UNITS: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TIME_NAMES = ("timestamp", "datetime", "date", "time", "ts_utc", "epoch")

MEND_LAYOUT = "Write the file with the columns that docs/user/market-data.md gives"
MEND_ZONE = (
    "Say the time zone before writing: df['ts'] = df['ts'].dt.tz_localize('Asia/Kolkata'), or 'UTC' where it is that"
)
MEND_SECONDS = "Write ts as whole epoch seconds UTC (int64) or as a time stamp with a time zone"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file spells the columns: our name -> its name; `units` of `ts` are in a second."""

    bars: bool
    names: Mapping[str, str]
    units: int

    @property
    def prices(self) -> tuple[str, ...]:
        """The columns that hold prices."""
        return BAR_PRICES if self.bars else ("ltp",)

    @property
    def volume(self) -> str:
        """The name of the column of volumes; of bars it may be absent from `names`."""
        return "volume" if self.bars else "day_volume"


@dataclass(frozen=True, slots=True)
class LayoutSlip:
    """Why columns cannot be read, and the way out."""

    what: str
    mend: str


def read_layout(schema: Any, first_ts: Callable[[str], Any], *, bars: bool) -> Layout | list[LayoutSlip]:
    """The layout of a file by its schema; `first_ts` gives the first value of a named column (None: there is none)."""
    wanted = [*(BAR_COLUMNS if bars else TICK_COLUMNS), *(["volume"] if bars else [])]
    found: dict[str, list[str]] = {}
    for name in schema.names:
        found.setdefault(name.strip().lower(), []).append(name)
    slips = [
        LayoutSlip(f"column {name} is there {len(found[name])} times ({', '.join(found[name])})", MEND_LAYOUT)
        for name in wanted
        if len(found.get(name, ())) > 1
    ]
    missing = [name for name in wanted if name not in found and not (bars and name == "volume")]
    if missing:
        slips.append(_missing(missing, schema.names, set(found)))
    if slips:
        return slips
    names = {name: found[name][0] for name in wanted if name in found}
    slips = [slip for name in names if (slip := _type_slip(name, schema.field(names[name]).type)) is not None]
    if slips:
        return slips
    return Layout(bars, names, _units(schema.field(names["ts"]).type, lambda: first_ts(names["ts"])))


def _missing(missing: list[str], names: list[str], found: set[str]) -> LayoutSlip:
    mend = MEND_LAYOUT
    likely = next((name for name in _TIME_NAMES if name in found), None)
    if "ts" in missing and likely is not None:
        mend = f"Rename {likely} to ts if that is the start of the minute, or of the trade"
    return LayoutSlip(f"column {', '.join(missing)} is missing (found: {', '.join(names)})", mend)


def _type_slip(name: str, kind: Any) -> LayoutSlip | None:
    types = pa.types
    if name == "symbol":
        text = kind.value_type if types.is_dictionary(kind) else kind
        fits = types.is_string(text) or types.is_large_string(text) or types.is_string_view(text)
        return None if fits else LayoutSlip(f"column symbol has type {kind}; needed: text", MEND_LAYOUT)
    if name == "ts":
        return _time_slip(kind)
    if name in ("volume", "day_volume"):
        fits, needed = types.is_integer(kind) or types.is_floating(kind), "whole numbers"
    else:
        fits, needed = types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind), "numbers"
        if types.is_float16(kind):
            mend = "Write prices as double from their source: half precision has lost them"
            return LayoutSlip(f"column {name} has half precision, which holds no prices", mend)
    return None if fits else LayoutSlip(f"column {name} has type {kind}; needed: {needed}", MEND_LAYOUT)


def _time_slip(kind: Any) -> LayoutSlip | None:
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return None
        return LayoutSlip(f"column ts has type {kind} without a time zone: IST or UTC?", MEND_ZONE)
    if pa.types.is_integer(kind):
        return None
    return LayoutSlip(f"column ts has type {kind}; needed: whole numbers or time stamps with a time zone", MEND_SECONDS)


def _units(kind: Any, first: Callable[[], Any]) -> int:
    """Units of `ts` in a second: the stamps' own, of whole numbers the one in which the first lies in our times."""
    if pa.types.is_timestamp(kind):
        return _STAMP_UNITS[kind.unit]
    value = first()
    if value is None:
        return 1
    return next((unit for unit in _STAMP_UNITS.values() if EARLIEST_TS <= value // unit < LATEST_TS), 1)


def raw_times(column: Any) -> Any:
    """`ts` as 64-bit whole numbers in the file's unit."""
    if pa.types.is_timestamp(column.type):
        return pc.cast(column, pa.int64())
    # A number too large for 64 bits with sign is no time either, and is found as such.
    return pc.cast(column, pa.int64(), safe=False)


def seconds(times: Any, layout: Layout) -> Any:
    """Epoch seconds of raw times."""
    return times if layout.units == 1 else pc.divide(times, layout.units)


def plain_text(column: Any) -> Any:
    """Text as one array of strings, whatever its form."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.cast(column, pa.string())


def rename(symbols: Any, name: Callable[[str], str]) -> Any:
    """Symbols with the name that `name` gives each of them; it is asked once for each different one."""
    encoded = pc.dictionary_encode(symbols)
    names = pa.array([None if text is None else name(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return names.take(encoded.indices)


def rupees(column: Any) -> Any:
    """Prices as double precision."""
    return pc.cast(column, pa.float64())


def paise(values: Any) -> Any:
    """Whole paise, to nearest, of double rupees that are finite and within bounds."""
    return pc.cast(pc.round(pc.multiply(values, 100)), pa.int64())


def off_paise(values: Any, rounded: Any, *, single: bool) -> Any:
    """Where double rupees are no whole paise, beyond what binary fractions or single precision (2**-24) explain.

    Doubles that once were singles are seen as such: a later column type does not bring back what was lost.
    """
    apart = pc.abs(pc.subtract(pc.multiply(values, 100), pc.cast(rounded, pa.float64())))
    noisy = pc.greater(apart, _NOISE_PAISE)
    narrow = pc.less_equal(apart, pc.multiply(pc.abs(values), SINGLE * 100))
    narrow = pc.and_(narrow, pc.less(values, MOST_SINGLE_RUPEES))
    if not single:
        narrow = pc.and_(narrow, pc.equal(pc.cast(pc.cast(values, pa.float32()), pa.float64()), values))
    return pc.and_(noisy, pc.invert(narrow))


def too_coarse(values: Any, *, single: bool) -> Any:
    """Where single precision cannot tell one paisa from the next."""
    return pc.and_(pc.greater_equal(values, MOST_SINGLE_RUPEES), pa.scalar(single))


def units(column: Any) -> Any:
    """Volumes as whole numbers; none recorded is 0."""
    return pc.cast(pc.fill_null(pc.if_else(_unknown(column), None, column), 0), pa.int64(), safe=False)


def broken_volume(column: Any) -> Any:
    """Where a volume is below zero or has a fraction; none recorded is no fault."""
    known = pc.fill_null(pc.if_else(_unknown(column), None, column), 0)
    wrong = pc.or_(pc.less(known, 0), pc.greater(pc.cast(known, pa.float64(), safe=False), 1e15))
    if pa.types.is_floating(column.type):
        wrong = pc.or_(wrong, pc.not_equal(known, pc.round(known)))
    return wrong


def _unknown(column: Any) -> Any:
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
