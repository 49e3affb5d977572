"""`te data check FOLDER`: a verdict on each file of a data folder before an engine replays it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tradingengine.marketdata.replay.folder import DataFolder, FileReport, inspect_folder

EXAMPLES = """examples:
  te data check recordings
  te data check recordings --output json

Exit code 0: every file is sound; 1: at least one is not; 2: wrong usage. Files of other kinds are left alone."""


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
    """Check one folder and print the verdict; 0 when every file is sound, else 1."""
    folder = inspect_folder(path)
    text = json.dumps(_document(folder), indent=2) if output == "json" else _text(folder)
    sys.stdout.write(text + "\n")
    return 1 if folder.defects else 0


def _document(folder: DataFolder) -> dict[str, Any]:
    return {
        "folder": str(folder.path),
        "ok": not folder.defects,
        "days": [day.isoformat() for day in folder.days],
        "defects": [_defect(defect) for defect in folder.folder_defects],
        "files": [
            {
                "file": report.file,
                "kind": report.kind,
                "ok": report.ok,
                "rows": report.rows,
                "symbols": report.symbols,
                "first": None if report.first is None else report.first.isoformat(),
                "last": None if report.last is None else report.last.isoformat(),
                "defects": [_defect(defect) for defect in report.defects],
            }
            for report in folder.reports
        ],
    }


def _defect(defect: Any) -> dict[str, str]:
    return {"file": defect.file, "where": defect.where, "what": defect.what, "mend": defect.mend}


def _text(folder: DataFolder) -> str:
    lines = [str(defect) for defect in folder.folder_defects]
    for report in folder.reports:
        lines.append(_line(report))
        lines += [f"  {defect}" for defect in report.defects]
    bad = sum(not report.ok for report in folder.reports)
    if folder.defects:
        count = len(folder.defects)
        found = f"{count} defect{'s' if count != 1 else ''}"
        lines.append(f"Refused: {found}; {bad} of {len(folder.reports)} files are not sound.")
    else:
        days = folder.days
        lines.append(f"Sound: {len(folder.reports)} files, {len(days)} days from {days[0]} to {days[-1]}.")
    return "\n".join(lines)


def _line(report: FileReport) -> str:
    verdict = "ok" if report.ok else "REFUSED"
    extent = (
        "" if report.first is None or report.last is None else f", {report.first:%Y-%m-%d} to {report.last:%Y-%m-%d}"
    )
    return f"{verdict:8} {report.file}: {report.kind}, {report.rows} rows, {report.symbols} symbols{extent}"
