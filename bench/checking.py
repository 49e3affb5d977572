"""How long a fresh clone takes to build and to check: with empty caches, then with those that the first run left."""

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


def measure() -> list[Row]:
    """Rows (figure, limit, measured). What Debian's packages brought stays: it is installed already.

    Raises DevclusterError with the last words of a check that failed.
    """
    with TemporaryDirectory(prefix="te-bench-") as made:
        folder = Path(made)
        cold, said = check(folder, "cold")
        warm, _ = check(folder, "warm")
    built = TOOLS_BUILT.search(said)
    if built is None:
        raise DevclusterError("the cold run did not say how long its tools took")
    return [
        ("cold build of all tools", "25 min", minutes(float(built.group(1)))),
        ("`.ci/run` on a fresh clone, cold", "60 min", minutes(cold)),
        ("`.ci/run` on a fresh clone, warm", "15 min", minutes(warm)),
    ]


def minutes(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def check(folder: Path, name: str) -> tuple[float, str]:
    """Clones what is committed and runs its check, with caches below `folder`; seconds, and what it said."""
    clone = folder / name
    run_command(["git", "clone", "--quiet", str(checkout()), str(clone)])
    begun = time.monotonic()
    lines = []
    command = [str(clone / ".ci" / "run")]
    with subprocess.Popen(
        command, cwd=clone, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(f"{name} | {line}")
            lines.append(line)
    if process.returncode != 0:
        raise DevclusterError(f"the {name} .ci/run ended with code {process.returncode}:\n{''.join(lines[-30:])}")
    return time.monotonic() - begun, "".join(lines)


def environment(folder: Path) -> dict[str, str]:
    """This environment, with every cache below `folder`."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    caches = {"XDG_CACHE_HOME": "cache", "GOMODCACHE": "gomod", "npm_config_cache": "npm"}
    return {**kept, **{name: str(folder / below) for name, below in caches.items()}}
