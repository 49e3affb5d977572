"""A Python without venv, as Debian has it until python3-venv is there, is said with its mend by `make venv`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit

PLAYED = """#!/bin/sh
case "$*" in
--version) echo "Python 3.11.2" ;;
"-c import ensurepip, venv") exit "$NO_ENSUREPIP" ;;
"-m venv "*) echo "words of Python" >&2; exit 1 ;;
*) exit 99 ;;
esac
"""


@pytest.mark.parametrize("lacking", [True, False])
def test_make_venv_names_the_package_only_where_it_is_missing(tmp_path: Path, lacking: bool) -> None:
    shutil.copy(checkout() / "Makefile", tmp_path)
    shutil.copytree(checkout() / "requirements", tmp_path / "requirements")
    python = tmp_path / "python"
    python.write_text(PLAYED)
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {"TRADINGENGINE_CACHE": str(tmp_path / "cache"), "NO_ENSUREPIP": str(int(lacking))}
    done = subprocess.run(
        ["make", "venv", f"PYTHON={python}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "words of Python" in done.stderr  # what it says itself is not hidden
    assert ("mend: apt-get install python3-venv" in done.stderr) is lacking
    assert not list((tmp_path / "cache").rglob(".done"))
