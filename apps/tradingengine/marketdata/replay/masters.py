"""Names of instruments from the brokers' instrument masters in a data folder.

Only names, index membership and freeze quantities are taken from them. Tick sizes are not: the masters are of today,
the recordings are older, and exchanges have changed ticks since (a share at 0.05 then may be at 0.10 now); the recorded
prices themselves tell the tick that held.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay.checks import DEFECTS_PER_FILE, MEND_COPY

NOREN_HEADER = ["Exchange", "Token", "LotSize", "Symbol", "TradingSymbol", "Instrument", "TickSize"]
FYERS_COLUMNS = 21
MOST_BYTES = 256 * 1024 * 1024
MEND_LINE = "Correct or remove the line, or copy the file again from its source"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a master knows of a name: `freeze_quantity` in units, 0 when not given."""

    name: str
    is_index: bool
    freeze_quantity: int = 0


@dataclass(slots=True)
class MasterFindings:
    """What reading one master gave, by ticker."""

    rows: int = 0
    listed: dict[str, Listed] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)

    def report(self, file: str, line: int | None, what: str, mend: str = MEND_LINE) -> None:
        """Note a defect of one line (from 1) or of the whole file."""
        if len(self.defects) < DEFECTS_PER_FILE:
            self.defects.append(Defect(file, "" if line is None else f"line {line}", what, mend))


def is_master(name: str) -> bool:
    """Whether a file of this name is an instrument master that is understood here (cash market of NSE)."""
    return _reader(name) is not None


def read_master(path: Path) -> MasterFindings:
    """Read one master. A bad file gives defects, never an exception."""
    findings = MasterFindings()
    reader = _reader(path.name)
    if reader is None:
        findings.report(path.name, None, "not a known instrument master", MEND_COPY)
        return findings
    try:
        reader(path, findings)
    except (OSError, EOFError, zlib.error) as error:
        findings.report(path.name, None, f"the file cannot be read ({error})", MEND_COPY)
    except UnicodeDecodeError as error:
        findings.report(path.name, None, f"byte {error.start} is not UTF-8 text", MEND_COPY)
    if not findings.listed and not findings.defects:
        findings.report(path.name, None, "the file lists no instruments", MEND_COPY)
    return findings


def _reader(name: str) -> Callable[[Path, MasterFindings], None] | None:
    if name.startswith("instruments_noren_nse") and name.endswith(".csv"):
        return _read_noren
    if name.startswith("instruments_fyers_nse_cm") and name.endswith(".csv"):
        return _read_fyers
    if name.startswith("instruments_upstox_nse") and name.endswith(".json.gz"):
        return _read_upstox
    return None


def _lines(path: Path, findings: MasterFindings) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            findings.report(path.name, reader.line_num, f"not a line of CSV ({error})")


def _read_noren(path: Path, findings: MasterFindings) -> None:
    for line, row in _lines(path, findings):
        cells = row[:-1] if row and row[-1] == "" else row
        if line == 1:
            if cells != NOREN_HEADER:
                findings.report(path.name, 1, f"the header is not {','.join(NOREN_HEADER)}")
                return
            continue
        if len(cells) != len(NOREN_HEADER):
            findings.report(path.name, line, f"{len(cells)} values where {len(NOREN_HEADER)} are needed")
            continue
        findings.rows += 1
        _, _, lot, symbol, trading_symbol, kind, _ = cells
        if not lot.isdigit() or int(lot) < 1:
            findings.report(path.name, line, f"LotSize {lot!r} is not a whole number above zero")
            continue
        index = kind == "INDEX"
        ticker = trading_symbol if index else symbol
        if not ticker:
            findings.report(path.name, line, "the symbol is empty")
            continue
        findings.listed[ticker.upper()] = Listed(symbol if index else ticker, index)


def _read_fyers(path: Path, findings: MasterFindings) -> None:
    for line, row in _lines(path, findings):
        if len(row) != FYERS_COLUMNS:
            findings.report(path.name, line, f"{len(row)} values where {FYERS_COLUMNS} are needed")
            continue
        findings.rows += 1
        ticker, index = row[13], row[9].endswith("-INDEX")
        if not ticker:
            findings.report(path.name, line, "the symbol (value 14) is empty")
            continue
        findings.listed[ticker.upper()] = Listed(row[1], index)


def _read_upstox(path: Path, findings: MasterFindings) -> None:
    with gzip.open(path, "rb") as stream:
        raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        findings.report(path.name, None, f"unpacks to more than {MOST_BYTES} bytes", "Keep only the rows needed")
        return
    try:
        rows: Any = json.loads(raw)
    except json.JSONDecodeError as error:
        findings.report(path.name, error.lineno, f"not JSON: {error.msg} at column {error.colno}", MEND_COPY)
        return
    if not isinstance(rows, list):
        findings.report(path.name, 1, "not a JSON array", MEND_COPY)
        return
    findings.rows = len(rows)
    for number, row in enumerate(rows, 1):
        slip = _upstox_row(row, findings)
        if slip and len(findings.defects) < DEFECTS_PER_FILE:
            findings.defects.append(Defect(path.name, f"row {number}", slip, MEND_LINE))


def _upstox_row(row: Any, findings: MasterFindings) -> str | None:
    """Take one row in; a sentence when it is wrong."""
    if not isinstance(row, dict):
        return "not a JSON object"
    segment, ticker, name = row.get("segment"), row.get("trading_symbol"), row.get("name")
    if not isinstance(segment, str) or not isinstance(ticker, str) or not ticker:
        return "segment or trading_symbol is missing"
    if segment not in ("NSE_EQ", "NSE_INDEX"):
        return None
    freeze = row.get("freeze_quantity", 0)
    if isinstance(freeze, bool) or not isinstance(freeze, int | float) or freeze < 0:
        return f"freeze_quantity {freeze!r} is not a number from zero up"
    short = row.get("short_name") or name
    shown = short if isinstance(short, str) and short else ticker
    findings.listed[ticker.upper()] = Listed(shown, segment == "NSE_INDEX", int(freeze))
    return None
