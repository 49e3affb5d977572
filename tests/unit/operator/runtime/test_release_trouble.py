"""A release that does not go well, pass by pass in memory: said at once with reason and mend; what serves goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.flows.state import Contracting, Placed, Schema, Stage, dump_state
from tradingengine_operator.plan import kinds

from .fake_api import Manifest
from .rig import Bench

pytestmark = pytest.mark.unit


async def running(**spec: Any) -> Bench:
    """An engine whose first release serves."""
    bench = Bench(**spec)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    return bench


async def reach(bench: Bench, stage: Stage) -> None:
    """Turns until the candidate stands there."""
    for _ in range(60):
        candidate = bench.state().candidate
        if candidate is not None and candidate.stage is stage:
            return
        await bench.turn()
    raise AssertionError(f"{stage} was never reached")


def container(bench: Bench, pod: str) -> Manifest:
    """Status of a pod's container."""
    found: Manifest = bench.api.objects["Pod", pod]["status"]["containerStatuses"][0]
    return found


def events(bench: Bench, type_: str = "Normal") -> set[str]:
    """Reasons of the events of a type."""
    found = [entry for (kind, _), entry in bench.api.objects.items() if kind == "Event"]
    return {event["reason"] for event in found if event["type"] == type_}


def warnings(bench: Bench) -> set[str]:
    """Reasons of the events that warn."""
    return events(bench, "Warning")


async def test_a_canary_whose_image_cannot_be_pulled_is_said_while_the_old_release_serves() -> None:
    bench = await running()
    for (kind, _), pod in bench.api.objects.items():
        if kind == "Pod":
            pod["metadata"]["creationTimestamp"] = "2026-11-20T09:00:00Z"
    bench.api.pace = timedelta(minutes=30)  # only for the pods that are made from now on
    bench.ask(version="1.5.0")
    await reach(bench, Stage.STARTING)
    await bench.turn()
    container(bench, "desk-api-b-0")["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "gone"}}
    await bench.engine.reconcile()
    found = bench.condition("ReleaseHealthy")
    assert (found["status"], found["reason"]) == ("False", "ImagePullFailed")
    assert "spec.images" in found["message"]
    assert (bench.status["phase"], bench.condition("Ready")["status"]) == ("Releasing", "True")


def restarted(bench: Bench) -> None:
    """A container of the canary ended."""
    container(bench, "desk-api-b-0")["restartCount"] = 1


def killed_for_memory(bench: Bench) -> None:
    """A container of the canary took more memory than it may."""
    container(bench, "desk-dashboard-b-0").update(
        restartCount=1, lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    )


def none_ready(bench: Bench) -> None:
    """No pod of the canary takes requests any more."""
    for (kind, name), pod in bench.api.objects.items():
        if kind == "Pod" and name.startswith("desk-api-b"):
            pod["status"]["conditions"][0]["status"] = "False"
            pod["status"]["containerStatuses"][0] |= {"ready": False}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (restarted, "ContainerRestarted"),
        (killed_for_memory, "OutOfMemory"),
        (none_ready, "NoReadyEndpoint"),
    ],
)
async def test_a_canary_with_weight_that_breaks_is_withdrawn_in_the_same_pass(
    fault: Callable[[Bench], None], reason: str
) -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.HOLDING)
    fault(bench)
    await bench.engine.reconcile()
    assert bench.state().withdrawn is not None
    assert bench.condition("ReleaseHealthy")["reason"] == reason
    assert bench.status["phase"] == "Withdrawn"
    assert bench.state().stable == Placed("a", 1)
    assert bench.api.objects["HTTPRoute", "desk"]["spec"]["rules"][-1]["backendRefs"][1]["weight"] == 0
    assert "ReleaseWithdrawn" in warnings(bench)


async def test_a_kill_for_lack_of_memory_before_anybody_came_does_not_count_afterwards() -> None:
    """As with other restarts: it took two tries to start, and the people have met nothing of it."""
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.STARTING)
    killed_for_memory(bench)
    await bench.settle()
    assert bench.state().withdrawn is None
    assert bench.state().stable == Placed("b", 2)


async def test_migrations_that_fail_at_the_installation_are_said_and_tried_again() -> None:
    bench = Bench()
    bench.api.jobs_fail = True
    await reach(bench, Stage.MIGRATING)
    await bench.turn()
    await bench.engine.reconcile()
    found = bench.condition("ReleaseHealthy")
    assert found["reason"] == "MigrationFailed"
    assert "kubectl -n trading logs job/desk-migrate-1" in found["message"]
    assert (bench.status["phase"], bench.condition("Ready")["reason"]) == ("Pending", "NotServing")
    first = bench.api.objects["Job", "desk-migrate-1"]["metadata"]["uid"]
    bench.api.jobs_fail = False
    bench.now += timedelta(minutes=1)
    await bench.settle()
    assert bench.api.objects["Job", "desk-migrate-1"]["metadata"]["uid"] != first
    assert bench.status["phase"] == "Running"


