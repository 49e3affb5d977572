"""A data folder: what is in it, whether all of it is sound, and which days can be played.

Known files, by name: `ticks_*.parquet` (symbol, ts, ltp, day_volume), `bars_1m_*.parquet` (symbol, ts, open, high, low,
close and, if recorded, volume) and instrument masters. Others are left alone. A day may be split over files in any
way. A folder's README.md may list its files in a table with a column `rows`: then a listed file of a known kind must be
there, with that many rows, so that a half-made copy is noticed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from tradingengine.domain.calendar import Calendar, load_calendar
from tradingengine.marketdata.errors import DataFolderError, Defect
from tradingengine.marketdata.replay.checks import MEND_COPY, DayKey, inspect_table
from tradingengine.marketdata.replay.fit import check_fit
from tradingengine.marketdata.replay.masters import Listed, is_master, read_master
from tradingengine.marketdata.replay.names import name_key
from tradingengine.marketdata.replay.overlap import Claims, check_overlaps
from tradingengine.marketdata.replay.sessions import EPOCH

FileKind: TypeAlias = Literal["ticks", "bars", "instruments"]
logger = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told of each file before it is read: its name, its number from 1, and how many there are."""
Holders: TypeAlias = dict[date, dict[str, tuple[str, ...]]]
"""IST date -> ticker -> the files that hold it, by name."""

