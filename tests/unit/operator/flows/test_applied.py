"""`status.applied`: exactly the fields that are not in force yet, and never a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine_operator.api.status import TradingEngineStatus
from tradingengine_operator.flows.applied import HIDDEN, VALUE_LENGTH, InForce, differences, render_applied

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def test_fields_that_differ_with_the_value_in_force() -> None:
    old = {"version": "1.4.2", "gateway": {"name": "web", "namespace": "gateway"}, "segments": ["MCX"]}
    new = {
        "version": "1.4.2",
        "gateway": {"name": "webb", "namespace": "gateway"},
        "host": "a",
        "edge": {"x": {"y": 1}},
    }
    assert list(differences(new, old)) == [
        ("spec.edge.x.y", None),
        ("spec.gateway.name", "web"),
        ("spec.host", None),
        ("spec.segments", ["MCX"]),
    ]


_SPECS = st.recursive(
    st.integers(0, 2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


@given(_SPECS, _SPECS)
def test_an_entry_for_every_difference_and_none_without(new: dict[str, Any], old: dict[str, Any]) -> None:
    found = list(differences(new, old))
    assert bool(found) == (new != old)
    assert len({path for path, _ in found}) == len(found)
    assert list(differences(new, new)) == []


def test_since_stays_while_the_value_stays_in_force() -> None:
    stored = [{"path": "spec.host", "value": "a", "since": "2026-11-21T08:00:00.000Z", "reason": "HostTaken"}]
    fields = [InForce("spec.host", "a", "GatewayMissing"), InForce("spec.gateway.name", "web", "GatewayMissing")]
    assert render_applied(fields, stored, NOW) == [
        {"path": "spec.gateway.name", "value": "web", "since": "2026-11-21T09:00:00.000Z", "reason": "GatewayMissing"},
        {"path": "spec.host", "value": "a", "since": "2026-11-21T08:00:00.000Z", "reason": "GatewayMissing"},
    ]
    later = render_applied([InForce("spec.host", "b", "HostTaken")], stored, NOW)
    assert later[0]["since"] == "2026-11-21T09:00:00.000Z"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.monitoring.prometheus", "http://me:hunter2@prometheus:9090"),
        ("spec.broker.password", "hunter2"),
        ("spec.settings.apiToken", "hunter2"),
        ("spec.brokers", [{"endpoint": "https://me:hunter2@broker"}]),
    ],
)
def test_what_may_be_a_secret_is_not_shown(path: str, value: Any) -> None:
    assert render_applied([InForce(path, value, "SpecInvalid")], [], NOW)[0]["value"] == HIDDEN


def test_names_of_secrets_are_no_secrets_and_long_values_are_cut() -> None:
    fields = [
        InForce("spec.database.managed.secretName", "pg", "SecretMissing"),
        InForce("spec.rollout.steps", [{"weight": 10, "hold": "2s"}] * 50, "SpecInvalid"),
        InForce("spec.edge.enabled", True, "SpecInvalid"),
        InForce("spec.images.api", None, "SpecInvalid"),
    ]
    found = {entry["path"]: entry.get("value") for entry in render_applied(fields, [], NOW)}
    assert found["spec.database.managed.secretName"] == "pg"
    assert found["spec.edge.enabled"] == "true"
    assert found["spec.images.api"] is None
    assert len(found["spec.rollout.steps"] or "") == VALUE_LENGTH


def test_no_specification_is_too_much_for_the_status() -> None:
    fields = [InForce(f"spec.features.{number}", True, "SpecInvalid") for number in range(200)]
    fields.append(InForce(f"spec.{'x' * 300}", True, "SpecInvalid"))
    found = render_applied(fields, [], NOW)
    assert len(found) == 64
    assert TradingEngineStatus.model_validate({"applied": found}).applied is not None
