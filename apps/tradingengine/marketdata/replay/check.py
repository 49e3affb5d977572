"""`te data check FOLDER`: a verdict on each file of a data folder, and the minutes that it holds, before a replay."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tradingengine.domain.calendar import load_calendar
from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay.folder import DataFolder, FileReport, inspect_folder, unlisted_text
from tradingengine.marketdata.replay.sessions import Held, held_minutes

EXAMPLES = """examples:
  te data check recordings
  te data check recordings --output json

Exit code 0: every file is sound; 1: at least one is not; 2: wrong usage. The first line is the verdict; then come the
files, and how many minutes of the session each day holds: up to 12 lines for every symbol and day, beyond that how many
are whole and a line for each symbol and day with a gap, 2,000 at most. All days and symbols are in the JSON. Files of
other kinds are left alone."""

MOST_LINES = 2_000
MOST_NAMES = 3
MOST_STRETCHES = 3
FEW_ROWS = 12
PROGRESS_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser made elsewhere."""
    parser.add_argument("folder", type=Path, help="folder with bars_1m_*.parquet, ticks_*.parquet, instruments_*")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="form of the answer")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse arguments, check, print to standard output; 0 sound, 1 not sound, 2 wrong usage (by argparse)."""
    parser = argparse.ArgumentParser(
        prog="te data check",
        description="Check the recordings and instrument masters of a data folder, every row of them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    return run(arguments.folder, arguments.output)


def run(path: Path, output: str) -> int:
    """Check one folder and print the verdict; 0 when every file is sound, else 1.

    What takes longer than a second says on standard error which file is being read.
    """
    calendar = load_calendar()
    folder = inspect_folder(path, calendar=calendar, progress=_Progress())
    held = held_minutes(calendar, folder.minutes)
    text = json.dumps(_document(folder, held), indent=2) if output == "json" else "\n".join(_text(folder, held))
    sys.stdout.write(text + "\n")
    return 1 if folder.defects else 0


class _Progress:
    """Names the file in hand, once a second at most, so that a quick check stays quiet."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, name: str, number: int, count: int) -> None:
        now = time.monotonic()
        if now - self._said >= PROGRESS_EVERY_S:
            self._said = now
            sys.stderr.write(f"reading {name} ({number} of {count})\n")
            sys.stderr.flush()


def _document(folder: DataFolder, held: list[Held]) -> dict[str, Any]:
    return {
        "folder": str(folder.path),
        "ok": not folder.defects,
        "days": [day.isoformat() for day in folder.days],
        "defects": [_defect(defect) for defect in folder.folder_defects],
        "files": [_file(report) for report in folder.reports],
        "left_alone": folder.left_alone,
        "not_listed": folder.unlisted,
        "minutes": [
            {
                "day": entry.day.isoformat(),
                "symbol": entry.ticker,
                "session": entry.session,
                "held": entry.held,
                "missing": list(entry.missing),
                "outside": entry.outside,
            }
            for entry in held
        ],
    }


def _file(report: FileReport) -> dict[str, Any]:
    return {
        "file": report.file,
        "kind": report.kind,
        "ok": report.ok,
        "rows": report.rows,
        "symbols": report.symbols,
        "first": None if report.first is None else report.first.isoformat(),
        "last": None if report.last is None else report.last.isoformat(),
        "defects": [_defect(defect) for defect in report.defects],
    }


def _defect(defect: Defect) -> dict[str, str]:
    return {"file": defect.file, "where": defect.where, "what": defect.what, "mend": defect.mend}


def _text(folder: DataFolder, held: list[Held]) -> list[str]:
    lines = [_verdict(folder, held), *(f"  {defect}" for defect in folder.folder_defects)]
    for report in folder.reports:
        lines.append(_line(report))
        lines += [f"  {defect}" for defect in report.defects]
    if folder.unlisted:
        lines.append(f"note     {unlisted_text(folder)}.")
    if folder.left_alone:
        names = folder.left_alone
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        lines.append(f"note     Left alone: {', '.join(names[:MOST_NAMES])}{more}.")
    return lines + _minutes(held)


def _verdict(folder: DataFolder, held: list[Held]) -> str:
    if folder.defects:
        count, bad = len(folder.defects), sum(not report.ok for report in folder.reports)
        found = f"{count} defect{'s' if count != 1 else ''}"
        return f"Refused: {found}; {bad} of {len(folder.reports)} files are not sound."
    days = folder.days
    whole, some = sum(entry.held for entry in held), sum(entry.session for entry in held)
    return (
        f"Sound: {_count(len(folder.reports), 'file')}, {_count(len(days), 'day')} from {days[0]} to {days[-1]}, "
        f"{whole} of {some} minutes of the sessions."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _line(report: FileReport) -> str:
    verdict = "ok" if report.ok else "REFUSED"
    extent = (
        "" if report.first is None or report.last is None else f", {report.first:%Y-%m-%d} to {report.last:%Y-%m-%d}"
    )
    return f"{verdict:8} {report.file}: {report.kind}, {report.rows} rows, {report.symbols} symbols{extent}"


def _minutes(held: list[Held]) -> list[str]:
    """Every day and symbol of a small folder; of a larger one how many are whole, and a line for each with a gap."""
    if len(held) <= FEW_ROWS:
        return [f"{entry.day}  {_one(entry)}" for entry in held]
    odd = [entry for entry in held if not entry.session or not entry.whole]
    days = {entry.day for entry in held}
    whole = len(days) - len({entry.day for entry in odd})
    said = (
        f"Every minute of the session is held on {whole} of {_count(len(days), 'day')} for every symbol, "
        f"on {len(held) - len(odd)} of {len(held)} days by symbol"
    )
    lines = [f"{said}; the others:" if odd else f"{said}."]
    lines += [f"{entry.day}  {_one(entry)}" for entry in odd[:MOST_LINES]]
    if odd[MOST_LINES:]:
        lines.append(f"and {len(odd) - MOST_LINES} more, all of them in --output json.")
    return lines


def _one(entry: Held) -> str:
    if not entry.session:
        return f"{entry.ticker} {_count(entry.outside, 'minute')} on a day without a session"
    outside = f", and {entry.outside} outside" if entry.outside else ""
    if entry.whole:
        return f"{entry.ticker} {entry.held} of {entry.session}{outside}"
    gaps = ", ".join(entry.missing[:MOST_STRETCHES])
    more = f" and {len(entry.missing) - MOST_STRETCHES} more" if len(entry.missing) > MOST_STRETCHES else ""
    return f"{entry.ticker} {entry.held} of {entry.session}: {gaps}{more} missing{outside}"
