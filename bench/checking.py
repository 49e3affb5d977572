"""How long a fresh clone takes to build and to check, with empty caches or with those of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from te_devcluster.commands import run as run_command
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout

Row = tuple[str, str, str]
TOOLS_BUILT = re.compile(r"tools built in (\d+) s")
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
        ("`.ci/run` on a fresh clone, cold", "60 min", minutes(seconds)),
    ]


def warm() -> list[Row]:
    """Rows of a run with the caches of this machine, as an earlier run left them."""
    with TemporaryDirectory(prefix="te-bench-") as made:
        seconds, said = check(Path(made), environment(None))
    if TOOLS_BUILT.search(said):
        raise DevclusterError("the caches were not warm: tools were built", "run it again")
    return [("`.ci/run` on a fresh clone, warm", "15 min", minutes(seconds))]


def minutes(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def check(folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Clones what is committed into `folder` and runs its check; seconds, and what it said."""
    clone = folder / "clone"
    run_command(["git", "clone", "--quiet", str(checkout()), str(clone)])
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
