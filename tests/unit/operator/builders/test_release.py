"""Release records: what they keep, when two are the same, and how slots are applied from them."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.values import HostName
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.edge import build_edge
from tradingengine_operator.builders.migrations import build_migration
from tradingengine_operator.builders.release import (
    build_record_configmap,
    parse_record,
    render_release,
    requested_hash,
)
from tradingengine_operator.builders.slots import build_hpa, build_slot
from tradingengine_operator.errors import RecordError

from tests.drawn import draw_spec
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


def test_what_is_asked_for_changes_with_what_runs_and_with_nothing_else() -> None:
    """By it a verdict is known again after an upgrade of the operator, and an upgrade is told from a wish."""
    rng = random.Random(7)
    base = context()
    hashes = (record(base).template_hash(), requested_hash(base.spec))
    changed = kept = 0
    while changed < 150 or kept < 40:
        try:
            ctx = context(draw_spec(rng))
        except ValidationError:
            continue
        same = record(ctx).template_hash() == hashes[0]
        # An image or a quantity that is written out as it would be anyway asks for nothing else, and need not be known.
        assert same or requested_hash(ctx.spec) != hashes[1], ctx.spec
        changed, kept = changed + (not same), kept + same
        if same and ctx.spec.images == base.spec.images and ctx.spec.api.resources == base.spec.api.resources:
            assert requested_hash(ctx.spec) == hashes[1], ctx.spec


def test_what_is_asked_for_does_not_change_with_the_operator() -> None:
    """Another registry, another rendering, a later version's new field with its default."""

    class Later(TradingEngineSpec):
        host: HostName = "desk.localhost"
        second_factor: str = "optional"

    ctx = context({"images": {"edge": "registry.test/edge:1"}, "risk": {"cash": {"order": 1}}})
    other = replace(ctx, images=replace(ctx.images, registry="other.test"))
    assert record(other).template_hash() != record(ctx).template_hash()
    assert requested_hash(Later.model_validate(ctx.spec.to_manifest())) == requested_hash(ctx.spec)


def test_pods_are_made_of_nothing_but_their_record() -> None:
    """What code adds on applying changes with the operator, and would replace pods of a release that runs."""
    kept = record(context())
    marked = {"{release}": "7", "{slot}": "b", "{phase}": "contract"}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [filled(entry) for entry in value]
        return marked.get(value, value) if isinstance(value, str) else value

    ctx = context()
    for component in names.SLOT_COMPONENTS:
        template = build_slot(ctx, kept, component, "b", 1)[2]["spec"]["template"]
        assert template == filled(getattr(kept.templates, component))
        assert template["metadata"]["labels"][names.LABEL_SLOT] == "b"
    assert build_edge(ctx, kept)[1]["spec"]["template"] == filled(kept.templates.edge)
    assert build_migration(ctx, kept, "contract")["spec"]["template"] == filled(kept.templates.migrations)


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


@pytest.mark.parametrize(("part", "most"), [("api", 6), ("dashboard", 3)])
def test_who_asks_for_more_pods_at_least_need_not_say_how_many_at_most(part: names.SlotComponent, most: int) -> None:
    for fewest in (1, 9):
        scaler = build_hpa(context({part: {"replicas": {"min": fewest}}}), part, "a", floor=12)["spec"]
        assert scaler["minReplicas"] == scaler["maxReplicas"] == max(fewest, most), "a floor goes no higher"


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
