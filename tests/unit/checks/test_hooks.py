"""The local hooks hold what `make lint` holds."""

from __future__ import annotations

import re

import pytest
import yaml
from te_checks.linters import LINTERS
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit


def test_each_linter_of_make_lint_has_a_hook() -> None:
    (repository,) = yaml.safe_load((checkout() / ".pre-commit-config.yaml").read_text())["repos"]
    entries = " ".join(hook["entry"] for hook in repository["hooks"])
    recipes = (checkout() / "Makefile").read_text()
    (targets,) = re.findall(r"(?m)^lint: (.+?) ##", recipes)
    assert {f"lint-{name}" for name in LINTERS} < {*targets.split()}
    for target in targets.split():
        name = target.removeprefix("lint-")
        if name in LINTERS:
            wanted = {LINTERS[name].command[0]}
        else:
            (recipe,) = re.findall(rf"(?m)^{target}: .*\n((?:\t.*\n)+)", recipes)
            wanted = set(re.findall(r"\$\(BIN\)/([a-z-]+)", recipe)) or {target}
        assert [program for program in wanted if not re.search(rf"\b{program}\b", entries)] == []


def test_the_page_s_hook_looks_when_its_sources_change() -> None:
    (repository,) = yaml.safe_load((checkout() / ".pre-commit-config.yaml").read_text())["repos"]
    (files,) = [hook["files"] for hook in repository["hooks"] if hook["entry"].endswith(" lint-page")]
    assert re.search(files, "apps/tradingengine/dashboard/frontend/src/main.js")
    assert not re.search(files, "apps/tradingengine/dashboard/app.py")