@pytest.mark.parametrize("state", [None, "waiting", "running"])
async def test_migrations_of_a_superseded_release_that_never_began_are_taken_away(state: str | None) -> None:
    """An image that nobody brings is waited for until the Job's time is over; migrations that run are let run."""
    bench = await running()
    bench.api.jobs_hang = True
    bench.ask(version="1.5.0")
    await reach(bench, Stage.MIGRATING)
    await bench.turn()
    assert "desk-migrate-2" in bench.names(kinds.JOB)
    if state is not None:
        word = {"waiting": {"reason": "ImagePullBackOff"}, "running": {"startedAt": "2026-11-21T09:00:00Z"}}[state]
        job = bench.api.objects["Job", "desk-migrate-2"]
        labels, owner = job["spec"]["template"]["metadata"]["labels"], {"kind": "Job", "uid": job["metadata"]["uid"]}
        metadata = {"name": "desk-migrate-2-x", "labels": labels, "annotations": {"workload": "desk-migrate-2"}}
        metadata["ownerReferences"] = [owner]
        status = {
            "phase": "Pending",
            "containerStatuses": [{"name": "migrations", "image": "x", "state": {state: word}}],
        }
        bench.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
        await bench.turn()
        assert "desk-migrate-2" in bench.names(kinds.JOB), "it is waited for"
    bench.ask(version="1.6.0")
    for _ in range(5):
        await bench.turn()
    assert bench.names(kinds.JOB) == {"desk-migrate-1", "desk-migrate-3"} | (
        {"desk-migrate-2"} if state == "running" else set()
    )
    bench.api.jobs_hang = False
    await bench.settle()
    assert bench.status["version"] == "1.6.0"


async def test_a_contract_is_let_run_when_the_pod_of_the_expansion_is_gone() -> None:
    """The expansion's pod went with its node; the contract's Job is made, and its pod pulls the image."""
    bench = await running()
    state = bench.state()
    begun = replace(
        state,
        serial=state.serial + 1,
        stable_schema=Schema("0002", "c0002"),
        contracted="c0002",
        contracting=Contracting(1, "c0002", bench.now),
    )
    bench.status["release"]["progress"] = dump_state(begun)
    bench.api.jobs_hang = True
    writes = len(bench.api.writes)
    for _ in range(6):
        await bench.turn()
    made = [entry for entry in bench.api.writes[writes:] if "desk-contract-1" in entry]
    assert made == ["apply Job/desk-contract-1"]


async def test_migrations_that_fail_later_withdraw_a_release_before_it_has_pods() -> None:
    bench = await running()
    bench.api.jobs_fail = True
    bench.ask(version="1.5.0")
    for _ in range(10):
        await bench.turn()
    assert bench.status["phase"] == "Withdrawn"
    assert bench.status["release"]["reason"] == "MigrationFailed"
    assert "desk-api-b" not in bench.names(kinds.DEPLOYMENT)


async def test_a_serving_release_that_lost_all_its_pods_is_degraded_at_once() -> None:
    bench = await running()
    for (kind, name), pod in bench.api.objects.items():
        if kind == "Pod" and name.startswith(("desk-api-a", "desk-dashboard-a")):
            pod["status"]["conditions"][0]["status"] = "False"
    await bench.engine.reconcile()
    assert bench.status["phase"] == "Degraded"
    assert bench.condition("ReleaseHealthy")["reason"] == "NoReadyPod"
    assert bench.condition("Ready")["reason"] == "NotServing"
    assert "ReadyNotServing" in warnings(bench)
    bench.api.play()
    await bench.engine.reconcile()
    assert bench.status["phase"] == "Running"


async def test_a_database_that_goes_away_under_a_serving_release_is_said_with_its_name() -> None:
    bench = await running()
    bench.api.objects["StatefulSet", "desk-database"]["status"] = {"readyReplicas": 0}
    await bench.engine.reconcile()
    ready = bench.condition("Ready")
    assert (bench.status["phase"], ready["reason"]) == ("Degraded", "StoreNotReady")
    assert "StatefulSet desk-database" in ready["message"]


async def test_a_route_that_a_person_made_before_becomes_the_engines() -> None:
    bench = Bench()
    rule = {"name": "manual", "backendRefs": [{"name": "manual", "port": 80}]}
    metadata = {"name": "desk", "namespace": "trading", "labels": {"mine": "yes"}}
    route = {"apiVersion": kinds.ROUTE.api_version, "kind": kinds.ROUTE.kind, "metadata": metadata}
    elsewhere = {"name": "web", "namespace": "gateway"}
    bench.api.put({**route, "spec": {"rules": [rule], "parentRefs": [elsewhere]}})
    await bench.settle()
    assert bench.status["phase"] == "Running"
    found = bench.api.objects["HTTPRoute", "desk"]
    assert found["spec"]["rules"][0] == rule, "rules of other people stay where they are"
    assert found["metadata"]["labels"].items() >= {"mine": "yes", names.LABEL_INSTANCE: "desk"}.items()
    uid = bench.api.objects[kinds.ENGINE.kind, "desk"]["metadata"]["uid"]
    assert [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [uid]


async def test_a_copy_of_the_state_that_cannot_be_read_gives_way_to_the_status() -> None:
    bench = await running()
    annotations = bench.api.objects["ConfigMap", "desk-release-1"]["metadata"]["annotations"]
    uid = bench.api.objects[kinds.ENGINE.kind, "desk"]["metadata"]["uid"]
    for text in ("no JSON", "[]", f'{{"engine": "{uid}", "state": "no state"}}'):
        annotations[names.ANNOTATION_PROGRESS] = text
        bench.engine = bench.operator()
        await bench.turn()
        assert bench.state().stable == Placed("a", 1)
        assert bench.status["phase"] == "Running"


async def test_a_record_that_cannot_be_read_keeps_its_number() -> None:
    bench = await running()
    data = bench.api.objects["ConfigMap", "desk-release-1"]["data"]
    whole, data["release.json"] = data["release.json"], "{}"
    bench.engine = bench.operator()
    await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "RecordMissing"
    assert bench.condition("EdgeReady")["reason"] == "RecordMissing"
    assert bench.state().candidate is None, "what serves is not released anew"
    data["release.json"] = whole
    bench.engine = bench.operator()
    await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "Serving"
