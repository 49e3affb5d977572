"""The chart's values: the schema takes the defaults, and the README names every one."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "tradingengine"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
#: Values that the table names as a whole.
WHOLE = {"resources", "nodeSelector", "podAnnotations"}


def paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of all values, with dots."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path not in WHOLE:
            yield from paths(value, f"{path}.")
        else:
            yield path


def test_defaults_fit_the_schema() -> None:
    jsonschema.validate(VALUES, SCHEMA)


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)
    assert SCHEMA["additionalProperties"] is False


def test_the_readme_names_every_value_and_no_other() -> None:
    table = re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(paths(VALUES))


def test_the_charts_version_is_the_products() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["version"] == chart["appVersion"] == version
    assert chart["kubeVersion"] == ">=1.35.0-0"


def test_the_operator_reads_every_variable_that_the_chart_sets() -> None:
    templates = "\n".join(path.read_text() for path in sorted((CHART / "templates").glob("*.yaml")))
    variables = set(re.findall(r"- name: ((?:TE|POD)_[A-Z_]+)", templates))
    sources = "\n".join(path.read_text() for path in (ROOT / "operator").rglob("*.py"))
    assert len(variables) > 8
    assert [name for name in sorted(variables) if f'"{name}"' not in sources] == []
