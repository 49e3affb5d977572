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
from tradingengine.marketdata.replay.checks import MEND_COPY
from tradingengine.marketdata.replay.names import index_ticker, name_key

NOREN_HEADER = ["Exchange", "Token", "LotSize", "Symbol", "TradingSymbol", "Instrument", "TickSize"]
FYERS_COLUMNS = 21
MOST_BYTES = 256 * 1024 * 1024
FYERS_INDEX = "10"  # value 3: the instrument type
MEND_COMMA = "Save the master as CSV with commas, as the broker serves it"
MEND_LINE = "Correct or remove the line, or copy the file again from its source"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a master knows of a name: `freeze_quantity` in units, 0 when not given."""

    name: str
    is_index: bool
    freeze_quantity: int = 0


@dataclass(slots=True)
class MasterFindings:
    """What reading one master gave: instruments by ticker, and the ticker of each other spelling it has for one."""

    rows: int = 0
    listed: dict[str, Listed] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    slips: dict[str, tuple[str, str, str, int]] = field(default_factory=dict)

    def report(self, kind: str, where: str, what: str, mend: str = MEND_LINE) -> None:
        """Note a defect; of each kind the first is kept, with the number of those like it."""
        first_where, first_what, first_mend, count = self.slips.get(kind, (where, what, mend, 0))
        self.slips[kind] = (first_where, first_what, first_mend, count + 1)

    def defects(self, file: str) -> list[Defect]:
        """One defect for each kind."""
        return [
            Defect(file, where, what if count == 1 else f"{what} (and {count - 1} more like it)", mend)
            for where, what, mend, count in self.slips.values()
        ]

    def add(self, ticker: str, listed: Listed, *spellings: str) -> None:
        """List an instrument under its ticker, and remember how else it is written."""
        self.listed[ticker] = listed
        for spelling in spellings:
            self.spellings.setdefault(name_key(spelling), ticker)


def is_master(name: str) -> bool:
    """Whether a file of this name is an instrument master that is understood here (cash market of NSE)."""
    return _reader(name) is not None


def read_master(path: Path) -> MasterFindings:
    """Read one master. A bad file gives defects, never an exception."""
    findings = MasterFindings()
    reader = _reader(path.name)
    if reader is None:
        findings.report("name", "", "not a known instrument master", MEND_COPY)
        return findings
    try:
        reader(path, findings)
    except (OSError, EOFError, zlib.error) as error:
        findings.report("read", "", f"the file cannot be read ({error})", MEND_COPY)
    except UnicodeDecodeError as error:
        findings.report("text", "", f"byte {error.start} is not UTF-8 text", MEND_COPY)
    if not findings.listed and not findings.slips:
        findings.report("empty", "", "the file lists no instruments", MEND_COPY)
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
    # A spreadsheet may have put a byte order mark before the first line.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            findings.report("csv", f"line {reader.line_num}", f"not a line of CSV ({error})")


def _width(findings: MasterFindings, line: int, row: list[str], needed: int) -> bool:
    """Whether a line has as many values as it needs; a slip otherwise."""
    if len(row) == needed:
        return True
    if len(row) == 1 and row[0].count(";") + 1 >= needed:
        findings.report("semicolon", f"line {line}", "the values are separated by ; and not by a comma", MEND_COMMA)
    else:
        findings.report("width", f"line {line}", f"{len(row)} values where {needed} are needed")
    return False


def _read_noren(path: Path, findings: MasterFindings) -> None:
    header = [name.lower() for name in NOREN_HEADER]
    for number, (line, row) in enumerate(_lines(path, findings)):
        cells = [cell.strip() for cell in (row[:-1] if row[-1] == "" else row)]
        if not _width(findings, line, cells, len(NOREN_HEADER)):
            if number == 0 and "semicolon" not in findings.slips:
                findings.slips.clear()
                findings.report("header", f"line {line}", f"the header is not {','.join(NOREN_HEADER)}")
            if number == 0:
                return
            continue
        if number == 0:
            if [cell.lower() for cell in cells] != header:
                findings.report("header", f"line {line}", f"the header is not {','.join(NOREN_HEADER)}")
                return
            continue
        findings.rows += 1
        slip = _noren_row(cells, findings)
        if slip is not None:
            findings.report(slip.partition(" ")[0], f"line {line}", slip)


def _noren_row(cells: list[str], findings: MasterFindings) -> str | None:
    """Take one line in; a sentence when it is wrong."""
    _, _, lot, symbol, trading_symbol, kind, _ = cells
    if not lot.isdigit() or int(lot) < 1:
        return f"LotSize {lot!r} is not a whole number above zero"
    index = kind.upper() in ("INDEX", "UNDIND")
    if not (trading_symbol if index else symbol):
        return "the symbol is empty"
    ticker = index_ticker(trading_symbol, symbol) if index else name_key(symbol)
    findings.add(ticker, Listed(symbol or trading_symbol, index), symbol, trading_symbol)
    return None


def _read_fyers(path: Path, findings: MasterFindings) -> None:
    for line, row in _lines(path, findings):
        if not _width(findings, line, row, FYERS_COLUMNS):
            continue
        findings.rows += 1
        symbol, ticker = row[9].strip(), row[13].strip()
        index = row[2].strip() == FYERS_INDEX or symbol.endswith("-INDEX")
        if not ticker:
            findings.report("symbol", f"line {line}", "the symbol (value 14) is empty")
            continue
        plain, name = symbol.removesuffix("-INDEX"), row[1].strip().removesuffix("-INDEX")
        ticker = index_ticker(ticker, plain) if index else name_key(ticker)
        findings.add(ticker, Listed(name, index), plain, symbol, *((name,) if index else ()))


def _read_upstox(path: Path, findings: MasterFindings) -> None:
    with gzip.open(path, "rb") as stream:
        raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        findings.report("size", "", f"unpacks to more than {MOST_BYTES} bytes", "Keep only the rows needed")
        return
    try:
        rows: Any = json.loads(raw.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}"
        findings.report("json", where, f"not JSON: {error.msg} at column {error.colno}", MEND_COPY)
        return
    if not isinstance(rows, list):
        findings.report("json", "line 1", "not a JSON array", MEND_COPY)
        return
    findings.rows = len(rows)
    for number, row in enumerate(rows, 1):
        slip = _upstox_row(row, findings)
        if slip:
            findings.report(slip.partition(" ")[0], f"row {number}", slip)


def _upstox_row(row: Any, findings: MasterFindings) -> str | None:
    """Take one row in; a sentence when it is wrong."""
    if not isinstance(row, dict):
        return "not a JSON object"
    segment, ticker, name = row.get("segment"), row.get("trading_symbol"), row.get("name")
    if not isinstance(segment, str) or not isinstance(ticker, str) or not ticker:
        return "segment or trading_symbol is missing"
    index = segment == "NSE_INDEX" or row.get("instrument_type") == "INDEX"
    if segment != "NSE_EQ" and not index:
        return None
    freeze = row.get("freeze_quantity", 0)
    if isinstance(freeze, bool) or not isinstance(freeze, int | float) or freeze < 0:
        return f"freeze_quantity {freeze!r} is not a number from zero up"
    known = [text for text in (row.get("short_name"), name) if isinstance(text, str) and text]
    # A share is found by its symbol alone: two companies may share a short name.
    listed, spellings = Listed(known[0] if known else ticker, index, int(freeze)), known if index else []
    findings.add(index_ticker(ticker, *known) if index else name_key(ticker), listed, ticker, *spellings)
    return None
