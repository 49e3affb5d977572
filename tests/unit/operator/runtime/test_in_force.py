"""`status.applied` and ReferencesResolved beside the route: what cannot be followed leaves the old in force."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.flows.state import Placed
from tradingengine_operator.runtime.parts import stores

from .rig import Bench

pytestmark = pytest.mark.unit


async def serving(**spec: Any) -> Bench:
    """An engine whose first release serves."""
    bench = Bench(**spec)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    return bench


def applied(bench: Bench) -> dict[str, tuple[str | None, str]]:
    """`status.applied` by path."""
    return {entry["path"]: (entry.get("value"), entry["reason"]) for entry in bench.status.get("applied") or ()}


async def turns(bench: Bench, count: int) -> None:
    """So many passes."""
    for _ in range(count):
        await bench.turn()


async def test_a_specification_that_makes_no_sense_is_named_field_by_field() -> None:
    bench = await serving()
    bench.ask(version="1.5.0", rollout={"steps": []}, monitoring={"prometheus": "http://me:hunter2@p:9090"})
    await turns(bench, 2)
    found = applied(bench)
    assert found["spec.version"] == ("1.4.2", "SpecInvalid")
    assert {reason for _, reason in found.values()} == {"SpecInvalid"}
    rollout = {f"spec.rollout.{name}" for name in ("steps", "warmSlot", "historyLimit")}
    assert set(found) == {"spec.version", "spec.monitoring.prometheus", *rollout}
    assert bench.condition("SpecValid")["status"] == "False"
    bench.ask()
    await turns(bench, 2)
    assert applied(bench) == {}


async def test_a_withdrawn_release_leaves_the_old_ones_fields_in_force() -> None:
    bench = await serving()
    bench.api.jobs_fail = True
    bench.ask(version="1.5.0", mode="paper", deletionPolicy="delete", api={"replicas": {"min": 3}})
    await turns(bench, 8)
    assert bench.status["phase"] == "Withdrawn"
    assert applied(bench) == {"spec.version": ("1.4.2", "MigrationFailed")}, "what is followed at once is in force"
    bench.engine = bench.operator()
    await turns(bench, 2)
    assert applied(bench) == {"spec.version": ("1.4.2", "MigrationFailed")}, "also after a restart"
    bench.api.jobs_fail = False
    bench.ask(version="1.6.0")
    await turns(bench, 20)
    assert bench.state().stable == Placed("b", 3)
    assert applied(bench) == {}


def give(bench: Bench, name: str) -> None:
    """The Secret of a managed database."""
    metadata = {"name": name, "namespace": "trading", "labels": {"tradingengine.io/use": "desk"}}
    data = {"uri": base64.b64encode(b"postgresql://u@127.0.0.1:5432/desk").decode()}
    bench.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def managed(name: str) -> dict[str, Any]:
    """A specification with a managed database."""
    return {"database": {"type": "managed", "managed": {"secretName": name}}}


async def test_a_secret_that_is_missing_leaves_the_old_one_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(_host: str, _port: int) -> str:
        return ""

    monkeypatch.setattr(stores, "_connect", connect)
    bench = Bench(**managed("pg"))
    give(bench, "pg")
    await bench.settle()
    assert bench.state().stable == Placed("a", 1)
    bench.ask(**managed("pgg"))
    await turns(bench, 3)
    assert bench.state().stable == Placed("a", 1)
    assert applied(bench) == {"spec.database.managed.secretName": ("pg", "SecretMissing")}
    found = bench.condition("ReferencesResolved")
    assert (found["status"], found["reason"]) == ("False", "SecretMissing")
    assert "Secret pgg of spec.database.managed.secretName does not exist" in found["message"]
    give(bench, "pgg")
    await turns(bench, 20)
    assert bench.state().stable == Placed("b", 2)
    assert applied(bench) == {}
    assert bench.condition("ReferencesResolved")["status"] == "True"


def replaying(claim: str) -> dict[str, Any]:
    """A specification with recorded prices."""
    return {"marketData": {"source": "replay", "replay": {"claimName": claim}}}


def give_claim(bench: Bench, name: str) -> None:
    """A claim with recordings."""
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Bound"}}
    bench.api.put({**claim, "metadata": {"name": name, "namespace": "trading"}})


async def test_a_claim_that_is_missing_begins_no_release_and_the_edge_runs_on() -> None:
    bench = Bench(**replaying("days"))
    give_claim(bench, "days")
    await bench.settle()
    await turns(bench, 3)
    edge = bench.api.objects["Pod", "desk-edge-0"]["metadata"]["uid"]
    bench.ask(**replaying("dayz"), version="1.5.0")
    await turns(bench, 12)
    assert bench.state().stable == Placed("a", 1)
    assert bench.api.objects["Pod", "desk-edge-0"]["metadata"]["uid"] == edge
    old = {"spec.marketData.replay.claimName": ("days", "ClaimMissing"), "spec.version": ("1.4.2", "ClaimMissing")}
    assert applied(bench) == old
    found = bench.condition("ReferencesResolved")
    assert (found["status"], found["reason"]) == ("False", "ClaimMissing")
    assert "claim dayz of spec.marketData.replay.claimName does not exist" in found["message"]
    assert "To mend: create it, or name another one" in found["message"]
    assert bench.condition("Ready")["reason"] == "ClaimMissing"
    give_claim(bench, "dayz")
    await turns(bench, 24)
    assert bench.state().stable == Placed("b", 2)
    assert applied(bench) == {}
    assert bench.condition("Ready")["status"] == "True"


async def test_a_claim_that_went_though_the_serving_release_needs_it_holds_up_no_release_of_the_api() -> None:
    bench = Bench(**replaying("days"))
    give_claim(bench, "days")
    await bench.settle()
    del bench.api.objects["PersistentVolumeClaim", "days"]
    bench.ask(**replaying("days"), version="1.5.0")
    await turns(bench, 24)
    assert bench.state().stable == Placed("b", 2)
    assert bench.condition("ReferencesResolved")["reason"] == "ClaimMissing"


async def test_a_claim_that_is_missing_from_the_start_does_not_keep_api_and_dashboard_from_serving() -> None:
    bench = Bench(**replaying("days"))
    await bench.settle()
    assert bench.state().stable == Placed("a", 1)
    await turns(bench, 2)
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no claim"}
    bench.api.objects["Pod", "desk-edge-0"]["status"] = {"phase": "Pending", "conditions": [unplaced]}
    bench.control.reachable = False
    bench.now += timedelta(minutes=1)
    await bench.engine.reconcile()
    assert bench.condition("ReferencesResolved")["reason"] == "ClaimMissing"
    assert "claim days of spec.marketData.replay.claimName" in bench.condition("ReferencesResolved")["message"]
    assert bench.condition("Ready")["status"] == "True"
    assert applied(bench) == {}
