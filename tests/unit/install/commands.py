"""The commands of package managers in tracked files: found in shell-like text and in Python, and judged."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from te_devcluster.git import git

from tests.unit.install.in_python import MARK, lists_of_words

PROGRAMS = frozenset(
    {"npm", "npx", "yarn", "pnpm", "corepack", "pip", "pip3", "pipx", "uv", "uvx", "go", "curl", "wget"}
)
NPM = frozenset({"audit", "ci", "run", "test", "--version"})
GO = frozenset({"build", "env", "list", "mod download", "mod verify", "run", "test", "version", "vet"})
#: A text of Python without this holds no command, and to take it apart takes a while; "go" is a word of English, too.
MAY_HOLD_ONE = re.compile(
    rf"(?<!\w)(?:{'|'.join(sorted(PROGRAMS - {'go'}))})(?!\w)|(?:[\"'/]|=\S+ |env |sudo |exec |time |nice )go(?!\w)"
)
GO_THAT_READS_NO_MODULE = frozenset({"env", "version"})
READ_ONLY = "-mod=readonly"


def tracked(root: Path) -> list[Path]:
    """Tracked files of a clone, relative to its root."""
    answer = subprocess.run([*git(root), "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in answer.split("\0") if name and (root / name).is_file()]


def is_script(path: Path, text: str) -> bool:
    """True for what a shell, make, npm or an image's builder runs."""
    named = path.name in ("Makefile", "package.json", ".pre-commit-config.yaml") or "Dockerfile" in path.name
    return named or path.suffix in (".sh", ".mk", ".mjs") or (not path.suffix and text.startswith("#!"))


def commands(path: Path, text: str) -> list[list[str]]:
    """The words of each command of a package manager in a file, from its program's name on."""
    if path.suffix == ".py":
        if not MAY_HOLD_ONE.search(text):
            return []
        return [found for words in lists_of_words(text) for found in _from_program(words)]
    return list(_of_shell(text)) if is_script(path, text) else []


def _of_shell(text: str) -> Iterator[list[str]]:
    joined = re.sub(r"\\\r?\n", " ", text).replace("$(UV)", "uv")
    joined = re.sub(r"\$[({]\w+[)}]", "VARIABLE", joined)
    for line in joined.splitlines():
        if line.lstrip().startswith(("#", "//")):
            continue
        line = re.sub(r"^\w+ *[:?+]?= *|\s(#|//|##) .*", "", line)
        for part in re.split(r"&&|\|\||[;|`\"'(){}]", line):
            yield from _from_program(part.split())


def _from_program(words: list[str]) -> Iterator[list[str]]:
    """The words from the program on; what stands before it may only be settings, wrappers and make's own marks."""
    before = ("env", "sudo", "exec", "time", "nice", "RUN", "CMD", "-m", "&")
    for index, word in enumerate(words):
        name = word.lstrip("@-").rpartition("/")[2]
        if name in PROGRAMS:
            if words[index + 1 :]:  # else it is only named
                yield [name, *words[index + 1 :]]
            return
        python = re.fullmatch(r"python[\d.]*|VARIABLE", name)
        if not (python or word in before or "=" in word or word.startswith("-") or word in ("cd", ":=")):
            return


def fault(command: list[str]) -> str:
    """Why a command may resolve a version or fetch what no lock names; empty when it cannot."""
    program, *rest = command
    plain = [word for word in rest if not word.startswith("-")]
    if any("@latest" in word for word in rest):
        return "the newest version is asked for"
    if program == "npm":
        if rest[:1] == ["audit"] and "fix" in plain:
            return "npm chooses newer versions"
        return "" if rest and rest[0] in NPM else "npm installs by `npm ci` alone"
    if program in ("pip", "pip3"):
        return _fault_of_pip(rest, plain)
    if program == "uv":
        if plain[:2] == ["pip", "sync"]:
            return "" if "--require-hashes" in rest else "uv installs with --require-hashes"
        return "" if plain[:2] == ["pip", "compile"] else "uv installs by `uv pip sync --require-hashes` alone"
    if program == "go":
        return _fault_of_go(rest, plain)
    return f"`{program}` fetches what no lock names"


def _fault_of_pip(rest: list[str], plain: list[str]) -> str:
    verb = plain[0] if plain else ""
    if verb not in ("install", "download", "wheel"):
        return ""
    if "--no-deps" not in rest or not {"--require-hashes", "--no-index"} & set(rest):
        return "pip installs with --no-deps, and --require-hashes or --no-index"
    return ""


def _fault_of_go(rest: list[str], plain: list[str]) -> str:
    verb = " ".join(plain[:2]) if plain[:1] == ["mod"] else (plain[0] if plain else "")
    if verb not in GO:
        return "go builds what go.mod and go.sum say, and changes neither"
    if verb == "run" and any("@" in word for word in plain[1:2]):
        return "go runs what go.mod says, not a version beside it"
    # GO_ENVIRONMENT of te_devcluster.tools sets it for every command, which a test of its own holds.
    if verb in GO_THAT_READS_NO_MODULE or READ_ONLY in rest or MARK in rest:
        return ""
    return f"go runs with {READ_ONLY}"
