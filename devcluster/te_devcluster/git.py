"""Git in a checkout that may belong to somebody else: root checks what another user cloned, and git refuses that."""

from __future__ import annotations

import shlex
from pathlib import Path

from te_devcluster.commands import run


def git(root: Path) -> list[str]:
    """The first words of a git command in the work tree with this root, whoever owns it.

    Only for a tree that we run code of anyway: its own settings name programs that git starts.
    """
    return ["git", "-c", f"safe.directory={root.resolve()}"]


def clone(source: Path, target: Path) -> None:
    """Clones a checkout, whoever owns it. CommandError with git's words when that fails."""
    # Two processes look who owns it. The one that serves is told no setting of the other's, so it gets its own.
    trusting = ["git", "-c", "safe.directory=*"]
    serving = shlex.join([*trusting, "upload-pack"])
    run([*trusting, "clone", "--quiet", "--upload-pack", serving, str(source), str(target)])
