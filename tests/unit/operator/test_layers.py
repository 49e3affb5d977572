"""The rooms of the operator's runtime: each module has its place in the contract that import-linter holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[3]
RUNTIME = "tradingengine_operator.runtime"


def test_every_module_of_the_runtime_has_a_place_in_the_contract() -> None:
    """One without is bound by nothing."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(entry["layers"] for entry in contracts if entry["name"].startswith("Operator: within runtime"))
    placed = [name for layer in layers for name in re.split(r"\s*[:|]\s*", layer)]
    assert len(placed) == len(set(placed))
    folder = ROOT / "operator" / Path(*RUNTIME.split("."))
    modules = {
        ".".join((RUNTIME, *path.relative_to(folder).with_suffix("").parts))
        for path in folder.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {
        name for name in modules if not any(name == place or name.startswith(f"{place}.") for place in placed)
    } == set()
