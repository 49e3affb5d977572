"""Which change of a file concerns which process: from the imports as they stand in the code, and from its place."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

PROCESSES = ("api", "dashboard", "edge")
PACKAGE = "tradingengine"
_MAINS = {"api": "api.main", "dashboard": "dashboard.main", "edge": "execution.main"}
# `te` imports the commands when they run, so what it imports lazily is no import of every process.
_COMMAND_LINE = ("__main__", "cli")
_BUILT = ("node_modules", "dist", "test")
ENGINE_FILE = "demo/engine.yaml"
WATCHED = ("apps/tradingengine", "contract", "demo", "requirements")


@dataclass(frozen=True)
class Plan:
    """What is to be done about a change, in this order: front end, configuration, schema, processes; and what is said.

    `broken` are the files that are no Python right now: nothing is started on them.
    """

    frontend: bool = False
    configuration: bool = False
    migrate: bool = False
    restart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """True when the change concerns nothing that runs."""
        return not (self.frontend or self.configuration or self.migrate or self.restart or self.notes or self.broken)


class Imports:
    """Who imports what in a source tree, read from the files by grimp without running any."""

    def __init__(self, source: Path) -> None:
        self._apps = source / "apps"
        self._users: dict[str, set[str]] = {}

    def refresh(self) -> None:
        """Read the tree again. What was imported before counts on, so that a module taken away is missed by someone.

        Raises SyntaxError when a file is no Python.
        """
        import grimp
        from grimp.exceptions import SourceSyntaxError

        place = str(self._apps)
        if sys.path[0] != place:
            sys.path.insert(0, place)
        found = importlib.util.find_spec(PACKAGE)
        if found is not None and found.origin and not Path(found.origin).is_relative_to(self._apps):
            raise RuntimeError(f"{PACKAGE} is that of {found.origin}, not of {self._apps}")
        try:
            graph = grimp.build_graph(PACKAGE, cache_dir=None)
        except SourceSyntaxError as error:
            raise SyntaxError(str(error)) from error
        direct = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
        for process, main in _MAINS.items():
            for module in imported(f"{PACKAGE}.{main}", direct):
                self._users.setdefault(module, set()).add(process)
        for name in ("", *(f".{name}" for name in _COMMAND_LINE)):
            self._users[f"{PACKAGE}{name}"] = set(PROCESSES)

    def users_of(self, module: str) -> set[str]:
        """The processes that import a module."""
        return self._users.get(module, set())

    def users_near(self, place: PurePosixPath) -> set[str]:
        """The processes that import anything of the package around a file that is no Python (`place` below apps/)."""
        folder = place.parent
        while folder.parts and not (self._apps / folder / "__init__.py").is_file():
            folder = folder.parent
        package = ".".join(folder.parts)
        near = [users for name, users in self._users.items() if name == package or name.startswith(f"{package}.")]
        return set().union(*near)


def imported(start: str, direct: Mapping[str, set[str]]) -> set[str]:
    """All that an import of `start` brings in: with each module also the packages around it, which Python runs too."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        waiting += direct.get(module, ())
        if "." in module:
            waiting.append(module.rpartition(".")[0])
    return found


@dataclass
class _Draft:
    restart: set[str] = field(default_factory=set)
    frontend: bool = False
    configuration: bool = False
    migrate: bool = False
    notes: set[str] = field(default_factory=set)


def plan(changed: Iterable[Path], source: Path, imports: Imports) -> Plan:
    """What the changed files (absolute paths below `source`) ask for. Files that nothing runs ask for nothing."""
    places = sorted({PurePosixPath(path.relative_to(source)) for path in changed if path.is_relative_to(source)})
    broken = tuple(text for place in places if (text := no_python(source / place, str(place))))
    if broken:
        return Plan(broken=broken)
    try:
        imports.refresh()
    except SyntaxError as error:
        return Plan(broken=(str(error),))
    draft = _Draft()
    for place in places:
        _judge(place, draft, imports)
    return Plan(
        draft.frontend,
        draft.configuration,
        draft.migrate,
        tuple(name for name in PROCESSES if name in draft.restart),
        tuple(sorted(draft.notes)),
    )


def no_python(path: Path, place: str) -> str:
    """Why a file cannot be run, with its line; empty when it can, is no Python, or is gone."""
    if path.suffix != ".py":
        return ""
    try:
        compile(path.read_bytes(), place, "exec")
    except FileNotFoundError:
        return ""
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte, or no UTF-8
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        return f"{place}{line}: {error.msg if isinstance(error, SyntaxError) else error}"
    return ""


def _judge(place: PurePosixPath, draft: _Draft, imports: Imports) -> None:
    parts = place.parts
    if parts[0] == "requirements" or str(place) == "pyproject.toml":
        draft.notes.add(f"{place} changed: end the desk and start it again for new packages")
    elif str(place) == ENGINE_FILE:
        draft.configuration = True
        draft.restart |= set(PROCESSES)
    elif parts[0] == "contract":
        draft.restart |= set(PROCESSES)
    elif parts[:2] == ("apps", PACKAGE):
        _judge_code(PurePosixPath(*parts[1:]), draft, imports)


def _judge_code(place: PurePosixPath, draft: _Draft, imports: Imports) -> None:
    """`place` is below apps/: tradingengine/..."""
    inside = place.parts[1:]
    if inside[:2] == ("dashboard", "static"):
        return  # made by the front end's build, which says so itself
    if inside[:2] == ("dashboard", "frontend"):
        if not set(inside[2:]) & set(_BUILT):
            draft.frontend = True
            draft.restart.add("dashboard")
    elif inside[:2] == ("storage", "migrations"):
        draft.migrate = True
        draft.restart |= {"api", "dashboard"}
    elif place.suffix == ".py":
        module = place.with_suffix("")
        name = ".".join(module.parent.parts if module.name == "__init__" else module.parts)
        draft.restart |= imports.users_of(name)
    else:
        draft.restart |= imports.users_near(place)
