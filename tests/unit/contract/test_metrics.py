"""`contract/metrics.json` says what the programs export: names, types and labels, no more and no less."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from tradingengine.api.metrics import ApiMetrics
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.jobs.prober.outcomes import ProbeMetrics
from tradingengine.storage.projector import Projector
from tradingengine.telemetry import names
from tradingengine.telemetry.metrics import Metrics
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

pytestmark = pytest.mark.unit

CONTRACT = Path(__file__).parents[3] / "contract"
LISTED: dict[str, dict[str, Any]] = {
    entry["name"]: entry for entry in json.loads((CONTRACT / "metrics.json").read_text())["metrics"]
}


def exported(registries: Iterable[CollectorRegistry]) -> Iterator[tuple[str, str, list[str]]]:
    """Name, type and labels of every own metric of these registries."""
    for registry in registries:
        for collector in registry._collector_to_names:
            if isinstance(collector, MetricWrapperBase):
                suffix = "_total" if collector._type == "counter" else ""
                yield f"{collector._name}{suffix}", str(collector._type), list(collector._labelnames)


def registries() -> list[CollectorRegistry]:
    """Registries of all programs, filled as the programs fill them."""
    shared, edge = Metrics(component="api"), CollectorRegistry()
    nothing: Any = None  # a projector reads and writes only when it runs
    Projector(nothing, client=nothing, reader=nothing, metrics=shared)
    ApiMetrics(shared)
    EdgeMetrics(edge)
    ProbeMetrics(shared.registry)
    return [shared.registry, edge, OperatorMetrics().registry]


def test_what_is_exported_is_listed_as_it_is() -> None:
    found = list(exported(registries()))
    assert len(found) > 20
    for name, type_, labels in found:
        assert name in LISTED, f"{name} is not in contract/metrics.json"
        assert (LISTED[name]["type"], LISTED[name]["labels"]) == (type_, labels), name


def test_what_is_listed_is_exported() -> None:
    assert set(LISTED) - {name for name, _, _ in exported(registries())} == set()


def test_every_name_that_the_programs_share_is_listed() -> None:
    constants = {
        value for value in vars(names).values() if isinstance(value, str) and re.match("tradingengine_[a-z]", value)
    }
    assert constants <= set(LISTED)


def test_names_say_type_and_unit() -> None:
    for name, entry in LISTED.items():
        assert name.endswith("_total") == (entry["type"] == "counter"), name
        assert name.endswith("_seconds") == (entry["unit"] == "seconds"), name
        assert entry["help"].endswith(".")
