"""Linters are given every file of their kind, found by what it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from te_checks import __main__ as command_line
from te_checks import linters
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout as checkout_of_this

pytestmark = pytest.mark.integration


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name, text in {
        "run": "#!/usr/bin/env bash\necho\n",
        "bin/start": "#!/bin/sh\nexec true\n",
        "bin/options": "#!/bin/bash -eu\ntrue\n",
        "lib.sh": "say() { echo; }\n",
        "program": "#!/usr/bin/env python3\n",
        "page.md": "text\n#!/bin/sh\n",
        "picture": "\0\1#!/bin/sh\n",
        "images/x/Dockerfile": "FROM a\n",
        "Dockerfile.test": "FROM a\n",
        "docs/Dockerfiles.md": "no\n",
        "a.yaml": "a: 1\n",
        "b.yml": "b: 1\n",
        "ignored/c.yaml": "c: 1\n",
        ".gitignore": "ignored/\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    subprocess.run(["git", "add", "a.yaml"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("shell", ["bin/options", "bin/start", "lib.sh", "run"]),
        ("docker", ["Dockerfile.test", "images/x/Dockerfile"]),
        ("yaml", ["a.yaml", "b.yml"]),
    ],
)
def test_files_are_found_by_what_they_are(checkout: Path, kind: str, files: list[str]) -> None:
    assert linters.files_of(linters.LINTERS[kind], checkout) == files


def test_what_was_deleted_and_is_still_known_is_passed_over(checkout: Path) -> None:
    (checkout / "a.yaml").unlink()
    assert linters.files_of(linters.LINTERS["yaml"], checkout) == ["b.yml"]


def test_no_file_at_all_is_an_error_and_not_clean(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    with pytest.raises(DevclusterError, match="no file for hadolint"):
        linters.lint("docker", tmp_path)


def test_a_missing_program_is_named_with_its_mend(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path("/usr/bin")))
    monkeypatch.setitem(linters.LINTERS, "shell", linters.Linter(("no-such",), linters.is_shell, "mend it", False))
    with pytest.raises(DevclusterError, match=r"no program `no-such`\s+mend: mend it"):
        linters.lint("shell", checkout)


@pytest.mark.parametrize(
    ("kind", "name", "fault", "said"),
    [
        ("docker", "images/y/Dockerfile", "FROM debian:latest\n", "DL3007"),
        ("yaml", "c.yaml", "a: 1\na: 2\n", "duplication"),
    ],
)
def test_a_planted_fault_is_found(
    checkout: Path,
    kind: str,
    name: str,
    fault: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (checkout / "Dockerfile.test").write_text("FROM a@sha256:" + "0" * 64 + "\n")
    (checkout / "images/x/Dockerfile").unlink()
    for path in ("a.yaml", "b.yml"):
        (checkout / path).write_text("---\na: 1\n")
    monkeypatch.setattr(command_line, "checkout", lambda: checkout)
    assert command_line.main(["lint", kind]) == 0, capfd.readouterr()
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text(fault)
    assert command_line.main(["lint", kind]) == 1
    assert said in capfd.readouterr().out


def test_the_repository_itself_has_scripts_dockerfiles_and_yaml() -> None:
    root = checkout_of_this()
    assert {".ci/run", "devcluster/bin/devcluster", "images/postgres/te-postgres"} <= set(
        linters.files_of(linters.LINTERS["shell"], root)
    )
    assert "images/postgres/Dockerfile" in linters.files_of(linters.LINTERS["docker"], root)
    assert "demo/engine.yaml" in linters.files_of(linters.LINTERS["yaml"], root)
