"""Reading the locks and the extras of pyproject.toml, and asking whether the one holds all that the other needs."""

from __future__ import annotations

import functools
import importlib.metadata
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from packaging.markers import Environment, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from te_devcluster.contexts import PYTHON_OF_IMAGES
from te_devcluster.paths import checkout

IMAGES = ("operator", "apps", "edge")
EXTRAS_OF_HOST = (*IMAGES, "dev")
Needs = Callable[[str], list[Requirement] | None]
"""Name of a distribution -> what it requires, or None when that cannot be known here."""


def lock_file(name: str) -> Path:
    """The lock of that name."""
    return checkout() / "requirements" / f"{name}.txt"


def pins(text: str, environment: Environment) -> dict[str, str]:
    """Normalized name -> version of the lines of a lock that count in an environment."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line[:1] in ("", " ", "#"):
            continue
        requirement = Requirement(line.rstrip("\\ "))
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        if requirement.marker is None or requirement.marker.evaluate(cast(dict[str, str], environment)):
            found[canonicalize_name(requirement.name)] = pin.version
    return found


def extra(name: str) -> list[Requirement]:
    """What an extra of pyproject.toml names."""
    project = tomllib.loads((checkout() / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in project["optional-dependencies"][name]]


def environment_of_images() -> Environment:
    """What markers are asked of in the images: Debian 13's Python on x86-64."""
    full = f"{PYTHON_OF_IMAGES}.5"
    changed = {"python_version": PYTHON_OF_IMAGES, "python_full_version": full, "implementation_version": full}
    linux = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    return cast(Environment, {**default_environment(), **changed, **linux})


@functools.cache
def needs_of_installed(name: str) -> list[Requirement] | None:
    """What the package that is installed here requires."""
    try:
        lines = importlib.metadata.requires(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return [Requirement(line) for line in lines or []]


@dataclass
class Verdict:
    """What is wrong with a lock (one line each), and the packages whose own needs cannot be known here."""

    wrong: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def judge(lock: Mapping[str, str], roots: Iterable[Requirement], environment: Environment, needs: Needs) -> Verdict:
    """Follows requirements from `roots` through what each package asks for, as an installer that resolves would."""
    verdict = Verdict()
    reached: set[str] = set()
    done: set[tuple[str, str]] = set()
    asked = [("pyproject.toml", requirement, "") for requirement in roots]
    while asked:
        by, requirement, wanted_extra = asked.pop()
        if requirement.marker and not requirement.marker.evaluate(
            cast(dict[str, str], {**environment, "extra": wanted_extra})
        ):
            continue
        name = canonicalize_name(requirement.name)
        if name not in lock:
            verdict.wrong.append(f"{name} is not in the lock: {by} asks for `{requirement}`")
            continue
        if not requirement.specifier.contains(lock[name], prereleases=True):
            verdict.wrong.append(f"{name} {lock[name]} is locked: {by} asks for `{requirement}`")
        reached.add(name)
        for one in ("", *sorted(requirement.extras)):
            if (name, one) in done:
                continue
            done.add((name, one))
            below = needs(name)
            if below is None:
                verdict.unknown.append(name)
            asked += [(name, each, one) for each in below or []]
    verdict.wrong += [f"{name} is in the lock and nobody asks for it" for name in sorted(set(lock) - reached)]
    return verdict
