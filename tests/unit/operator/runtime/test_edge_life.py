"""The edge switched off, on again, and given a successor that could not start: never lost, never closed for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.flows.edge import DRAIN_SECONDS
from tradingengine_operator.plan import kinds

from .rig import Bench
from .test_release_trouble import events, warnings

pytestmark = pytest.mark.unit
JOURNAL = "journal-desk-edge-0"
EDGE = (kinds.STATEFUL_SET.kind, "desk-edge")
POD = (kinds.POD.kind, "desk-edge-0")
ACCESS = {(kind.kind, "desk-edge") for kind in (kinds.SERVICE_ACCOUNT, kinds.NETWORK_POLICY, kinds.DISRUPTION_BUDGET)}


async def running(**spec: Any) -> Bench:
    """An engine whose edge trades."""
    bench = Bench(**spec)
    await bench.settle()
    assert bench.condition("EdgeReady")["reason"] == "Ready"
    return bench


async def turns(bench: Bench, number: int) -> None:
    """Passes, two seconds apart."""
    for _ in range(number):
        await bench.turn()


def uid(bench: Bench) -> str:
    """Which pod trades."""
    return str(bench.api.objects[POD]["metadata"]["uid"])


def said(bench: Bench) -> tuple[str, str, str]:
    """Status, reason and message of EdgeReady."""
    found = bench.condition("EdgeReady")
    return found["status"], found["reason"], found["message"]


async def test_an_edge_that_is_switched_off_is_drained_first_and_leaves_its_journal() -> None:
    bench = await running(deletionPolicy="delete")
    bench.control.idle = False
    bench.ask(deletionPolicy="delete", edge={"enabled": False})
    await turns(bench, 5)
    assert bench.control.draining
    assert said(bench)[:2] == ("False", "Stopping")
    assert bench.status["edge"]["state"] == "Stopping"
    assert EDGE in bench.api.objects, "an order is in flight"
    assert bench.api.objects.keys() >= ACCESS, "it still trades behind its rules"
    bench.control.idle = True
    await turns(bench, 3)
    assert not {EDGE, POD, *ACCESS} & bench.api.objects.keys()
    assert JOURNAL in bench.names(kinds.CLAIM)
    assert said(bench)[:2] == ("True", "Disabled")
    assert JOURNAL in said(bench)[2]
    assert bench.status["edge"] == {"state": "Disabled"}
    before = bench.api.objects[kinds.CLAIM.kind, JOURNAL]["metadata"]["uid"]
    bench.control.draining = False
    bench.ask(deletionPolicy="delete")
    await turns(bench, 4)
    assert said(bench)[:2] == ("True", "Ready")
    assert bench.api.objects[kinds.CLAIM.kind, JOURNAL]["metadata"]["uid"] == before, "the same journal"


async def test_an_edge_with_orders_in_flight_is_not_closed_for_ever_by_being_switched_off() -> None:
    bench = await running()
    bench.control.idle = False
    bench.ask(edge={"enabled": False})
    await turns(bench, 40)
    assert said(bench)[:2] == ("True", "StopPostponed")
    assert "drain" in bench.control.calls
    assert bench.control.calls[-1] == "resume", "the drain is bounded"
    assert EDGE in bench.api.objects
    bench.control.idle = True
    for _ in range(40):
        await bench.turn()
        bench.now += timedelta(seconds=8)
    assert EDGE not in bench.api.objects, "and tried again"
    assert said(bench)[1] == "Disabled"


async def test_an_edge_that_does_not_answer_is_not_ended_by_being_switched_off() -> None:
    bench = await running()
    bench.control.reachable = False
    bench.ask(edge={"enabled": False})
    await turns(bench, 60)
    status, reason, message = said(bench)
    assert (status, reason) == ("False", "StopPostponed")
    assert "kubectl delete statefulset -n trading desk-edge" in message
    assert {EDGE, POD} <= bench.api.objects.keys()
    del bench.api.objects[EDGE]
    bench.api.play()
    await turns(bench, 2)
    assert said(bench)[1] == "Disabled"


async def test_one_that_is_switched_on_again_in_the_drain_goes_on() -> None:
    bench = await running()
    bench.control.idle = False
    bench.ask(edge={"enabled": False})
    await turns(bench, 3)
    assert bench.control.draining
    old = uid(bench)
    bench.ask()
    await turns(bench, 3)
    assert bench.control.calls[-1] == "resume"
    assert uid(bench) == old
    assert said(bench)[:2] == ("True", "Ready")


async def close(bench: Bench, looks: int = 100) -> int:
    """A person deletes the engine: so many looks at its edge, two seconds apart, until it is waited for no longer."""
    engine = bench.api.objects[KIND, "desk"]
    engine["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    for look in range(1, looks + 1):
        if await bench.engine.close_edge(engine) is None:
            return look
        bench.now += timedelta(seconds=2)
    return looks


@pytest.mark.parametrize("policy", ["retain", "delete"])
async def test_the_edge_of_a_deleted_engine_is_closed_before_it_goes(policy: str) -> None:
    bench = await running(deletionPolicy=policy)
    bench.control.idle = False
    assert await close(bench, looks=5) == 5, "orders are in flight"
    assert bench.control.draining
    assert {EDGE, POD} <= bench.api.objects.keys()
    assert said(bench) == ("False", "Stopping", "the engine is deleted; the edge is drained, then ends")
    bench.control.idle = True
    await close(bench)
    assert not {EDGE, POD} & bench.api.objects.keys(), "at once, or the drain would end before it does"
    assert "EdgeDrained" in events(bench)
    assert "resume" not in bench.control.calls
    assert JOURNAL in bench.names(kinds.CLAIM)


async def test_a_deleted_engine_does_not_wait_for_orders_without_an_end() -> None:
    bench = await running()
    bench.control.idle = False
    looks = await close(bench)
    assert 2 * (looks - 1) <= DRAIN_SECONDS + 4
    assert "EdgeNotDrained" in warnings(bench)
    assert said(bench)[1] == "NotDrained"
    assert "see at the broker" in said(bench)[2]
    assert bench.control.calls[-1] == "drain", "it stays closed until it goes"


async def test_a_deleted_engine_does_not_wait_for_an_edge_that_does_not_answer() -> None:
    bench = await running()
    bench.control.reachable = False
    assert await close(bench) <= 4
    assert "its edge does not answer" in said(bench)[2]


async def test_a_deleted_engine_without_an_edge_or_without_rights_is_not_held_up() -> None:
    bench = Bench(edge={"enabled": False})
    await bench.settle()
    before = bench.condition("EdgeReady")
    assert await close(bench) == 1
    assert bench.condition("EdgeReady") == before
    other = await running()
    other.api.fail[kinds.POD.kind] = ForbiddenError(403, "Forbidden", "pods")
    assert await close(other) == 1


def replay(claim: str) -> dict[str, Any]:
    """Prices from a claim with recordings."""
    return {"marketData": {"source": "replay", "replay": {"claimName": claim}}}


def record_claim(bench: Bench, name: str) -> None:
    """A claim that a person made."""
    bench.api.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}})


async def test_an_edge_goes_on_while_its_successor_has_no_claim() -> None:
    bench = await running()
    old = uid(bench)
    record_claim(bench, "recodings")
    bench.ask(**replay("recodings"))
    await turns(bench, 1)
    del bench.api.objects["PersistentVolumeClaim", "recodings"]
    for _ in range(40):
        await bench.turn()
        assert uid(bench) == old
        assert not bench.control.draining, "it is not even closed"
    status, reason, message = said(bench)
    assert (status, reason) == ("True", "UpdatePostponed")
    assert "claim recodings of spec.marketData.replay.claimName does not exist" in message
    assert "To mend: create it, or name another one in spec.marketData.replay.claimName" in message
    assert bench.api.objects[EDGE]["metadata"]["labels"]["tradingengine.io/release"] == "1"
    record_claim(bench, "recodings")
    await turns(bench, 10)
    assert uid(bench) != old
    assert said(bench)[:2] == ("True", "Ready")


async def test_an_edge_whose_pod_was_lost_comes_back_as_it_was_while_its_successor_has_no_claim() -> None:
    bench = await running()
    bench.ask(**replay("recodings"))
    await turns(bench, 30)
    del bench.api.objects[POD]
    await turns(bench, 3)
    assert bench.api.objects[POD]["metadata"]["labels"]["tradingengine.io/release"] == "1"


@pytest.mark.parametrize(
    ("kind", "name", "change", "reason"),
    [
        ("Node", "desk-box", {"labels": {}}, "no node has the labels tradingengine.io/plane=edge"),
        (kinds.CLAIM.kind, JOURNAL, {"deletionTimestamp": "2026-11-21T09:00:00Z"}, f"claim {JOURNAL} was deleted"),
    ],
    ids=["node", "journal"],
)
async def test_an_edge_goes_on_while_its_successor_would_find_no_node_or_no_journal(
    kind: str, name: str, change: dict[str, Any], reason: str
) -> None:
    bench = await running()
    old = uid(bench)
    bench.api.objects[kind, name]["metadata"] |= change
    bench.ask(version="1.5.0")
    await turns(bench, 30)
    assert uid(bench) == old
    assert reason in said(bench)[2]


async def test_what_the_operator_may_not_read_holds_nothing_up() -> None:
    bench = await running()
    plain = bench.api.list_all

    async def list_all(kind: kinds.Kind, *rest: Any) -> list[dict[str, Any]]:
        if kind == kinds.NODE:
            raise ForbiddenError(403, "Forbidden", "nodes")
        return await plain(kind, *rest)

    bench.api.list_all = list_all  # type: ignore[method-assign, assignment]
    old = uid(bench)
    bench.ask(version="1.5.0")
    await turns(bench, 30)
    assert uid(bench) != old


async def test_a_first_edge_that_finds_no_claim_says_which() -> None:
    bench = Bench(**replay("recodings"))
    plain = bench.api._pod_status

    def status(pod: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
        if pod["metadata"]["name"] != "desk-edge-0":
            return plain(pod, template)
        words = 'persistentvolumeclaim "recodings" not found'
        entry = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        return {"phase": "Pending", "conditions": [entry]}

    bench.api._pod_status = status  # type: ignore[method-assign]
    await turns(bench, 30)
    assert said(bench)[:2] == ("False", "ClaimMissing")
    assert "spec.marketData.replay.claimName" in said(bench)[2]
