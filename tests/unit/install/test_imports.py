"""What the code imports is named by the extra that its environment is made of, not only brought by another package."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from te_devcluster.paths import checkout

from tests.unit.install.locks import EXTRAS_OF_HOST, extra

pytestmark = pytest.mark.unit

IN_BOTH_IMAGES = ("domain", "addresses", "config", "errors", "cli", "control", "telemetry", "__init__", "__main__")
"""Parts of `apps/tradingengine` that run at the edge and in the cloud."""
ONLY_AT_THE_EDGE = ("execution", "strategies", "marketdata", "brokers")
SQLITE = Path("apps/tradingengine/storage/sqlite.py")
"""The one module of `storage` that the edge uses; a contract in pyproject.toml keeps it out of api and dashboard."""
OF_THE_HOST = ("devcluster", "tests", "bench", "demo")
OWN = frozenset({"tradingengine", "tradingengine_operator", "tests", "bench", "demo"})


@cache
def named(extras: tuple[str, ...]) -> frozenset[str]:
    """The distributions that extras of pyproject.toml name."""
    return frozenset(canonicalize_name(each.name) for name in extras for each in extra(name))


def extras_for(path: Path) -> tuple[tuple[str, ...], ...]:
    """The extras that must name what a file imports: one of each of these groups."""
    folder, *below = path.parts
    if folder == "operator":
        return (("operator",),)
    if folder == "devcluster":
        return (("dev",),)
    if folder != "apps":
        return (EXTRAS_OF_HOST,)  # tests may use whatever they test
    part = Path(below[1]).stem
    if part in IN_BOTH_IMAGES:
        return (("apps",), ("edge",))
    return (("edge",),) if part in ONLY_AT_THE_EDGE or path == SQLITE else (("apps",),)


def imports(text: str) -> Iterator[str]:
    """The top-level names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def of_devcluster() -> frozenset[str]:
    """The packages of the devcluster."""
    return frozenset(each.name for each in (checkout() / "devcluster").iterdir())


def unnamed(path: Path, text: str, distributions: dict[str, list[str]]) -> list[str]:
    """What a file imports and no extra of its own names, one line each."""
    found = []
    own = OWN | of_devcluster()
    for name in sorted(set(imports(text)) - sys.stdlib_module_names - own):
        brought_by = {canonicalize_name(each) for each in distributions.get(name, [])}
        found += [
            f"{path} imports {name}, which the extra {' or '.join(extras)} does not name"
            for extras in extras_for(path)
            if not brought_by & named(extras)
        ]
    return found


@pytest.fixture(scope="module")
def distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@pytest.mark.parametrize("folder", ["operator", "apps", *OF_THE_HOST])
def test_what_is_imported_is_named(folder: str, distributions: dict[str, list[str]]) -> None:
    files = sorted((checkout() / folder).rglob("*.py"))
    assert files
    wrong = [line for file in files for line in unnamed(file.relative_to(checkout()), file.read_text(), distributions)]
    assert wrong == []


def test_every_part_of_the_programs_has_an_image() -> None:
    """So that a new one is not forgotten in the lists above."""
    parts = {path.stem for path in (checkout() / "apps" / "tradingengine").iterdir() if path.name != "__pycache__"}
    in_the_cloud = {"api", "dashboard", "jobs", "storage", "security"}
    assert {part for part in parts if part != "py"} == {*IN_BOTH_IMAGES, *ONLY_AT_THE_EDGE, *in_the_cloud}


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("operator/tradingengine_operator/x.py", "import httpx.auth", ["httpx", "operator"]),
        ("apps/tradingengine/execution/x.py", "def f():\n    from fastapi import FastAPI", ["fastapi", "edge"]),
        ("apps/tradingengine/api/x.py", "import apsw", ["apsw", "apps"]),
        ("apps/tradingengine/telemetry/x.py", "import alembic", ["alembic", "edge"]),
        ("devcluster/te_demo/x.py", "import kopf", ["kopf", "dev"]),
        ("bench/x.py", "import no_such_thing", ["no_such_thing", "operator or apps or edge or dev"]),
    ],
)
def test_an_import_that_no_extra_of_its_own_names_is_found(
    path: str, text: str, said: list[str], distributions: dict[str, list[str]]
) -> None:
    name, extras = said
    assert unnamed(Path(path), text, distributions) == [
        f"{path} imports {name}, which the extra {extras} does not name"
    ]


def test_what_comes_with_python_or_lies_beside_it_needs_no_extra(distributions: dict[str, list[str]]) -> None:
    text = "import json, te_devcluster.paths\nfrom . import y\nfrom tradingengine.domain import orders"
    assert unnamed(Path("devcluster/te_demo/x.py"), text, distributions) == []
