"""The wall clock is set by an hour, back or ahead: what counts time goes on as if it had not been."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.builders.store_access import STORES, Store
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.edge_words import COMING_SECONDS, START_SECONDS
from tradingengine_operator.flows.state import Placed, Stage, render_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.routes import PENDING
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler
from tradingengine_operator.runtime.release import runner
from tradingengine_operator.runtime.release.gateway import SILENT_SECONDS
from tradingengine_operator.runtime.release.hosts import HostBook

from .fake_api import NAMESPACE
from .rig import Bench
from .test_passwords import NEW, edit, values
from .test_release_trouble import none_ready, reach, running
from .test_route_change import applied

pytestmark = pytest.mark.unit
HOUR = timedelta(hours=1)


async def go_on(bench: Bench, seconds: float) -> None:
    """Passes for so long, ten seconds apart, as an engine has them at which nothing happens."""
    end = bench.now + timedelta(seconds=seconds)
    while bench.now < end:
        await bench.turn()
        bench.now += timedelta(seconds=8)


@pytest.mark.no_cover
async def test_a_drain_is_bounded_when_the_clock_is_set_back() -> None:
    bench = await running()
    bench.control.idle = False
    bench.ask(edge={"enabled": False})
    for _ in range(5):
        await bench.turn()
    assert bench.control.draining
    bench.clock_set = -HOUR
    for _ in range(35):
        await bench.turn()
    assert "resume" in bench.control.calls, "70 s are more than a drain may take"
    bench.clock_set = -2 * HOUR
    bench.control.idle = True
    await go_on(bench, 320)
    assert (kinds.STATEFUL_SET.kind, "desk-edge") not in bench.api.objects, "and it is tried again in time"


@pytest.mark.no_cover
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_an_old_password_stays_valid_for_its_time(store: Store, by: timedelta) -> None:
    bench = await running()
    edit(bench, store, {"password": NEW})

    def stage() -> str:
        return values(bench, f"desk-{store}-access")["stage"]

    for _ in range(20):
        await go_on(bench, 10)
        if stage() == "spreading":
            break
    bench.clock_set = by
    await go_on(bench, 100)
    assert stage() == "spreading", "programs may not have read the new one yet"
    bench.engine = bench.operator()
    await go_on(bench, 100)
    assert stage() == "spreading", "another process goes on from there"
    await go_on(bench, 400)
    assert stage() == "settled"


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_a_starting_edge_is_given_its_time_and_no_more(by: timedelta) -> None:
    bench = await running()
    bench.api.objects[kinds.POD.kind, "desk-edge-0"]["metadata"] |= {
        "uid": "another",
        "creationTimestamp": render_time(bench.wall()),
    }
    status = bench.api.objects[kinds.POD.kind, "desk-edge-0"]["status"]
    status["containerStatuses"][0] |= {"state": {"running": {"startedAt": render_time(bench.wall())}}, "started": False}
    bench.control.reachable = False
    await bench.engine.reconcile()
    assert bench.condition("EdgeReady")["reason"] == "Restarting"
    bench.now += timedelta(seconds=2)
    bench.clock_set = by
    await bench.engine.reconcile()
    assert bench.condition("EdgeReady")["reason"] == "Restarting", "it is as young as before"
    bench.now += timedelta(seconds=COMING_SECONDS)
    await bench.engine.reconcile()
    assert bench.condition("EdgeReady")["reason"] == "Unreachable", "its time is over, whatever the clock says"


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_an_edge_without_a_pod_is_given_its_time_and_no_more(by: timedelta) -> None:
    bench = await running()
    del bench.api.objects[kinds.POD.kind, "desk-edge-0"]
    await bench.engine.reconcile()
    bench.clock_set = by
    await bench.engine.reconcile()
    assert bench.condition("EdgeReady")["reason"] == "Restarting"
    bench.now += timedelta(seconds=START_SECONDS)
    await bench.engine.reconcile()
    assert bench.condition("EdgeReady")["reason"] == "DidNotStart"


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_a_silent_gateway_is_given_its_time_and_no_more(by: timedelta) -> None:
    bench = await running()
    bench.api.gateway_works = False
    bench.ask(host="new.localhost")
    await bench.turn()
    await bench.turn()
    assert applied(bench) == {"spec.host": ("desk.localhost", PENDING)}
    bench.clock_set = by
    await bench.turn()
    assert applied(bench) == {"spec.host": ("desk.localhost", PENDING)}
    bench.now += timedelta(seconds=SILENT_SECONDS)
    await bench.turn()
    assert applied(bench) == {"spec.host": ("desk.localhost", "GatewaySilent")}


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_the_old_host_stays_until_the_data_plane_had_its_time(by: timedelta) -> None:
    bench = await running(gateway={"throttle": "10s"})
    bench.ask(host="new.localhost", gateway={"throttle": "10s"})
    await bench.turn()
    bench.clock_set = by
    await bench.turn()
    assert hosts(bench) == ["desk.localhost", "new.localhost"], "accepted alone says nothing of the data plane"
    for _ in range(20):
        await bench.turn()
    assert hosts(bench) == ["new.localhost"]


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_pods_are_asked_for_their_stores_ten_seconds_apart(by: timedelta) -> None:
    bench = await running()
    bench.now += timedelta(seconds=10)
    await bench.engine.reconcile()
    bench.control.stores = {"database": "refused"}
    bench.clock_set = by
    bench.now += timedelta(seconds=2)
    await bench.engine.reconcile()
    assert bench.condition("DatabaseReady")["reason"] == "Ready"
    bench.now += timedelta(seconds=8)
    await bench.engine.reconcile()
    assert bench.condition("DatabaseReady")["reason"] == "AccessRefused"


def hosts(bench: Bench) -> list[str]:
    """Hosts of the route."""
    found: list[str] = bench.api.objects[kinds.ROUTE.kind, "desk"]["spec"]["hostnames"]
    return found


async def test_gateway_and_hosts_are_looked_up_though_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await running()
    asked: list[str] = []
    get, list_all = bench.api.get, bench.api.list_all

    async def noted_get(kind: kinds.Kind, *rest: Any) -> Any:
        asked.append(kind.kind)
        return await get(kind, *rest)

    async def noted_list(kind: kinds.Kind, *rest: Any) -> Any:
        asked.append(f"all {kind.kind}")
        return await list_all(kind, *rest)

    monkeypatch.setattr(bench.api, "get", noted_get)
    monkeypatch.setattr(bench.api, "list_all", noted_list)
    bench.clock_set = -HOUR
    bench.now += timedelta(seconds=601)
    await bench.turn()
    assert kinds.GATEWAY.kind in asked
    assert f"all {kinds.ENGINE.kind}" in asked


async def test_a_young_replacement_is_starting_though_the_clock_was_set_ahead() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.HOLDING)
    for (kind, name), pod in bench.api.objects.items():
        if kind == "Pod" and name.startswith("desk-api-b"):
            pod["metadata"] |= {"uid": f"new-{name}", "creationTimestamp": render_time(bench.wall())}
            pod["status"]["conditions"][0]["status"] = "False"
            pod["status"]["containerStatuses"][0] |= {"ready": False, "started": False}
    await bench.engine.reconcile()
    assert bench.state().withdrawn is None
    bench.now += timedelta(seconds=1)
    bench.clock_set = HOUR
    await bench.engine.reconcile()
    assert bench.state().withdrawn is None


async def test_a_gateway_that_cannot_be_read_costs_no_judgement() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.HOLDING)
    none_ready(bench)
    bench.engine = bench.operator()
    bench.api.fail = {kinds.GATEWAY.kind: ApiError(500, "InternalError", "no")}
    await bench.engine.reconcile()
    assert bench.state().withdrawn is not None


async def test_a_gateway_that_cannot_be_read_fails_no_pass_that_guards_no_weight() -> None:
    bench = await running()
    bench.api.fail = {kinds.GATEWAY.kind: ApiError(500, "InternalError", "no")}
    bench.engine = bench.operator()
    outcome = await bench.turn()
    assert not outcome.failed
    found = bench.condition("ReferencesResolved")
    assert (found["status"], found["reason"]) == ("Unknown", "GatewayUnread")
    assert "Gateway gateway/web cannot be read now: no" in found["message"]
    assert "To mend: see why" in found["message"]
    assert bench.condition("Ready")["status"] == "True", "what hangs there serves on"
    bench.ask(version="1.5.0")
    await bench.settle()
    assert bench.state().stable == Placed("b", 2), "a release goes its way"
    bench.ask(version="1.5.0", host="new.localhost")
    for _ in range(3):
        await bench.turn()
    assert hosts(bench) == ["desk.localhost"], "nobody knows whether a listener takes the new one"
    assert bench.condition("Ready")["reason"] == "GatewayUnread"
    assert applied(bench) == {"spec.host": ("desk.localhost", "GatewayUnread")}
    bench.api.fail = {}
    for _ in range(6):
        await bench.turn()
    assert hosts(bench) == ["new.localhost"]
    assert bench.condition("ReferencesResolved")["status"] == "True"


async def test_a_namespace_that_does_not_answer_delays_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.HOLDING)
    none_ready(bench)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.01, raising=False)
    list_all = bench.api.list_all

    async def slow(kind: kinds.Kind, namespace: str, *rest: Any) -> Any:
        await asyncio.sleep(3600 if namespace == "elsewhere" else 0)
        return await list_all(kind, namespace, *rest)

    monkeypatch.setattr(bench.api, "list_all", slow)
    tools = replace(bench.tools(), hosts=HostBook((NAMESPACE, "elsewhere")))
    async with asyncio.timeout(20):
        await EngineReconciler(tools, NAMESPACE, "desk").reconcile()
    assert bench.state().withdrawn is not None
