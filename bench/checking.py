"""How long a fresh clone takes to build and to check, with empty caches or with those of this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from te_devcluster import git
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout, write_whole
from te_suites.expected import EXPECTED

Row = tuple[str, str, str]
TOOLS_BUILT = re.compile(r"tools built in (\d+) s")
TESTED = re.compile(r"^make test took (\d+) s$", re.MULTILINE)
SUITES = re.compile(r"^suites passed: (.*)$", re.MULTILINE)
OURS = frozenset({"TRADINGENGINE_CACHE", "TRADINGENGINE_VENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "GOCACHE"})
"""What a run must not take over from the one that measures it."""


def cold() -> list[Row]:
    """Rows (figure, limit, measured) of a run that finds every cache empty; Debian's packages are installed already.

    Raises DevclusterError with the last words of a check that failed.
    """
    with TemporaryDirectory(prefix="te-bench-") as made:
        seconds, said = check(Path(made), environment(Path(made)))
    built = TOOLS_BUILT.search(said)
    if built is None:
        raise DevclusterError("the run did not say how long its tools took")
    return [
        ("cold build of all tools", "25 min", minutes(float(built.group(1)))),
        ("`make test` in it, tools and images apart", "", minutes(tested_seconds(said))),
        (f"`.ci/run` on a fresh clone, cold; suites run: {suites_run(said)}", "60 min", minutes(seconds)),
    ]


def warm() -> list[Row]:
    """Rows of a run with the caches of this machine, as an earlier run left them."""
    with TemporaryDirectory(prefix="te-bench-") as made:
        seconds, said = check(Path(made), environment(None))
    if TOOLS_BUILT.search(said):
        raise DevclusterError("the caches were not warm: tools were built", "run it again")
    tested = tested_seconds(said)
    note_expected(tested)
    return [
        ("`make test` in it", "14 min", minutes(tested)),
        (f"`.ci/run` on a fresh clone, warm; suites run: {suites_run(said)}", "20 min", minutes(seconds)),
    ]


def tested_seconds(said: str) -> float:
    """What `make test` took in a run, by the run's own words."""
    found = TESTED.search(said)
    if found is None:
        raise DevclusterError("the run did not say how long `make test` took")
    return float(found.group(1))


def suites_run(said: str) -> str:
    """The suites that were due and ran, by the run's own words."""
    found = SUITES.search(said)
    return found.group(1) if found else "none"


def note_expected(seconds: float) -> None:
    """Notes what `make test` takes here, for the plan of later runs and to tell by how much a machine is slower."""
    note = {"minutes": round(seconds / 60, 1), "measured_at": datetime.now(UTC).date().isoformat()}
    write_whole(checkout() / EXPECTED, json.dumps(note, indent=1) + "\n")


def minutes(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def check(folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Clones what is committed into `folder` and runs its check; seconds, and what it said."""
    clone = folder / "clone"
    git.clone(checkout(), clone)
    begun = time.monotonic()
    lines = []
    command = [str(clone / ".ci" / "run")]
    with subprocess.Popen(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode != 0:
        raise DevclusterError(f".ci/run ended with code {process.returncode}:\n{''.join(lines[-30:])}")
    return time.monotonic() - begun, "".join(lines)


def environment(caches: Path | None) -> dict[str, str]:
    """This environment without what belongs to this checkout; with `caches`, every cache lies below that folder."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    if caches is None:
        return kept
    places = {"XDG_CACHE_HOME": "cache", "GOMODCACHE": "gomod", "npm_config_cache": "npm"}
    return {**kept, **{name: str(caches / below) for name, below in places.items()}}
