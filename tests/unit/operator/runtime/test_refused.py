"""Children that may not be made: a quota, a limit range, a name that is taken. Said at once, and nothing is forced."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.plan import kinds

from .rig import Bench

pytestmark = pytest.mark.unit
QUOTA = "exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0"


def refuse(bench: Bench, *names: str) -> None:
    """Makes no pods for these workloads, and says so as the controllers do."""
    plain = bench.api._play_workload

    def play(name: str, workload: dict[str, Any]) -> None:
        if name not in names:
            plain(name, workload)
            return
        words = f'pods "{name}-0" is forbidden: {QUOTA}'
        if workload["kind"] == kinds.DEPLOYMENT.kind:
            entry = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
            workload["status"] = {"conditions": [entry]}
            return
        told = {"involvedObject": {"uid": workload["metadata"]["uid"]}, "reason": "FailedCreate"}
        message = f"create Pod {name}-0 in StatefulSet {name} failed error: {words}"
        metadata = {"name": f"{name}.1", "creationTimestamp": "2026-11-21T09:00:01Z"}
        bench.api.put({"apiVersion": "v1", "kind": "Event", "metadata": metadata, "message": message, **told})

    bench.api._play_workload = play  # type: ignore[method-assign]


async def test_a_database_that_may_not_have_a_pod_says_which_quota() -> None:
    bench = Bench()
    refuse(bench, "desk-database")
    outcome = await bench.turn()
    assert outcome.recheck is not None
    assert outcome.recheck <= 3, "events wake nobody"
    await bench.turn()
    found = bench.condition("DatabaseReady")
    assert found["reason"] == "QuotaExceeded"
    assert "describe quota small" in found["message"]
    assert bench.status["phase"] == "Pending"


async def test_a_release_that_may_not_have_pods_says_which_quota() -> None:
    bench = Bench()
    refuse(bench, "desk-api-a")
    for _ in range(6):
        await bench.turn()
    found = bench.condition("ReleaseHealthy")
    assert found["reason"] == "QuotaExceeded"
    assert "quota: small" in found["message"]


async def test_an_edge_that_may_not_have_a_pod_says_which_quota() -> None:
    bench = Bench()
    refuse(bench, "desk-edge")
    await bench.settle()
    await bench.turn()
    found = bench.condition("EdgeReady")
    assert (found["status"], found["reason"]) == ("False", "QuotaExceeded")


async def test_a_prometheus_that_may_not_have_a_pod_says_which_quota() -> None:
    """Without it no release can be judged; what serves goes on."""
    bench = Bench()
    refuse(bench, "desk-prometheus")
    await bench.settle()
    await bench.turn()
    found = bench.condition("ReleaseHealthy")
    assert (found["status"], found["reason"]) == ("False", "QuotaExceeded")
    assert "no release can be judged" in found["message"]
    assert "describe quota small" in found["message"]
    assert bench.condition("Ready")["status"] == "True"
    del bench.api._play_workload
    for _ in range(2):
        await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "Serving"


async def test_a_prometheus_whose_image_cannot_be_pulled_is_said() -> None:
    bench = Bench()
    await bench.settle()
    pod = next(pod for (kind, name), pod in bench.api.objects.items() if kind == "Pod" and "prometheus" in name)
    waiting = {"name": "prometheus", "image": "p:1", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    pod["status"] = {"phase": "Pending", "containerStatuses": [waiting]}
    await bench.engine.reconcile()
    assert bench.condition("ReleaseHealthy")["reason"] == "ImagePullFailed"


@pytest.mark.parametrize("kind", [kinds.SERVICE, kinds.STATEFUL_SET, kinds.CONFIG_MAP, kinds.SERVICE_ACCOUNT])
async def test_a_name_that_is_taken_is_said_and_its_object_left_alone(kind: kinds.Kind) -> None:
    bench = Bench()
    name = {"ConfigMap": "desk-applied", "ServiceAccount": "desk-api"}.get(kind.kind, "desk-database")
    foreign = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, "labels": {"app": "mine"}}}
    stored = bench.api.put({**foreign, "spec": {"replicas": 0}})
    for _ in range(4):
        outcome = await bench.turn()
    assert outcome.failed, "the back-off decides when it is tried again"
    found = bench.condition("Ready")
    assert found["reason"] == "NameTaken"
    assert f"{kind.kind} {name} is there already" in found["message"]
    now = bench.api.objects[kind.kind, name]
    assert (now["metadata"]["labels"], now["spec"]) == (stored["metadata"]["labels"], stored["spec"])
    del bench.api.objects[kind.kind, name]
    await bench.settle()
    assert bench.status["phase"] == "Running"
