"""Every Debian package that we install by name is in the documents, with the version that was tried."""

from __future__ import annotations

import re

import pytest
from te_devcluster import doctor
from te_devcluster.paths import checkout
from te_suites.catalogue import SUITES

pytestmark = pytest.mark.unit

ROW = re.compile(r"\| `([a-z0-9.+-]+)` \| (\S+) \| .+ \|")
VERSION = re.compile(r"(\d+:)?\d[\w.+~-]*")

BY_HAND = frozenset({"git", "make"})
"""Without these there is no clone, and nothing of ours begins."""


def asked_for() -> set[str]:
    """The packages that doctor, the suites and `.ci/run` install, and those that come before."""
    script = (checkout() / ".ci" / "run").read_text()
    lines = re.findall(r"apt-get .*\binstall\b(.*)", script)
    of_script = {word for line in lines for word in line.split() if re.fullmatch(r"[a-z][a-z0-9.+-]+", word)}
    assert "python3-venv" in of_script
    tools = (*doctor.HOST_TOOLS, *doctor.TEST_TOOLS)
    return {
        "openssl",
        *BY_HAND,
        *of_script,
        *(tool.package for tool in tools),
        *(name for each in SUITES for name in each.packages),
    }


def test_the_documents_name_each_package_with_a_version_and_no_other() -> None:
    rows = dict(ROW.findall((checkout() / "docs" / "admin" / "packages.md").read_text()))
    assert set(rows) == asked_for()
    assert [name for name, version in rows.items() if not VERSION.fullmatch(version)] == []


def test_the_page_of_an_existing_cluster_names_what_nothing_installs_there() -> None:
    """`make demo CLUSTER=current` begins without the check that installs packages."""
    page = (checkout() / "docs" / "admin" / "existing-cluster.md").read_text()
    needed = page.partition("Needed on your machine:")[2].partition("\n\n")[0]
    (named,) = re.findall(r"`apt-get install ([^`]+)`", needed)
    assert {*named.split()} == {*BY_HAND, "python3-venv"}
