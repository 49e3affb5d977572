"""The developer's map leads to what it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "operator" / "tradingengine_operator"
_ROW = re.compile(r"^\| (?P<want>[^|]+) \| `(?P<file>[^`|]+\.py)` \| `(?P<name>[^`|]+)` \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """Want, file and name of each row of the map."""
    page = (ROOT / "docs" / "developer" / "operator.md").read_text(encoding="utf-8")
    section = page.split("## Where to change what\n")[1].split("\n## ")[0]
    found = [(match["want"], match["file"], match["name"]) for match in _ROW.finditer(section)]
    assert len(found) == section.count("\n|") - 2, "each row but the head has a want, a file and a name"
    return found


def defined(path: Path) -> set[str]:
    """Functions and classes of a file, methods as `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = [entry for entry in node.body if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef)]
            names |= {f"{node.name}.{entry.name}" for entry in inside}
    return names


def test_every_row_leads_to_a_name_in_its_file() -> None:
    wrong = [f"{file}: {name}" for _, file, name in rows() if name not in defined(SOURCE / file)]
    assert not wrong
    assert len(rows()) >= 25


def test_what_a_newcomer_asks_first_is_in_it() -> None:
    wants = " ".join(want for want, _, _ in rows())
    for question in (
        "where the weight is written",
        "who decides that a canary failed",
        "what happens on delete",
        "where a condition is made",
    ):
        assert question in wants


def test_every_condition_is_in_the_index_of_where_conditions_are_made() -> None:
    from typing import get_args

    from tradingengine_operator.api import ConditionType
    from tradingengine_operator.runtime.reconcile import conditions

    later = {"BackupSucceeded", "DrillSucceeded"}
    table = [line for line in (conditions.__doc__ or "").splitlines() if line.startswith("| ")]
    listed = {name for line in table for name in re.findall(r"\b[A-Z][A-Za-z]+\b", line.split("|")[1])}
    assert listed == set(get_args(ConditionType)) - later
    for line in table[1:]:
        for file in re.findall(r"[a-z_]+(?:/[a-z_]+)*\.py", line):
            path = SOURCE / file
            types = re.findall(r"\b[A-Z][A-Za-z]+\b", line.split("|")[1])
            made = path.read_text(encoding="utf-8")
            if not file.startswith("flows/"):
                assert any(f'"{name}"' in made for name in types), f"{file} does not make {types}"
