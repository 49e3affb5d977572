"""Records in a life: complete, noted on, named after who asked, and enough to make a release's pods again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.release import parse_record
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.plan import kinds

from .rig import Bench
from .test_release_trouble import running

pytestmark = pytest.mark.unit
POLICY = "te-system-te-tradingengine-requester"
SEAL = "kX3v9wq0"


def noted(bench: Bench, number: int, annotation: str) -> dict[str, Any]:
    """What a record's annotation says."""
    metadata = bench.api.objects["ConfigMap", f"desk-release-{number}"]["metadata"]
    found: dict[str, Any] = json.loads((metadata.get("annotations") or {}).get(annotation, "{}"))
    return found


def stamped(bench: Bench, user: str, *kept: kinds.Kind) -> None:
    """An engine that the policy stamped; the policy's objects of these kinds are there."""
    bench.requester_policy = POLICY
    for kind in kept:
        metadata = {"name": POLICY, "annotations": {names.ANNOTATION_SEAL: SEAL}}
        bench.api.put({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})
    engine: Manifest = bench.api.objects["TradingEngine", "desk"]
    written = {names.ANNOTATION_REQUESTED_BY: user, names.ANNOTATION_SEAL: SEAL}
    engine["metadata"].setdefault("annotations", {}).update(written)


async def test_a_record_holds_what_was_asked_for_and_how_the_programs_are_set_up() -> None:
    bench = await running()
    record = parse_record(bench.api.objects["ConfigMap", "desk-release-1"])
    assert record.specification["version"] == "1.4.2"
    assert record.configuration["engine"] == "desk"
    assert record.requested == bench.state().stable_requested


async def test_the_configuration_of_what_serves_is_made_again_from_its_record() -> None:
    bench = await running()
    old = parse_record(bench.api.objects["ConfigMap", "desk-release-1"])
    bench.prometheus.rates[2] = "1"
    bench.ask(risk={"dailyLoss": 1})
    for _ in range(30):
        await bench.turn()
    assert bench.status["phase"] == "Withdrawn", "a change of configuration is a release"
    before = bench.api.objects["ConfigMap", old.config_map]["data"]
    del bench.api.objects["ConfigMap", old.config_map]
    await bench.turn()
    assert bench.api.objects["ConfigMap", old.config_map]["data"] == before


async def test_outcomes_are_noted_on_the_records() -> None:
    bench = await running()
    assert noted(bench, 1, names.ANNOTATION_OUTCOME)["outcome"] == "Promoted"
    bench.prometheus.rates[2] = "0.25"
    bench.ask(version="1.5.0")
    for _ in range(40):
        await bench.turn()
    outcome = noted(bench, 2, names.ANNOTATION_OUTCOME)
    assert (outcome["outcome"], outcome["reason"], outcome["value"]) == ("Withdrawn", "ErrorRate", "0.2500")
    assert outcome["limit"] == "0.01"


async def test_the_images_that_kubelets_saw_are_noted() -> None:
    bench = await running()
    for name in ("desk-api-a-0", "desk-dashboard-a-0", "desk-edge-0"):
        pod = bench.api.objects["Pod", name]
        pod["status"]["containerStatuses"][0]["imageID"] = f"registry.test/{name[5:8]}@sha256:1"
    await bench.engine.reconcile()
    assert noted(bench, 1, names.ANNOTATION_IMAGES) == {
        "api": ["registry.test/api@sha256:1"],
        "dashboard": ["registry.test/das@sha256:1"],
        "edge": ["registry.test/edg@sha256:1"],
    }
    writes = list(bench.api.writes)
    await bench.engine.reconcile()
    assert bench.api.writes == writes


@pytest.mark.parametrize(
    ("kept", "requester"),
    [
        ((kinds.MUTATING_POLICY, kinds.MUTATING_BINDING), ("asha@desk", "admission")),
        ((kinds.MUTATING_POLICY,), ("person", "fieldManager")),
        ((), ("person", "fieldManager")),
    ],
)
async def test_a_record_names_the_user_only_while_the_policy_that_stamps_is_there(
    kept: tuple[kinds.Kind, ...], requester: tuple[str, str]
) -> None:
    bench = Bench()
    stamped(bench, "asha@desk", *kept)
    bench.engine = bench.operator()
    await bench.settle()
    record = parse_record(bench.api.objects["ConfigMap", "desk-release-1"])
    found = record.requester if record.requester_from == "admission" else "person"
    assert (found, record.requester_from) == requester


@pytest.mark.parametrize("seal", ["", "guessed"])
async def test_a_name_that_was_written_before_the_policy_was_there_is_not_believed(seal: str) -> None:
    bench = Bench()
    stamped(bench, "the-boss", kinds.MUTATING_POLICY, kinds.MUTATING_BINDING)
    bench.api.objects["TradingEngine", "desk"]["metadata"]["annotations"][names.ANNOTATION_SEAL] = seal
    bench.engine = bench.operator()
    await bench.settle()
    record = parse_record(bench.api.objects["ConfigMap", "desk-release-1"])
    assert record.requester_from == "fieldManager"
    assert record.requester != "the-boss"


async def test_a_policy_that_cannot_be_read_holds_up_no_release() -> None:
    bench = Bench()
    stamped(bench, "asha@desk", kinds.MUTATING_POLICY, kinds.MUTATING_BINDING)
    bench.api.fail[kinds.MUTATING_POLICY.kind] = ForbiddenError(403, "Forbidden", "not allowed")
    bench.engine = bench.operator()
    await bench.settle()
    record = parse_record(bench.api.objects["ConfigMap", "desk-release-1"])
    assert record.requester_from == "fieldManager"
