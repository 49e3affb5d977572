"""The wheel in an empty environment: programs start, pages render, the calendar and the CRD are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from te_devcluster.git import git
from te_devcluster.paths import checkout
from te_devcluster.wheel import build_wheel

pytestmark = pytest.mark.integration

PAGES = """
import json
from starlette.testclient import TestClient
import tradingengine
from tradingengine.config import load_settings
from tradingengine.dashboard.app import create_app
from tradingengine.dashboard.assets import STATIC_DIR
from tradingengine.dashboard.first_data import Person
from tradingengine.domain.calendar import load_calendar
from tradingengine.security.sessions import COOKIE

class Source:
    async def person(self, token):
        return Person(login="asha", name="Asha", roles=("trader",))
    async def parts(self):
        return {}

client = TestClient(create_app(load_settings("dashboard"), Source()), cookies={COOKIE: "x"})
page, login = client.get("/charts"), client.get("/login")
names = json.loads((STATIC_DIR / "manifest.json").read_text())
script = next(value for value in names.values() if value.endswith(".js"))
print(json.dumps({
    "package": tradingengine.__file__,
    "page": [page.status_code, "Asha" in page.text],
    "login": [login.status_code, "password" in login.text],
    "static": [client.get(f"/static/{script}").status_code, len(client.get(f"/static/{script}").content) > 1000],
    "segments": sorted(segment.value for segment in load_calendar().segments),
}))
"""

HEADS = """
from pathlib import Path
from alembic.script import ScriptDirectory
import tradingengine.storage.migrate as migrate
print(*ScriptDirectory(Path(migrate.__file__).parent / "migrations").get_heads())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of what the lock names and this wheel, on a Python that knows nothing of the checkout."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    uv = uv_of_the_lock()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    lock = checkout() / "requirements" / "dev.txt"
    python = f"--python={place / 'bin' / 'python'}"
    for command in (
        ["sync", "--quiet", python, "--require-hashes", "--only-binary", ":all:", str(lock)],
        ["install", "--quiet", python, "--no-deps", "--no-index", str(wheel)],
    ):
        subprocess.run([uv, "pip", *command], check=True, timeout=600)
    return place


def uv_of_the_lock() -> str:
    """The uv of this checkout's lock, made when it is missing; the cache may hold those of other locks."""
    asked = ["make", "--silent", "--no-print-directory", "-C", str(checkout()), "uv-path"]
    done = subprocess.run(
        asked, env={**os.environ, "MAKEFLAGS": ""}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{' '.join(asked)}: {done.stderr}"
    return done.stdout.strip()


def run(environment: Path, empty: Path, *command: str) -> str:
    """Standard output of a program of the environment, in a folder of its own and with none of our variables."""
    done = subprocess.run(
        [environment / "bin" / command[0], *command[1:]],
        cwd=empty,
        env={
            "PATH": "/usr/bin:/bin",
            "TE_RELEASE": "7",
            "TE_SLOT": "b",
            "TE_DATABASE_URL": "postgresql://u@h/d",
            "TE_CACHE_URL": "redis://h",
            "TE_CONTROL_TOKEN": "0123456789abcdef",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_programs_and_what_they_read_and_nothing_else(wheel: Path) -> None:
    root = checkout()
    held = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        [*git(root), "ls-files", "--cached", "--others", "--exclude-standard", "operator", "apps", "contract"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    tracked = [Path(name) for name in listed if (root / name).is_file() and "frontend" not in Path(name).parts]
    wanted = {str(Path(*path.parts[1:])) for path in tracked if path.parts[0] != "contract" and path.suffix == ".py"}
    wanted |= {f"tradingengine/{path}" for path in tracked if path.parts[0] == "contract" and path.suffix == ".json"}
    wanted |= {str(Path(*path.parts[1:])) for path in tracked if path.suffix == ".html"}
    static = root / "apps" / "tradingengine" / "dashboard" / "static"
    wanted |= {f"tradingengine/dashboard/static/{path.name}" for path in static.iterdir() if path.name[0] != "."}
    assert {name for name in held if ".dist-info/" not in name} == wanted


def test_equal_sources_make_an_equal_wheel(wheel: Path, tmp_path: Path) -> None:
    assert build_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_both_command_lines_start_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    assert "migrate" in run(environment, tmp_path, "te", "--help")
    assert "uninstall-check" in run(environment, tmp_path, "tradingengine-operator", "--help")
    assert run(environment, tmp_path, "tradingengine-operator", "--version").strip() == wheel_version()


def wheel_version() -> str:
    return str(tomllib.loads((checkout() / "pyproject.toml").read_text())["project"]["version"])


def test_pages_files_and_calendar_come_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    told = json.loads(run(environment, tmp_path, "python", "-c", PAGES))
    assert Path(told.pop("package")).is_relative_to(environment)
    assert told == {
        "page": [200, True],
        "login": [200, True],
        "static": [200, True],
        "segments": ["MCX", "NSE_EQ", "NSE_FO"],
    }


def test_the_crd_comes_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    run(environment, tmp_path, "python", "-m", "tradingengine_operator.api.crd", "--root", str(tmp_path))
    for name in ("helm/tradingengine/templates/crd.yaml", "docs/reference/crd.md"):
        assert (tmp_path / name).read_text() == (checkout() / name).read_text()


def test_the_migrations_are_in_the_wheel(environment: Path, tmp_path: Path) -> None:
    heads = run(environment, tmp_path, "python", "-c", HEADS).split()
    versions = checkout() / "apps" / "tradingengine" / "storage" / "migrations" / "versions"
    assert len(heads) == 1
    assert any(path.name.startswith(heads[0]) for path in versions.glob("*.py"))
