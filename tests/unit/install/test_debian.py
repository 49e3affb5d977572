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


def asked_for() -> set[str]:
    """The packages that doctor, the suites and `.ci/run` install."""
    script = (checkout() / ".ci" / "run").read_text()
    lines = re.findall(r"apt-get .*\binstall\b(.*)", script)
    of_script = {word for line in lines for word in line.split() if re.fullmatch(r"[a-z][a-z0-9.+-]+", word)}
    assert "python3-venv" in of_script
    tools = (*doctor.HOST_TOOLS, *doctor.TEST_TOOLS)
    return {
        "openssl",
        *of_script,
        *(tool.package for tool in tools),
        *(name for each in SUITES for name in each.packages),
    }


def test_the_documents_name_each_package_with_a_version_and_no_other() -> None:
    rows = dict(ROW.findall((checkout() / "docs" / "admin" / "packages.md").read_text()))
    assert set(rows) == asked_for()
    assert [name for name, version in rows.items() if not VERSION.fullmatch(version)] == []