MANIFEST = "README.md"
MOST_UNLISTED = 5  # named in the sentence about symbols that no master lists
_LOOKALIKE = re.compile(r"(bars|ticks)[_.-]?.*\.(parquet|pq|csv|csv\.gz|txt|json|feather|xlsx)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileReport:
    """The verdict on one file; `first` and `last` are UTC, None for instruments or an unreadable file."""

    file: str
    kind: FileKind
    rows: int
    symbols: int
    first: datetime | None
    last: datetime | None
    defects: tuple[Defect, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.defects


@dataclass(slots=True)
class DataFolder:
    """A folder after inspection. `ticks` and `bars` have, for each IST date and ticker, the files that hold it.

    `minutes` are those held of each day and ticker, by ticks or bars, as bits; `names` the ticker of each recorded
    symbol; `listed` what the masters know of a ticker; `left_alone` files that are read by nobody.
    """

    path: Path
    reports: list[FileReport] = field(default_factory=list)
    folder_defects: list[Defect] = field(default_factory=list)
    ticks: Holders = field(default_factory=dict)
    bars: Holders = field(default_factory=dict)
    minutes: dict[DayKey, int] = field(default_factory=dict)
    tick_paise: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    listed: dict[str, Listed] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    left_alone: list[str] = field(default_factory=list)

    @property
    def defects(self) -> tuple[Defect, ...]:
        """Everything that is wrong, the folder's own first."""
        return (*self.folder_defects, *(defect for report in self.reports for defect in report.defects))

    @property
    def days(self) -> list[date]:
        """IST dates with ticks or bars, in order."""
        return sorted(set(self.ticks) | set(self.bars))

    def symbols(self, day: date) -> list[str]:
        """Tickers recorded on a date."""
        return sorted({*self.ticks.get(day, ()), *self.bars.get(day, ())})

    def ticker(self, symbol: str) -> str:
        """The ticker of a recorded symbol, by the masters' spellings; its own text where none has it."""
        key = name_key(symbol)
        return key if key in self.listed else self.spellings.get(key, key)

    @property
    def unlisted(self) -> list[str]:
        """Recorded tickers that no master lists: they can be looked at, not traded."""
        return sorted({ticker for ticker in self.names.values() if ticker not in self.listed})


def kind_of(name: str) -> FileKind | None:
    """The kind of a file by its name; None for one that is not read here."""
    if name.endswith(".parquet"):
        if name.startswith("ticks_"):
            return "ticks"
        if name.startswith("bars_1m_"):
            return "bars"
    return "instruments" if is_master(name) else None


def inspect_folder(path: Path, *, calendar: Calendar | None = None, progress: Progress | None = None) -> DataFolder:
    """Read every known file of a folder once, row by row; the result holds what was found, sound or not.

    Days that come more than once are read a second time, to compare them.
    """
    folder = DataFolder(path)
    try:
        entries = sorted((entry.name, entry.is_file()) for entry in path.iterdir())
    except OSError as error:
        mend = "Give the folder that holds the recordings, readable for this process"
        folder.folder_defects.append(Defect(str(path), "", f"not a readable folder ({error.strerror})", mend))
        return folder
    known = _known_files(folder, entries)
    dates = load_calendar() if calendar is None else calendar
    minutes: dict[str, dict[DayKey, int]] = {}
    claims = {kind: Claims(bars=kind == "bars") for kind in ("bars", "ticks")}
    # Masters first: they say which instrument a recorded symbol is.
    for number, (name, kind) in enumerate(sorted(known, key=lambda item: item[1] != "instruments"), 1):
        if progress is not None:
            progress(name, number, len(known))
        if kind == "instruments":
            _inspect_master(folder, name)
        else:
            minutes[name] = _inspect_recording(folder, name, kind, claims[kind])
    _check_fit(folder, dates, minutes)
    folder.reports.sort(key=lambda report: report.file)
    _check_presence(folder)
    _check_manifest(folder, [name for name, _ in entries])
    if not folder.defects:
        for held in claims.values():
            folder.folder_defects += check_overlaps(path, held, folder.names)
    return folder


def open_folder(path: Path, *, calendar: Calendar | None = None) -> DataFolder:
    """A sound folder; DataFolderError with every defect otherwise."""
    folder = inspect_folder(path, calendar=calendar)
    if folder.defects:
        raise DataFolderError(folder.defects)
    if folder.unlisted:
        logger.warning("%s", unlisted_text(folder))
    folder.minutes.clear()  # only the check tells them, and a long recording has many
    return folder


def unlisted_text(folder: DataFolder) -> str:
    """A sentence about the symbols that no master lists, with the mend."""
    names = folder.unlisted
    shown = ", ".join(names[:MOST_UNLISTED]) + (
        f" and {len(names) - MOST_UNLISTED} more" if names[MOST_UNLISTED:] else ""
    )
    return (
        f"No master lists {shown}: to be looked at, not traded, since nobody says what it is. "
        "Add a master, or a line to one, that lists it"
    )


def _known_files(folder: DataFolder, entries: list[tuple[str, bool]]) -> list[tuple[str, FileKind]]:
    """The files that are read; one that is none, though its name says so, is a defect."""
    known: list[tuple[str, FileKind]] = []
    for name, is_file in entries:
        kind = kind_of(name)
        if kind is not None and is_file:
            known.append((name, kind))
        elif kind is not None:
            mend = "Put its files into the folder itself, under names of their own, or remove it"
            folder.folder_defects.append(Defect(name, "", "a folder or a broken link, not a file", mend))
        elif name != MANIFEST:
            folder.left_alone.append(name)
    return known


def _inspect_master(folder: DataFolder, name: str) -> None:
    found = read_master(folder.path / name)
    for ticker, listed in found.listed.items():
        known = folder.listed.get(ticker)
        if known is None or (known.freeze_quantity == 0 and listed.freeze_quantity > 0):
            folder.listed[ticker] = listed
    for spelling, ticker in found.spellings.items():
        folder.spellings.setdefault(spelling, ticker)
    defects = tuple(found.defects(name))
    folder.reports.append(FileReport(name, "instruments", found.rows, len(found.listed), None, None, defects))


def _inspect_recording(folder: DataFolder, name: str, kind: FileKind, claims: Claims) -> dict[DayKey, int]:
    """Read one file into the folder; returns its minutes."""
    found = inspect_table(folder.path / name, bars=kind == "bars", ticker=folder.ticker)
    index = folder.bars if kind == "bars" else folder.ticks
    for number, ticker in found.days:
        held = index.setdefault(EPOCH + timedelta(days=number), {})
        held[ticker] = (*held.get(ticker, ()), name)
    for key, bits in found.minutes.items():
        folder.minutes[key] = folder.minutes.get(key, 0) | bits
    for ticker, spelled in found.spellings.items():
        folder.names.update(dict.fromkeys(spelled, ticker))
    for ticker, step in found.tick_paise.items():
        folder.tick_paise[ticker] = min(step, folder.tick_paise.get(ticker, step))
    claims.add(name, found.days, found.again)
    symbols = len({ticker for _, ticker in found.days})
    first, last = _utc(found.first_ts), _utc(found.last_ts)
    folder.reports.append(FileReport(name, kind, found.rows, symbols, first, last, tuple(found.defects)))
    return found.minutes


def _check_fit(folder: DataFolder, dates: Calendar, minutes: dict[str, dict[DayKey, int]]) -> None:
    """Add the defects of files whose times are shifted. One that is not sound otherwise is mended first."""
    shifted = check_fit(dates, minutes)
    folder.reports = [
        replace(report, defects=(shifted[report.file],)) if report.ok and report.file in shifted else report
        for report in folder.reports
    ]


def _utc(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _check_presence(folder: DataFolder) -> None:
    kinds = {report.kind for report in folder.reports}
    name = str(folder.path)
    if not kinds & {"ticks", "bars"}:
        mend = "Put recordings there: bars_1m_*.parquet or ticks_*.parquet"
        near = next((other for other in folder.left_alone if _LOOKALIKE.match(other)), None)
        if near is not None and near.lower().endswith((".parquet", ".pq")):
            mend = f"Should {near} be one: rename it to bars_1m_NAME.parquet or ticks_NAME.parquet"
        elif near is not None:
            mend = f"Should {near} be one: write it as Parquet, pandas.read_csv(...).to_parquet('bars_1m_NAME.parquet')"
        folder.folder_defects.append(Defect(name, "", "the folder holds no recorded prices", mend))
    if "instruments" not in kinds:
        mend = "Put a master there: instruments_upstox_nse*.json.gz, _fyers_nse_cm*.csv or _noren_nse*.csv"
        folder.folder_defects.append(Defect(name, "", "the folder holds no instrument master", mend))


def _check_manifest(folder: DataFolder, names: list[str]) -> None:
    """Compare with the table of files in the folder's README.md, where there is one."""
    if MANIFEST not in names:
        return
    rows = {report.file: report for report in folder.reports}
    for line, name, expected in _manifest_rows(folder.path / MANIFEST):
        if kind_of(name) is None:
            continue
        report = rows.get(name)
        if report is None:
            what = f"{name} is listed there with {expected} rows, and is missing in the folder"
            folder.folder_defects.append(Defect(MANIFEST, f"line {line}", what, MEND_COPY))
        elif report.ok and report.rows != expected:
            what = f"{name} is listed there with {expected} rows, and has {report.rows}"
            folder.folder_defects.append(Defect(MANIFEST, f"line {line}", what, MEND_COPY))


def _manifest_rows(path: Path) -> Iterator[tuple[int, str, int]]:
    """(line number, file, rows) of a Markdown table whose header has the columns `file` and `rows`."""
    columns: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not columns:
            columns = cells if "file" in cells and "rows" in cells else []
            continue
        if len(cells) != len(columns):
            continue
        count = cells[columns.index("rows")].replace(",", "")
        if re.fullmatch(r"\d+", count):
            yield number, cells[columns.index("file")].strip("`"), int(count)
