"""What make itself does: environments that are made once for all checkouts, and variables that only a person gives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from te_devcluster.commands import wait_until
from te_devcluster.paths import checkout

pytestmark = pytest.mark.integration

PYTHON = """#!/bin/bash
# Stands in for python3, for what it makes, and for uv: notes what it was asked for, and makes a folder once it may.
set -euo pipefail
case "$*" in
  --version) echo Python 3.11.0; exit ;;
  "-m venv"*)
    place="${@: -1}"
    echo "$place" >> "$STAGE/made"
    mkdir "$place"
    until [ -e "$STAGE/may-make" ]; do sleep 0.05; done
    mkdir "$place/bin"
    cp "$0" "$place/bin/python"
    cp "$0" "$place/bin/uv" ;;
esac
"""


class Stage:
    """Two checkouts with one cache, which is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.python = folder / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.running: list[subprocess.Popen[str]] = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            shutil.copy(checkout() / "Makefile", folder / name)
            shutil.copytree(checkout() / "requirements", folder / name / "requirements")

    def venv(self, name: str) -> subprocess.Popen[str]:
        """`make venv` in a checkout; both its streams are a file."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "STAGE": str(self.folder)}
        command = ["make", "venv", f"PYTHON={self.python}", f"TRADINGENGINE_CACHE={self.cache}"]
        with (self.folder / f"{name}.said").open("w") as said:
            made = subprocess.Popen(
                command, cwd=self.folder / name, env=environment, stdout=said, stderr=said, text=True
            )
        self.running.append(made)
        return made

    def said(self, name: str) -> str:
        """All that it said so far."""
        return (self.folder / f"{name}.said").read_text()

    def made(self) -> list[str]:
        """The folders that were begun, in order, without their hash."""
        file = self.folder / "made"
        return [Path(line).name.partition("-")[0] for line in file.read_text().split()] if file.exists() else []

    def go_on(self) -> None:
        """What is being made may be done."""
        (self.folder / "may-make").touch()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.go_on()
    for process in made.running:
        process.wait(60)


def test_two_checkouts_that_begin_at_once_make_an_environment_once(stage: Stage) -> None:
    first = stage.venv("one")
    wait_until("the first makes it", lambda: bool(stage.made()), timeout=120)
    second = stage.venv("two")
    wait_until(
        "the second waits or makes it too",
        lambda: "waits for another that is making it" in stage.said("two") or second.poll() is not None,
        timeout=120,
        hint=lambda: stage.said("two"),
    )
    stage.go_on()
    assert (first.wait(120), second.wait(120)) == (0, 0), stage.said("one") + stage.said("two")
    assert stage.made() == ["uv", "venv"]
    assert (stage.folder / "one" / ".venv").resolve() == (stage.folder / "two" / ".venv").resolve()


def test_what_an_interrupted_one_left_is_made_anew(stage: Stage) -> None:
    stage.go_on()
    assert stage.venv("one").wait(120) == 0, stage.said("one")
    for folder in (each for each in stage.cache.iterdir() if each.name != "locks"):
        (folder / ".done").unlink()
        (folder / "half").touch()
    assert stage.venv("two").wait(120) == 0, stage.said("two")
    assert stage.made() == ["uv", "venv"] * 2
    assert list(stage.cache.glob("*/half")) == []


def test_an_environment_that_is_there_stays_when_uv_is_a_newer_one(stage: Stage) -> None:
    stage.go_on()
    assert stage.venv("one").wait(120) == 0, stage.said("one")
    (stage.folder / "one" / "requirements" / "uv.txt").write_text("another\n")
    assert stage.venv("one").wait(120) == 0, stage.said("one")
    assert stage.made() == ["uv", "venv", "uv"]


GIVEN = {
    "CLUSTER": "current", "DATA_DIR": "recordings", "KEEP": "kept", "PORT": "8089", "IMAGES": "k3s", "GATEWAY": "a/b",
    "GATEWAY_SERVICE": "c/d", "DESK_HOST": "here", "EDGE_NODE": "edge", "YES": "1", "DRY_RUN": "1", "FORGET": "1",
    "SECONDS_CUT": "9", "PACKAGE": "httpx", "BASES": "x=y",
}  # fmt: skip
COMMANDS = {
    "desk": '-m te_desk --data-dir "recordings" --keep "kept" --port "8089"',
    "demo": '-m te_demo up --data-dir "recordings" --cluster "current" --images "k3s" --gateway "a/b" '
    '--gateway-service "c/d" --host "here" --edge-node "edge" --yes --dry-run',
    "demo-canary": '-m te_demo canary --cluster "current"',
    "demo-cut": '-m te_demo cut --seconds "9" --cluster "current"',
    "demo-down": '-m te_demo down --cluster "current" --forget',
    "lock-upgrade": "--upgrade-package httpx",
    "image-contexts": '--contexts build/images --base "x=y"',
}


def would_run(target: str, *arguments: str, **environment: str) -> str:
    """What make would run, with single spaces."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target, *arguments],
        cwd=checkout(),
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("target", COMMANDS)
def test_what_a_person_says_is_handed_on(target: str) -> None:
    assert COMMANDS[target] in would_run(target, *(f"{name}={value}" for name, value in GIVEN.items()))


@pytest.mark.parametrize("target", COMMANDS)
def test_what_the_shell_happens_to_hold_changes_nothing(target: str) -> None:
    assert would_run(target, **GIVEN) == would_run(target)
    assert "te_demo check" in would_run("demo", **GIVEN)


def test_the_registry_may_be_one_of_the_shell_and_is_for_a_cluster_that_was_named() -> None:
    for said in (
        would_run("demo", "CLUSTER=current", REGISTRY="r"),
        would_run("demo", "CLUSTER=current", "REGISTRY=r"),
    ):
        assert '--cluster "current" --registry "r"' in said
    assert "--registry" not in would_run("demo", REGISTRY="r")
