"""A checkout that belongs to somebody else: root checks what another user cloned."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from te_checks.linters import tracked_files
from te_devcluster.commands import run
from te_devcluster.errors import CommandError
from te_devcluster.git import clone, git
from te_suites.catalogue import Suite
from te_suites.digest import digest

from tests.unit.install.commands import tracked

pytestmark = pytest.mark.unit


@pytest.fixture
def anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that git takes for another user's."""
    root = tmp_path / "another's"
    (root / "devcluster").mkdir(parents=True)
    (root / "devcluster" / "a.py").write_text("")
    author = ("-c", "user.name=t", "-c", "user.email=t")
    for words in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "-m", "x")):
        subprocess.run(["git", *words], cwd=root, check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(CommandError, match="dubious ownership"):
        run(["git", "ls-files"], cwd=root)
    return root


def test_its_files_are_listed(anothers: Path) -> None:
    suite = Suite("fire", "burns", ("-c", "pass"), inputs=("devcluster",))
    assert len(digest(suite, anothers)) == 64
    assert list(tracked_files(anothers)) == [anothers / "devcluster" / "a.py"]
    assert tracked(anothers) == [Path("devcluster/a.py")]


def test_a_link_that_leads_to_it_is_as_good(anothers: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(anothers)
    assert run([*git(link), "ls-files"], cwd=link).stdout == "devcluster/a.py\n"


def test_it_is_cloned(anothers: Path, tmp_path: Path) -> None:
    clone(anothers, tmp_path / "clone")
    assert (tmp_path / "clone" / "devcluster" / "a.py").is_file()
