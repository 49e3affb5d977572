"""Where things are kept: the cache outside the clone, the cluster's state, its sockets and records."""

from __future__ import annotations

import os
from pathlib import Path

STATE_ROOT = Path("/var/lib/tradingengine-devcluster")
RUN_ROOT = Path("/run/tradingengine-devcluster")
MARK_DIR = RUN_ROOT / "full"


def checkout() -> Path:
    """The root of the clone that this code was started from."""
    return Path(__file__).resolve().parents[2]


def tools_source() -> Path:
    """The folder with one Go module per tool group."""
    return Path(__file__).resolve().parents[1] / "tools"


def cache_root() -> Path:
    """`$TRADINGENGINE_CACHE`, else `$XDG_CACHE_HOME/tradingengine`, else `~/.cache/tradingengine`."""
    named = os.environ.get("TRADINGENGINE_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tradingengine"


def node_dir(node: str) -> Path:
    """All that one node keeps on disk."""
    return STATE_ROOT / "nodes" / node


def journals_dir() -> Path:
    """The parent of the edge's journals, one folder `<namespace>-<engine>` each."""
    return node_dir("edge") / "journals"


def admin_kubeconfig() -> Path:
    """The administrator's kubeconfig of the full cluster, for the host (https://127.0.0.1:PORT)."""
    return STATE_ROOT / "kubeconfig"


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that nobody, not even after a crash in the middle, ever reads half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)
