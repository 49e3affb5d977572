"""Installing takes the lock and nothing else, on a day on which every package has a newer release that is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.utils import parse_wheel_filename
from te_devcluster.paths import checkout

from tests.suites.install.index import (
    BROKEN_VERSION,
    LOCKS_OF_IMAGES,
    Index,
    add_broken_releases,
    fetch,
    served,
    settings,
)
from tests.unit.install.locks import environment_of_images, pins

pytestmark = pytest.mark.suite

PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")
VERSIONS = """
import importlib.metadata, json, re
print(json.dumps({re.sub("[-_.]+", "-", each.metadata["Name"]).lower(): each.version
                  for each in importlib.metadata.distributions()}))
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All wheels of the locks, and the broken ones."""
    folder = tmp_path_factory.mktemp("wheels")
    fetch(checkout() / "requirements", folder)
    names = add_broken_releases(folder)
    assert set(pins((checkout() / "requirements" / "dev.txt").read_text(), default_environment())) <= set(names)
    return folder


@pytest.fixture
def index(wheels: Path) -> Index:
    return Index(wheels)


@pytest.fixture
def environment(index: Index, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What commands are run with: this index alone, empty caches, nothing of this checkout's own environment."""
    dropped = ("PIP_", "UV_", "MAKE", "TRADINGENGINE_", "PYTHON", "VIRTUAL_ENV", "XDG_", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    with served(index) as address:
        yield {**kept, **settings(address, tmp_path)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What `make venv` reads, apart from the checkout, whose own environment stays as it is."""
    folder = tmp_path / "tree"
    folder.mkdir()
    shutil.copy(checkout() / "Makefile", folder)
    shutil.copytree(checkout() / "requirements", folder / "requirements")
    return folder


def run(command: list[str], environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900)


def succeed(command: list[str], environment: Mapping[str, str], folder: Path) -> str:
    done = run(command, environment, folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def broken(index: Index) -> list[str]:
    return [name for name in index.taken if f"-{BROKEN_VERSION}-" in name]


def locked(tree: Path, name: str) -> dict[str, str]:
    return pins((tree / "requirements" / f"{name}.txt").read_text(), default_environment())


def test_make_venv_and_the_images_wheels_take_what_is_locked(
    index: Index, environment: dict[str, str], tree: Path
) -> None:
    succeed(["make", "venv", f"PYTHON={PYTHON}"], environment, tree)
    python = str(tree / ".venv" / "bin" / "python")
    assert json.loads(succeed([python, "-c", VERSIONS], environment, tree)) == locked(tree, "dev")
    cache = Path(environment["TRADINGENGINE_CACHE"])
    (uv,) = cache.glob("uv-*/bin/uv")
    assert succeed([str(uv), "--version"], environment, tree).split()[1] == locked(tree, "uv")["uv"]
    after_venv = set(index.taken)

    for name in LOCKS_OF_IMAGES:
        lock = tree / "requirements" / f"{name}.txt"
        code = (
            f"from pathlib import Path; from te_devcluster.contexts import wheels; print(wheels(Path({str(lock)!r})))"
        )
        more = {"PYTHONPATH": str(checkout() / "devcluster"), "TRADINGENGINE_VENV": str(tree / ".venv")}
        folder = succeed([python, "-c", code], {**environment, **more}, tree).strip()
        parsed = [parse_wheel_filename(path.name) for path in Path(folder).iterdir()]
        found = {str(package): str(version) for package, version, *_ in parsed}
        assert found == pins(lock.read_text(), environment_of_images())
    assert set(index.taken) - after_venv  # they came from here too, not from a cache
    assert broken(index) == []


def test_the_command_that_resolved_trips_over_a_newer_release(
    index: Index, environment: dict[str, str], tree: Path
) -> None:
    """What `make venv` did until a day with a newer coverage; so the test above can fail."""
    succeed([PYTHON, "-m", "venv", "old"], environment, tree)
    command = ["old/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]
    done = run([*command, "-r", "requirements/dev.txt"], environment, tree)
    assert done.returncode != 0
    assert "hash" in (done.stdout + done.stderr).lower()
    assert BROKEN_VERSION in done.stdout + done.stderr or broken(index)


def test_without_a_lock_the_broken_release_is_the_one_that_is_chosen(
    index: Index, environment: dict[str, str], tree: Path
) -> None:
    """The trap is one for uv as well: its newest release is what a resolver takes."""
    succeed(["make", "venv", f"PYTHON={PYTHON}"], environment, tree)
    (uv,) = Path(environment["TRADINGENGINE_CACHE"]).glob("uv-*/bin/uv")
    command = [str(uv), "pip", "install", "--python", str(tree / ".venv" / "bin" / "python"), "--upgrade", "--no-deps"]
    succeed([*command, "coverage"], environment, tree)
    assert broken(index) == [f"coverage-{BROKEN_VERSION}-py3-none-any.whl"]
