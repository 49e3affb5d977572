"""Release records: what they keep, when two are the same, and how slots are applied from them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.edge import build_edge
from tradingengine_operator.builders.migrations import build_migration
from tradingengine_operator.builders.release import build_record_configmap, parse_record, render_release
from tradingengine_operator.builders.slots import build_hpa, build_slot
from tradingengine_operator.errors import RecordError

from tests.unit.operator.builders.engines import CREATED, context, record

pytestmark = pytest.mark.unit


def environment(template: Manifest) -> dict[str, str | None]:
    """Plain environment of a template's container."""
    return {entry["name"]: entry.get("value") for entry in template["spec"]["containers"][0]["env"]}


def test_a_record_is_read_back_as_it_was_written() -> None:
    written = record(context({"rollout": {"steps": [{"weight": 0.1, "hold": "10s"}, {"weight": 100}]}}))
    kept = build_record_configmap(context(), written)
    assert kept["immutable"] is True
    assert kept["metadata"]["name"] == "desk-release-7"
    assert kept["metadata"]["annotations"]["tradingengine.io/template-hash"] == written.template_hash()
    read = parse_record(kept)
    assert read == written
    assert read.template_hash() == written.template_hash()
    assert [(step.tenths, step.hold_seconds) for step in read.rollout_steps] == [(1, 10), (1000, 0)]


def test_a_record_without_progress_claims_no_annotation_for_it() -> None:
    kept = build_record_configmap(context(), record(context()))
    assert names.ANNOTATION_PROGRESS not in kept["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "has no release.json"),
        ({"release.json": "{"}, "Invalid JSON"),
        ({"release.json": '{"number": 0}'}, "number"),
    ],
)
def test_a_broken_record_is_named(data: dict[str, str] | None, words: str) -> None:
    with pytest.raises(RecordError, match="desk-release-3") as error:
        parse_record({"metadata": {"name": "desk-release-3"}, "data": data})
    assert words in str(error.value)
    assert error.value.mend


@settings(deadline=None)
@given(number=st.integers(1, 10_000), requester=st.text(max_size=20))
def test_hash_ignores_who_asked_when_and_in_which_number(number: int, requester: str) -> None:
    assert render_release(context(), number, requester).template_hash() == record(context()).template_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"rollout": {"steps": [{"weight": 100}]}},
        {"api": {"replicas": {"min": 3}}},
        {"gateway": {"name": "other"}},
        {"paused": True},
        {"deletionPolicy": "delete"},
        {"rollout": {"noDataBudget": "10s"}},
    ],
)
def test_hash_ignores_what_does_not_run(change: dict[str, Any]) -> None:
    assert record(context(change)).template_hash() == record(context()).template_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.4.3"},
        {"images": {"api": "registry.test/api:1"}},
        {"images": {"edge": "registry.test/edge:1"}},
        {"risk": {"dailyLoss": 1}},
        {"api": {"resources": {"limits": {"cpu": "2"}}}},
        {"marketData": {"simulator": {"seed": 9}}},
    ],
)
def test_hash_changes_with_what_runs(change: dict[str, Any]) -> None:
    assert record(context(change)).template_hash() != record(context()).template_hash()


def test_a_slot_is_rendered_from_its_record_alone() -> None:
    kept = record(context())
    later = context({"version": "9.9.9", "images": {"api": "registry.test/other:1"}, "risk": {"dailyLoss": 1}})
    before = copy.deepcopy(kept.templates.api)
    deployment = build_slot(later, kept, "api", "b", 2)[2]
    template = deployment["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "registry.test/desk/tradingengine-apps:1.4.2"
    assert environment(template)["TE_VERSION"] == "1.4.2"
    assert kept.templates.api == before, "a record must never change"


def test_a_slot_carries_its_letter_and_its_release() -> None:
    ctx, kept = context(), record(context())
    service, pods, deployment = build_slot(ctx, kept, "dashboard", "b", 3)
    template = deployment["spec"]["template"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert deployment["metadata"]["name"] == service["metadata"]["name"] == "desk-dashboard-b"
    assert pods["metadata"]["name"] == "desk-dashboard-b-pods"
    assert selector == service["spec"]["selector"] == pods["spec"]["selector"]
    assert selector.items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["labels"][names.LABEL_RELEASE] == "7"
    assert environment(template)["TE_SLOT"] == "b"
    assert environment(template)["TE_RELEASE"] == "7"
    assert deployment["spec"]["replicas"] == 3
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]


def test_replicas_are_left_to_the_autoscaler_when_asked() -> None:
    deployment = build_slot(context(), record(context()), "api", "a", None)[2]
    assert "replicas" not in deployment["spec"]
    scaler = build_hpa(context({"api": {"replicas": {"min": 3, "max": 5}, "targetCPU": 70}}), "api", "a")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 5)
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "desk-api-a"}
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 70


def test_edge_and_migrations_carry_the_release() -> None:
    ctx, kept = context(), record(context())
    edge = build_edge(ctx, kept)[1]["spec"]["template"]
    job = build_migration(ctx, kept)
    assert environment(edge)["TE_RELEASE"] == "7"
    assert environment(edge)["TE_SLOT"] == ""
    assert environment(edge)["TE_STATE_DIR"] == "/var/lib/tradingengine"
    assert "TE_DATABASE_URL" not in environment(edge)
    assert job["metadata"]["name"] == "desk-migrate-7"
    assert job["spec"]["template"]["metadata"]["labels"][names.LABEL_RELEASE] == "7"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in job["spec"]


def test_a_record_says_when_in_utc() -> None:
    assert render_release(context(), 1, "person", CREATED).created_at == "2026-11-21T10:00:00Z"
