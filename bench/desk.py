"""How long the desk without a cluster takes: warm, on a machine that has nothing yet, and to follow an edit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from te_devcluster import git, ports
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout

from bench.checking import Row, environment, minutes

LIVE_SECONDS = 900.0
EDITED = {
    "edge": "apps/tradingengine/strategies/ema_cross.py",
    "api": "apps/tradingengine/api/status/endpoints.py",
    "dashboard": "apps/tradingengine/dashboard/frontend/src/css/base.css",
}


def rows(starts: int) -> list[Row]:
    """Rows (figure, limit, measured): a first start with every cache empty, then `starts` warm ones, and edits."""
    with TemporaryDirectory(prefix="te-bench-") as made:
        folder = Path(made)
        clone = folder / "clone"
        git.clone(checkout(), clone)
        caches = environment(folder)
        with desk(clone, caches, folder) as (fresh, _):
            pass
        taken, ends = [], []
        for _ in range(starts):
            with desk(clone, caches, folder) as (seconds, process):
                taken.append(seconds)
                ended = time.monotonic()
                os.killpg(process.pid, signal.SIGINT)
                process.wait(60)
                ends.append(time.monotonic() - ended)
        with desk(clone, caches, folder):
            edits = {name: _follow(clone, name, place, folder) for name, place in EDITED.items()}
        shutil.rmtree(clone)
    return [
        ("first start to live prices, every cache empty, Debian's packages there", "4 min", minutes(fresh)),
        ("warm start to live prices", "20 s", _spread(taken)),
        ("Ctrl+C to nothing left", "", _spread(ends)),
        *((f"saved change to the {name} started again", "", f"{seconds:.1f} s") for name, seconds in edits.items()),
    ]


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (most {max(seconds):.1f}, n={len(seconds)})"


@contextmanager
def desk(clone: Path, variables: Mapping[str, str], folder: Path) -> Iterator[tuple[float, subprocess.Popen[bytes]]]:
    """A desk of a clone, from `make desk` to its end; the seconds until it said that it is there."""
    command = ["make", "--no-print-directory", "desk", f"PORT={ports.free_port()}"]
    begun = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=clone, env=variables, stdout=out, stderr=err, start_new_session=True)
    try:
        _until(process, folder / "stdout", r"Ctrl\+C", folder)
        yield time.monotonic() - begun, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
        sys.stderr.write((folder / "stderr").read_text(errors="replace"))


def _follow(clone: Path, name: str, place: str, folder: Path) -> float:
    said = folder / "stderr"
    seen = len(said.read_text(errors="replace"))
    file = clone / place
    remark = "\n/* measured */\n" if file.suffix == ".css" else "\n# measured\n"
    begun = time.monotonic()
    file.write_text(file.read_text() + remark)
    _until(None, said, rf"{name} started again", folder, seen)
    return time.monotonic() - begun


def _until(process: subprocess.Popen[bytes] | None, file: Path, wanted: str, folder: Path, start: int = 0) -> None:
    end = time.monotonic() + LIVE_SECONDS
    while not re.search(wanted, file.read_text(errors="replace")[start:]):
        if time.monotonic() > end or (process is not None and process.poll() is not None):
            raise DevclusterError(f"no `{wanted}`:\n{(folder / 'stderr').read_text(errors='replace')[-3000:]}")
        time.sleep(0.02)
