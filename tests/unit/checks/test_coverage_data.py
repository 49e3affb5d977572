"""Coverage is not counted by test runs of an older product: in a checkout made here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from te_checks import __main__ as command_line
from te_checks.coverage_data import MEASURED, check_coverage_data
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit


def put(path: Path, at: int) -> Path:
    """A file that was written at second `at`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sources of second 100, and data of all three runs of second 200."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(".coverage*\nmade.py\n")
    put(tmp_path / "operator/a.py", 90)
    put(tmp_path / "apps/b.py", 100)
    for name in MEASURED:
        put(tmp_path / f".coverage.{name}", 200)
    return tmp_path


def test_data_that_are_newer_than_the_product_are_taken(root: Path) -> None:
    put(root / "tests/test_a.py", 300)
    put(root / "apps/page.js", 300)
    put(root / "apps/made.py", 300)
    assert check_coverage_data(root) == 0


def test_a_changed_source_and_a_missing_run_are_refused_with_what_to_run(root: Path) -> None:
    put(root / "apps/new.py", 300)
    put(root / ".coverage.integration", 301)
    (root / ".coverage.cluster").unlink()
    with pytest.raises(DevclusterError) as caught:
        check_coverage_data(root)
    assert ".coverage.unit is older than apps/new.py; .coverage.cluster is missing" in str(caught.value)
    assert caught.value.mend == "make unit cluster coverage"


def test_a_folder_without_the_product_is_no_clean_answer(root: Path) -> None:
    for source in root.glob("*/*.py"):
        source.unlink()
    with pytest.raises(DevclusterError, match="no Python below operator and apps"):
        check_coverage_data(root)


def test_make_coverage_asks_first(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "checkout", lambda: root)
    assert command_line.main(["coverage-data"]) == 0
    put(root / "operator/a.py", 300)
    assert command_line.main(["coverage-data"]) == 1
    assert "make unit integration cluster coverage" in capsys.readouterr().err
    recipe = (checkout() / "Makefile").read_text().partition("\ncoverage:")[2].partition("\n.PHONY")[0]
    assert 0 < recipe.index("te_checks coverage-data") < recipe.index("coverage combine")
    reports = [line for line in recipe.splitlines() if "coverage report" in line]
    assert len(reports) == 2
    assert all("--data-file=$(TOGETHER)" in line for line in reports), "a report of .coverage deletes .coverage.unit"
