"""The wall clock is set by an hour, back or ahead: what counts time goes on as if it had not been."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.builders.store_access import STORES, Store
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.state import Stage, render_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler
from tradingengine_operator.runtime.release import runner
from tradingengine_operator.runtime.release.hosts import HostBook

from .fake_api import NAMESPACE
from .test_passwords import NEW, edit, values
from .test_release_trouble import none_ready, reach, running

pytestmark = pytest.mark.unit
HOUR = timedelta(hours=1)


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
    for _ in range(160):
        await bench.turn()
    assert (kinds.STATEFUL_SET.kind, "desk-edge") not in bench.api.objects, "and it is tried again in time"


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_an_old_password_stays_valid_for_its_time(store: Store, by: timedelta) -> None:
    bench = await running()
    edit(bench, store, {"password": NEW})

    def stage() -> str:
        return values(bench, f"desk-{store}-access")["stage"]

    for _ in range(100):
        await bench.turn()
        if stage() == "spreading":
            break
    bench.clock_set = by
    for _ in range(50):
        await bench.turn()
    assert stage() == "spreading", "programs may not have read the new one yet"
    bench.engine = bench.operator()
    for _ in range(50):
        await bench.turn()
    assert stage() == "spreading", "another process goes on from there"
    for _ in range(200):
        if stage() == "settled":
            break
        await bench.turn()
    assert stage() == "settled"


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
