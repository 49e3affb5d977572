"""A data folder: what is in it, whether all of it is sound, and which days can be played.

Known files, by name: `ticks_*.parquet` (symbol, ts, ltp, day_volume), `bars_1m_*.parquet` (symbol, ts, open, high, low,
close and, if recorded, volume) and instrument masters. Others are left alone. A folder's README.md may list its files
in a table with a column `rows`: then a listed file of a known kind must be there, with that many rows, so that a
half-made copy is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from tradingengine.marketdata.errors import DataFolderError, Defect
from tradingengine.marketdata.replay.checks import MEND_COPY, TableFindings, inspect_table
from tradingengine.marketdata.replay.masters import Listed, is_master, read_master

FileKind: TypeAlias = Literal["ticks", "bars", "instruments"]
MANIFEST = "README.md"
_EPOCH = date(1970, 1, 1)


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
    """A folder after inspection. `days` has, for each IST date and symbol, the file of ticks and of bars."""

    path: Path
    reports: list[FileReport] = field(default_factory=list)
    folder_defects: list[Defect] = field(default_factory=list)
    ticks: dict[date, dict[str, str]] = field(default_factory=dict)
    bars: dict[date, dict[str, str]] = field(default_factory=dict)
    tick_paise: dict[str, int] = field(default_factory=dict)
    listed: dict[str, Listed] = field(default_factory=dict)

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


def kind_of(name: str) -> FileKind | None:
    """The kind of a file by its name; None for one that is not read here."""
    if name.endswith(".parquet"):
        if name.startswith("ticks_"):
            return "ticks"
        if name.startswith("bars_1m_"):
            return "bars"
    return "instruments" if is_master(name) else None


def inspect_folder(path: Path) -> DataFolder:
    """Read every known file of a folder once, row by row; the result holds what was found, sound or not."""
    folder = DataFolder(path)
    try:
        names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
    except OSError as error:
        mend = "Give the folder that holds the recordings, readable for this process"
        folder.folder_defects.append(Defect(str(path), "", f"not a readable folder ({error.strerror})", mend))
        return folder
    for name in names:
        kind = kind_of(name)
        if kind == "instruments":
            _inspect_master(folder, name)
        elif kind is not None:
            _inspect_recording(folder, name, kind)
    _check_presence(folder)
    _check_manifest(folder, names)
    return folder


def open_folder(path: Path) -> DataFolder:
    """A sound folder; DataFolderError with every defect otherwise."""
    folder = inspect_folder(path)
    if folder.defects:
        raise DataFolderError(folder.defects)
    return folder


def _inspect_master(folder: DataFolder, name: str) -> None:
    found = read_master(folder.path / name)
    for ticker, listed in found.listed.items():
        known = folder.listed.get(ticker)
        if known is None or (known.freeze_quantity == 0 and listed.freeze_quantity > 0):
            folder.listed[ticker] = listed
    report = FileReport(name, "instruments", found.rows, len(found.listed), None, None, tuple(found.defects))
    folder.reports.append(report)


def _inspect_recording(folder: DataFolder, name: str, kind: FileKind) -> None:
    found = inspect_table(folder.path / name, bars=kind == "bars")
    index = folder.bars if kind == "bars" else folder.ticks
    for day_number, symbol in found.days:
        index.setdefault(_EPOCH + timedelta(days=day_number), {}).setdefault(symbol, name)
    for symbol, step in found.tick_paise.items():
        folder.tick_paise[symbol] = min(step, folder.tick_paise.get(symbol, step))
    folder.reports.append(
        FileReport(
            name,
            kind,
            found.rows,
            len({symbol for _, symbol in found.days}),
            _utc(found, first=True),
            _utc(found, first=False),
            tuple(found.defects),
        )
    )


def _utc(found: TableFindings, *, first: bool) -> datetime | None:
    seconds = found.first_ts if first else found.last_ts
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _check_presence(folder: DataFolder) -> None:
    kinds = {report.kind for report in folder.reports}
    name = str(folder.path)
    if not kinds & {"ticks", "bars"}:
        mend = "Put recordings there: bars_1m_*.parquet or ticks_*.parquet"
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
