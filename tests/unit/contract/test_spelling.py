"""One spelling on every wire: snake_case, whoever speaks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unit
CONTRACT = Path(__file__).parents[3] / "contract"


def properties(schema: Any) -> Iterator[str]:
    """The names of all properties of a JSON schema, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from properties(value)


@pytest.mark.parametrize("name", ["control-v1.schema.json", "events-v1.schema.json"])
def test_all_properties_are_snake_case(name: str) -> None:
    names = set(properties(json.loads((CONTRACT / name).read_text())))
    assert len(names) > 10
    assert [found for found in sorted(names) if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", found)] == []
