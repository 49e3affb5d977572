"""Linters for what is no Python: the files are found by what they are, not by a list that somebody has to keep."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.git import git

_SHEBANG = re.compile(rb"#!.*[/ ](sh|bash|dash|ksh)(\s|$)")


def is_shell(path: Path) -> bool:
    """A script whose first line names a shell, or a file that a shell reads in."""
    if path.suffix in {".sh", ".bash"}:
        return True
    with path.open("rb") as file:
        return _SHEBANG.match(file.readline(200)) is not None


def is_yaml(path: Path) -> bool:
    """A file of YAML. `.yamllint.yaml` says which of them are templates or made by a program."""
    return path.suffix in {".yaml", ".yml"}


def is_dockerfile(path: Path) -> bool:
    """A Dockerfile by its name."""
    return path.name.partition(".")[0] in {"Dockerfile", "Containerfile"} or path.suffix.lower() == ".dockerfile"


@dataclass(frozen=True)
class Linter:
    """One program and the files it is given. `program` is Debian's, or one of the Python environment."""

    command: tuple[str, ...]
    wants: Callable[[Path], bool]
    mend: str
    of_environment: bool = True

    def program(self) -> str:
        """Where the program is."""
        return str(Path(sys.executable).parent / self.command[0]) if self.of_environment else self.command[0]


LINTERS: dict[str, Linter] = {
    "shell": Linter(("shellcheck", "--external-sources"), is_shell, "make packages", of_environment=False),
    "yaml": Linter(("yamllint", "--strict"), is_yaml, "make venv"),
    "docker": Linter(("hadolint", "--no-color"), is_dockerfile, "make venv"),
}


def tracked_files(root: Path) -> Iterator[Path]:
    """The files that git knows or would take, below `root`; not links, nor what was deleted and is still known."""
    command = [*git(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in run(command, cwd=root).stdout.split("\0"):
        path = root / name
        if name and path.is_file() and not path.is_symlink():
            yield path


def files_of(linter: Linter, root: Path) -> list[str]:
    """The files for a linter, by their place below `root`. DevclusterError when there is none: nothing was checked."""
    found = sorted({str(path.relative_to(root)) for path in tracked_files(root) if linter.wants(path)})
    if not found:
        raise DevclusterError(f"no file for {linter.command[0]} in {root}", "run it in a checkout of this repository")
    return found


def lint(kind: str, root: Path) -> int:
    """Runs the linter of that kind over its files, its findings on stdout; its exit code."""
    linter = LINTERS[kind]
    files = files_of(linter, root)
    try:
        code = subprocess.run([linter.program(), *linter.command[1:], *files], cwd=root, check=False).returncode
    except FileNotFoundError as error:
        raise DevclusterError(f"no program `{linter.command[0]}`", linter.mend) from error
    say(f"{linter.command[0]}: {len(files)} files, {'clean' if code == 0 else 'findings'}")
    return code
