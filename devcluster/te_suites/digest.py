"""What a suite reads, as one number that is the same on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.errors import DevclusterError
from te_devcluster.git import git

from te_suites.catalogue import Suite


def digest(suite: Suite, root: Path) -> str:
    """64 hex digits over the suite's own words and the contents of the tracked files that it reads.

    Contents are those of the work tree; what is not tracked counts for nothing. Raises DevclusterError for an input
    that names no tracked file: a suite that reads nothing would never be due again.
    """
    found = hashlib.sha256(repr((suite.arguments, suite.paths(), suite.packages)).encode())
    files: dict[str, str] = {}
    for path in suite.paths():
        listed = _tracked(root, path)
        if not listed:
            raise DevclusterError(f"the suite {suite.name} reads `{path}`, and no tracked file is there")
        files |= listed
    for name, mode in sorted(files.items()):
        place = root / name
        content = place.read_bytes() if place.is_file() else b"gone"
        found.update(f"\0{name}\0{mode}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def _tracked(root: Path, path: str) -> dict[str, str]:
    """File -> mode, as git has them, of one file or below one folder."""
    answer = run([*git(root), "ls-files", "--stage", "-z", "--", path], cwd=root).stdout
    rows = [row.partition("\t") for row in answer.split("\0") if row]
    return {name: about.split()[0] for about, _, name in rows}
