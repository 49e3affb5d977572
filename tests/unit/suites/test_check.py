"""`.ci/run` itself, with every program that it starts played: what it does, in which order, and with which figures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from te_devcluster.paths import checkout
from te_suites.__main__ import parser

pytestmark = pytest.mark.unit

PLAYED = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
case "${0##*/} $*" in
"python3 -c"*) exit "$NO_VENV" ;;
"make $FAILING"*) exit 7 ;;
"make test") sleep 1.1 ;;
esac
"""
STEPS = [
    "python3 -m te_suites plan",
    "make packages",
    "make venv",
    "make lint",
    "make tools images",
    "make test",
    "make suites-due",
]


class Played:
    """The script in a tree of its own, and what it called."""

    def __init__(self, folder: Path) -> None:
        self.calls, programs = folder / "calls", folder / "bin"
        (folder / "tree" / ".ci").mkdir(parents=True)
        programs.mkdir()
        self.script = shutil.copy(checkout() / ".ci" / "run", folder / "tree" / ".ci" / "run")
        for name in ("make", "python3", "apt-get"):
            (programs / name).write_text(PLAYED)
            (programs / name).chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(self.calls)}

    def run(self, *, failing: str = "-", no_venv: int = 0) -> subprocess.CompletedProcess[str]:
        more = {"FAILING": failing, "NO_VENV": str(no_venv)}
        return subprocess.run(
            [self.script], env={**self.environment, **more}, capture_output=True, text=True, timeout=120
        )

    def called(self) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if not line.startswith("python3 -c")]


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path)


def test_the_plan_comes_first_and_the_suites_last_with_what_was_measured(played: Played) -> None:
    before = int(time.time())
    done = played.run()
    after = time.time()
    assert done.returncode == 0, done.stderr
    assert [call.partition(" BEGUN=")[0] for call in played.called()] == STEPS
    sections = re.findall(r"(?m)^==== (.+) \(\d+:\d\d\)$", done.stdout)
    assert sections == [
        "plan",
        "Debian packages",
        "environment",
        "lint",
        "tools and images",
        "tests",
        "suites",
        "passed",
    ]
    figures = re.fullmatch(r"make suites-due BEGUN=(\d+) TEST_SECONDS=(\d+)", played.called()[-1])
    assert figures
    begun, tested = int(figures[1]), int(figures[2])
    assert before <= begun <= after
    assert 1 <= tested <= after - before + 1
    assert f"make test took {tested} s\n" in done.stdout


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_step_that_fails_ends_the_check(played: Played, step: str) -> None:
    done = played.run(failing=step.removeprefix("make "))
    assert done.returncode == 7
    assert "FAILED with code 7" in done.stdout
    assert [call.partition(" BEGUN=")[0] for call in played.called()] == STEPS[: STEPS.index(step) + 1]


def test_a_python_without_venv_gets_it_before_the_plan(played: Played) -> None:
    assert played.run(no_venv=1).returncode == 0
    update, install, plan, *_ = played.called()
    assert update.startswith("apt-get ")
    assert update.endswith(" update -qq")
    assert install.endswith(" install -y -qq --no-install-recommends python3 python3-venv")
    assert plan == STEPS[0]


def test_the_plan_is_a_command_of_the_program() -> None:
    assert parser().parse_args(STEPS[0].split()[3:]).command == "plan"


def make(*words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *words], cwd=checkout(), env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("suites-due", "BEGUN=1", "TEST_SECONDS=2"), {"command": "run-due", "begun": 1.0, "test_seconds": 2.0}),
        (("suite-install",), {"command": "run", "names": ["install"], "all": False}),
        (("suites",), {"command": "list", "output": "text"}),
    ],
)
def test_what_make_calls_is_what_the_program_takes(words: tuple[str, ...], expected: dict[str, object]) -> None:
    said = make("--dry-run", "--no-print-directory", *words)
    (line,) = [line for line in said.splitlines() if " -m te_suites " in line]
    assert vars(parser().parse_args(line.partition(" -m te_suites ")[2].split())) == expected


def test_make_help_lists_every_target_that_has_a_line() -> None:
    lines = re.findall(r"(?m)^(\S[^:=\n]*):[^=\n]*## (.+)$", (checkout() / "Makefile").read_text())
    expected = {(name.replace("%", "NAME"), about) for names, about in lines for name in names.split()}
    assert {"bench-cold", "bench-warm", "suite-NAME", "unit"} <= {name for name, _ in expected}
    listed = {(name, about) for name, about in (line.split(maxsplit=1) for line in make("help").splitlines())}
    assert listed == expected
