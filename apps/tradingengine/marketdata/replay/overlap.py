"""Records of one minute, or one second, in more than one place: the same is merged, what contradicts is refused.

A day may be split over files in any way, and the rows of bars may come in any order. Compared are only the days and
tickers that come more than once, at most about a million rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tradingengine.domain.clock import IST
from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay.checks import DayKey, days_of
from tradingengine.marketdata.replay.rows import read_rows

MOST_ROWS = 1_000_000
MEND = "Keep one of the two records"


class Claims:
    """Which files hold a day and ticker, with the number of rows in each, of bars or of ticks."""

    def __init__(self, *, bars: bool) -> None:
        self.bars = bars
        self.rows: dict[DayKey, dict[str, int]] = {}
        self.again: set[DayKey] = set()

    def add(self, file: str, rows: Mapping[DayKey, int], again: Iterable[DayKey]) -> None:
        """Note what a file holds; `again` are days in which its own rows may repeat."""
        for key, count in rows.items():
            self.rows.setdefault(key, {})[file] = count
        self.again.update(again)

    def doubtful(self) -> list[DayKey]:
        """Days and tickers whose rows must be compared."""
        return sorted(key for key, files in self.rows.items() if len(files) > 1 or key in self.again)


def check_overlaps(path: Path, claims: Claims, names: Mapping[str, str]) -> list[Defect]:
    """One defect for each pair of files (or one file) whose rows contradict; `names` are tickers by spelling."""
    found: dict[tuple[str, str], tuple[Defect, int]] = {}
    for part in _parts(claims):
        for ours, defect in (_bar_slips if claims.bars else _tick_slips)(path, claims, part, names):
            first, count = found.get(ours, (defect, 0))
            found[ours] = (first, count + 1)
    return [
        defect if count == 1 else Defect(defect.file, defect.where, f"{defect.what} (and {count - 1} more)", MEND)
        for defect, count in found.values()
    ]


def _parts(claims: Claims) -> Iterator[list[DayKey]]:
    part: list[DayKey] = []
    rows = 0
    for key in claims.doubtful():
        count = sum(claims.rows[key].values())
        if part and rows + count > MOST_ROWS:
            yield part
            part, rows = [], 0
        part.append(key)
        rows += count
    if part:
        yield part


def _load(path: Path, claims: Claims, part: Sequence[DayKey], names: Mapping[str, str]) -> Any:
    """The rows of the wanted days and tickers of all files, with the columns `file` and `row` (from 1)."""
    files = sorted({file for key in part for file in claims.rows[key]})
    days = pa.array(sorted({day for day, _ in part}), pa.int64())
    tickers = pa.array(sorted({ticker for _, ticker in part}), pa.string())

    def wanted(table: Any) -> Any:
        return pc.and_(pc.is_in(days_of(table["ts"]), value_set=days), pc.is_in(table["symbol"], value_set=tickers))

    tables = []
    for file in files:
        tables += [with_file(table, file) for table in read_rows(path / file, wanted, names, bars=claims.bars)]
    return pa.concat_tables(tables)


def with_file(table: Any, file: str) -> Any:
    """A table with a column that names the file of its rows."""
    return table.append_column("file", pa.array([file] * table.num_rows, pa.string()))


Slip = tuple[tuple[str, str], Defect]


def _bar_slips(path: Path, claims: Claims, part: Sequence[DayKey], names: Mapping[str, str]) -> Iterator[Slip]:
    table = _load(path, claims, part, names)
    order = [("symbol", "ascending"), ("ts", "ascending"), ("file", "ascending"), ("row", "ascending")]
    table = table.take(pc.sort_indices(table, sort_keys=order)).combine_chunks()
    before, after = table.slice(0, table.num_rows - 1), table.slice(1)
    same = pc.and_(pc.equal(before["symbol"], after["symbol"]), pc.equal(before["ts"], after["ts"]))
    values = [name for name in table.column_names if name not in ("symbol", "ts", "file", "row")]
    for name in values:
        differs = pc.and_(same, pc.not_equal(before[name], after[name]))
        for at in pc.indices_nonzero(differs).to_pylist():
            yield _contradiction(before, after, at, name)
        same = pc.and_(same, pc.invert(differs))


def _contradiction(before: Any, after: Any, at: int, name: str) -> Slip:
    one, other = ({key: table[key][at].as_py() for key in table.column_names} for table in (before, after))
    when = datetime.fromtimestamp(one["ts"], UTC).astimezone(IST)
    here, there = (_shown(name, row[name]) for row in (other, one))
    place = f"row {one['row']}" if one["file"] == other["file"] else f"{one['file']}, row {one['row']}"
    what = f"{name} of {one['symbol']} at {when:%Y-%m-%d %H:%M} IST is {here} here and {there} in {place}"
    return (one["file"], other["file"]), Defect(other["file"], f"row {other['row']}", what, MEND)


def _shown(name: str, value: int) -> str:
    return str(value) if "volume" in name else f"{value / 100:.2f}"


def _tick_slips(path: Path, claims: Claims, part: Sequence[DayKey], names: Mapping[str, str]) -> Iterator[Slip]:
    table = _load(path, claims, part, names)
    days = days_of(table["ts"])
    for day, ticker in part:
        rows = table.filter(pc.and_(pc.equal(days, day), pc.equal(table["symbol"], ticker)))
        first, *later = in_order(rows.to_pylist())
        for other in later:
            slip = _tick_slip(ticker, first, other)
            if slip is not None:
                yield slip
            first = max(first, other, key=lambda held: held[-1]["ts"])


def _tick_slip(ticker: str, one: list[dict[str, Any]], other: list[dict[str, Any]]) -> Slip | None:
    """What two files say of the time that both hold must be the same; a second at the seam may be split."""
    start, until = other[0]["ts"], min(one[-1]["ts"], other[-1]["ts"])
    if start >= one[-1]["ts"]:
        return None
    ours, theirs = ([row for row in rows if start <= row["ts"] <= until] for rows in (other, one))
    said = [[(row["ts"], row["ltp"], row["day_volume"]) for row in rows] for rows in (ours, theirs)]
    if said[0] == said[1]:
        return None
    row = next((ours[at] for at, (a, b) in enumerate(zip(*said, strict=False)) if a != b), ours[-1])
    when = datetime.fromtimestamp(row["ts"], UTC).astimezone(IST)
    what = f"the ticks of {ticker} from {when:%Y-%m-%d %H:%M:%S} IST on are others than in {one[0]['file']}"
    return (one[0]["file"], row["file"]), Defect(row["file"], f"row {row['row']}", what, MEND)


def in_order(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of one day and ticker by file, the files by their first time."""
    files: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        files.setdefault(row["file"], []).append(row)
    return sorted(files.values(), key=lambda held: (held[0]["ts"], held[0]["file"]))
