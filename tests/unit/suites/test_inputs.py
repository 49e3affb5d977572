"""What a suite uses, by imports and by the page that it follows, is among its inputs: else a change is not tried."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from te_devcluster.git import git
from te_devcluster.paths import checkout
from te_suites.catalogue import SUITES, Suite, suite_named

pytestmark = pytest.mark.unit

ROOTS = ("operator", "apps", "devcluster", ".")
"""Where pyproject.toml lets pytest look for modules."""
EXCEPTIONS = {"existing-cluster": ("apps/",)}
"""Suite -> folders that it uses and does not read: every `make test` tries the programs, as CONTRIBUTING.md says."""
ALWAYS = ("pyproject.toml", "requirements/dev.txt", "Makefile")
"""Of every suite: how pytest is set up, with which packages, and what starts it."""


@cache
def tracked() -> frozenset[str]:
    answer = subprocess.run(
        [*git(checkout()), "ls-files", "-z"], cwd=checkout(), check=True, capture_output=True, text=True
    )
    return frozenset(answer.stdout.split("\0"))


def files_of(module: str) -> Iterator[str]:
    """The files that importing a module runs, if it is one of ours."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        place = "/".join(parts[:end])
        for root in ROOTS:
            found = (str(Path(root) / f"{place}.py"), str(Path(root) / place / "__init__.py"))
            yield from (name for name in found if name in tracked())


@cache
def imported(name: str) -> frozenset[str]:
    """The files of ours that a file imports, wherever in it."""
    modules: list[str] = []
    for node in ast.walk(ast.parse((checkout() / name).read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            folder = Path(name).parts[1 if name.startswith(ROOTS[:3]) else 0 : -node.level] if node.level else ()
            module = ".".join((*folder, *filter(None, [node.module])))
            modules += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return frozenset(found for module in modules for found in files_of(module))


def followed(names: Iterable[str]) -> set[str]:
    """Files, what they import, what that imports, and so on."""
    seen: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += imported(name)
    return seen


def below(place: str) -> list[str]:
    return sorted(name for name in tracked() if name == place or name.startswith(f"{place}/"))


def read_by_pytest(suite: Suite) -> list[str]:
    """The files that pytest reads: those named, and the conftest.py of their folders and of all above."""
    named = [word for word in suite.arguments if word.startswith("tests/")]
    files = [name for word in named for name in below(word) if name.endswith(".py")]
    above = {str(folder / "conftest.py") for name in files for folder in Path(name).parents}
    return [*files, *sorted(above & tracked())]


def called(suite: Suite) -> set[str]:
    """The files of ours that a page among a suite's inputs has in its bash blocks."""
    pages = [(checkout() / name).read_text() for name in suite.inputs if name.endswith(".md")]
    blocks = [block for page in pages for block in re.findall(r"(?s)```bash\n(.*?)```", page)]
    return {word for block in blocks for word in re.findall(r"[\w.-]+(?:/[\w.-]+)+", block)} & tracked()


def uncovered(suite: Suite) -> list[str]:
    """What a suite uses and does not read."""
    used = followed(read_by_pytest(suite)) | called(suite) | set(ALWAYS)
    read = {name for place in suite.paths() for name in below(place)}
    return sorted(name for name in used - read if not name.startswith(EXCEPTIONS.get(suite.name, ())))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_what_a_suite_uses_is_what_it_reads(suite: Suite) -> None:
    assert read_by_pytest(suite)
    assert uncovered(suite) == []


@pytest.mark.parametrize(
    ("name", "taken_out", "missed"),
    [
        ("existing-cluster", "devcluster/te_devcluster", "devcluster/te_devcluster/relay.py"),
        ("existing-cluster", "devcluster/te_demo", "devcluster/te_demo/existing/hand.py"),
        ("existing-cluster", "devcluster/bin", "devcluster/bin/devcluster"),
        ("existing-cluster", "demo", "demo/gateway.yaml"),
        ("existing-cluster", "tests/e2e/conftest.py", "tests/e2e/conftest.py"),
        ("existing-cluster", "tests/host_network.py", "tests/host_network.py"),
        ("existing-cluster", "tests/conftest.py", "tests/conftest.py"),
        ("existing-cluster", "pyproject.toml", "pyproject.toml"),
        ("install", "tests/conftest.py", "tests/conftest.py"),
        ("install", "tests/unit/install/locks.py", "tests/unit/install/locks.py"),
        ("install", "devcluster/te_devcluster/commands.py", "devcluster/te_devcluster/commands.py"),
        ("install", "requirements", "requirements/dev.txt"),
    ],
)
def test_an_input_that_is_taken_out_is_missed(name: str, taken_out: str, missed: str) -> None:
    suite = suite_named(name)
    assert taken_out in suite.inputs
    assert missed in uncovered(replace(suite, inputs=tuple(each for each in suite.inputs if each != taken_out)))


def test_each_exception_is_needed() -> None:
    for name, folders in EXCEPTIONS.items():
        used = followed(read_by_pytest(suite_named(name)))
        assert all(any(file.startswith(folder) for file in used) for folder in folders)


def test_the_product_itself_is_an_input_as_far_as_the_page_touches_it() -> None:
    """The operator, chart and locks; CONTRIBUTING.md says what is not."""
    suite = suite_named("existing-cluster")
    assert {"operator", "helm", "requirements", "apps/tradingengine/dashboard/frontend/package-lock.json"} <= {
        *suite.inputs
    }
