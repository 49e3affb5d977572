"""The loops of several engines: woken by what changed, deaf to their own echoes, ended before their data is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import LeaseLostError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy
from tradingengine_operator.runtime.process import engines as engines_module
from tradingengine_operator.runtime.process.engines import STUCK_SECONDS, Engines
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler

from tests.waiting import until

from .fake_api import NAMESPACE
from .rig import Bench

pytestmark = pytest.mark.unit
DESK = {"namespace": NAMESPACE, "engine": "desk"}


@asynccontextmanager
async def tended(bench: Bench) -> AsyncIterator[tuple[Engines, asyncio.Task[None]]]:
    """Loops that look after the bench's engine."""
    engines = Engines(bench.engine._tools)
    stopped = asyncio.Event()
    task = asyncio.create_task(engines.run(stopped))
    hold(bench)
    engines.engine_event(bench.api.objects[kinds.ENGINE.kind, "desk"])
    await until(lambda: passes(bench) >= 1)
    try:
        yield engines, task
    finally:
        stopped.set()
        await task


def hold(bench: Bench) -> None:
    """What kopf does when it first sees the engine."""
    bench.api.objects[kinds.ENGINE.kind, "desk"]["metadata"]["finalizers"] = [names.FINALIZER]


def count(bench: Bench, name: str, labels: dict[str, str]) -> float:
    """A counter of the operator."""
    return bench.metrics.registry.get_sample_value(f"tradingengine_operator_{name}", labels) or 0.0


def passes(bench: Bench) -> float:
    """Passes that went well."""
    return count(bench, "reconcile_total", {**DESK, "result": "ok"})


def wakes(bench: Bench, cause: str) -> float:
    """Wake-ups by a cause."""
    return count(bench, "wake_total", {"cause": cause})


def child(version: str, instance: str = "desk") -> dict[str, Any]:
    """A Deployment as a watch shows it."""
    labels = {names.LABEL_INSTANCE: instance}
    metadata = {"name": "desk-api-a", "namespace": NAMESPACE, "labels": labels, "resourceVersion": version}
    return {"metadata": metadata}


async def test_a_change_of_the_engine_wakes_and_an_echo_of_its_status_does_not() -> None:
    bench = Bench()
    async with tended(bench) as (engines, _):
        body = bench.api.objects[kinds.ENGINE.kind, "desk"]
        engines.engine_event(body)
        engines.engine_event({"metadata": {**body["metadata"], "resourceVersion": "999"}})
        assert wakes(bench, "engine") == 0
        annotated = {"metadata": {**body["metadata"], "annotations": {"tradingengine.io/abort": "1"}}}
        engines.engine_event(annotated)
        assert wakes(bench, "engine") == 1
        await until(lambda: passes(bench) >= 2)
        leaving = {**body["metadata"], "name": "another", "deletionTimestamp": "2026-11-21T09:00:00Z"}
        engines.engine_event({"metadata": leaving})
        assert len(engines._members) == 1, "nobody begins to look after an engine that is about to go"


async def test_nothing_is_made_for_an_engine_that_its_finalizer_does_not_hold() -> None:
    """It may be deleted at that moment, and what has no owner, or was written after the end, would stay for ever."""
    bench = Bench()
    engines, stopped = Engines(bench.engine._tools), asyncio.Event()
    task = asyncio.create_task(engines.run(stopped))
    before = list(bench.api.writes)
    engines.engine_event(bench.api.objects[kinds.ENGINE.kind, "desk"])
    await until(lambda: passes(bench) >= 1)
    assert bench.api.writes == before
    hold(bench)
    engines.engine_event(bench.api.objects[kinds.ENGINE.kind, "desk"])
    await until(lambda: bench.api.writes != before)
    bench.api.objects[kinds.ENGINE.kind, "desk"]["metadata"]["finalizers"] = []  # a person took it away: kopf sets it
    done = passes(bench)
    engines.engine_event(bench.api.objects[kinds.ENGINE.kind, "desk"])
    await until(lambda: passes(bench) > done)
    assert bench.status["phase"]
    stopped.set()
    await task


async def test_a_change_of_a_child_wakes_its_engine_alone() -> None:
    bench = Bench()
    async with tended(bench) as (engines, _):
        engines.child_event(kinds.DEPLOYMENT.kind, child("another-version"))
        engines.child_event(kinds.DEPLOYMENT.kind, child("another-version", "other"))
        assert wakes(bench, kinds.DEPLOYMENT.kind) == 1


async def test_a_pass_that_hangs_shows() -> None:
    bench = Bench()
    async with tended(bench) as (engines, _):
        assert engines.stuck() == []
        member = engines._members[NAMESPACE, "desk"]
        member.loop.beat.since = time.monotonic() - STUCK_SECONDS - 1
        assert engines.stuck() == [f"{NAMESPACE}/desk"]
        member.loop.beat.since = None


async def test_the_loop_ends_before_the_data_of_a_deleted_engine_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(deletionPolicy="delete")
    await bench.settle()
    order: list[str] = []
    plain = apply_deletion_policy

    async def settle(client: Any, engine: dict[str, Any]) -> None:
        order.append("running" if not task.done() and not ended.is_set() else "ended")
        await plain(client, engine)

    monkeypatch.setattr(engines_module, "apply_deletion_policy", settle)
    async with tended(bench) as (engines, task):
        ended = engines._members[NAMESPACE, "desk"].ended
        engine = bench.api.objects[kinds.ENGINE.kind, "desk"]
        engine["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
        await engines.delete(engine)
    assert order == ["ended"]
    assert "desk-database" not in bench.names(kinds.SECRET)
    assert bench.status["phase"] == "Deleting"
    assert passes(bench) == 0, "its figures are forgotten"


async def test_an_engine_is_looked_after_on_when_the_lease_was_away(caplog: pytest.LogCaptureFixture) -> None:
    bench, away = Bench(), asyncio.Event()
    plain = bench.api.apply

    async def apply(*arguments: Any, **named: Any) -> dict[str, Any]:
        if not away.is_set():
            away.set()
            raise LeaseLostError("the lease is too old")
        return await plain(*arguments, **named)

    bench.api.apply = apply  # type: ignore[method-assign]
    async with tended(bench):
        assert away.is_set()
        assert count(bench, "reconcile_total", {**DESK, "result": "lease-lost"}) == 1
    assert "Traceback" not in caplog.text


async def test_an_engine_of_the_same_name_begins_with_no_secret_of_the_one_before() -> None:
    """Though a pass was reading them in the moment of its deletion."""
    bench = Bench(deletionPolicy="delete")
    await bench.settle()
    tools = replace(bench.engine._tools, secrets=SecretReader(cast(KubernetesClient, bench.api)))
    bench.engine = EngineReconciler(tools, NAMESPACE, "desk")
    reading, go_on, plain = asyncio.Event(), asyncio.Event(), bench.api.get

    async def get(kind: kinds.Kind, namespace: str, name: str) -> dict[str, Any] | None:
        found = await plain(kind, namespace, name)
        if kind == kinds.SECRET:
            reading.set()
            await go_on.wait()
        return found

    async with tended(bench) as (engines, _):
        before = bench.api.objects[kinds.SECRET.kind, "desk-database-access"]["data"]["password"]
        engine = bench.api.objects[kinds.ENGINE.kind, "desk"]
        bench.api.get = get  # type: ignore[method-assign]
        engines.engine_event({"metadata": {**engine["metadata"], "annotations": {"look": "again"}}})
        await reading.wait()
        engine["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
        engines.engine_event(engine)
        go_on.set()
        await engines.delete(engine)
        bench.api.end(kinds.ENGINE, "desk")
        engines.engine_event(engine, gone=True)
        assert (kinds.SECRET.kind, "desk-database-access") not in bench.api.objects
        bench.api.put({**engine, "metadata": {"name": "desk", "generation": 1}, "status": {}})
        hold(bench)
        engines.engine_event(bench.api.objects[kinds.ENGINE.kind, "desk"])
        await until(lambda: (kinds.SECRET.kind, "desk-database-access") in bench.api.objects)
        assert bench.api.objects[kinds.SECRET.kind, "desk-database-access"]["data"]["password"] != before
    assert not tools.secrets._known, "nothing is kept of engines that nobody looks after"


def series(bench: Bench) -> list[str]:
    """Metrics that have something of the engine."""
    found = bench.metrics.registry.collect()
    return [family.name for family in found if any(sample.labels.get("engine") == "desk" for sample in family.samples)]


async def test_an_engine_whose_finalizer_was_taken_away_leaves_nothing_behind() -> None:
    """No handler sees its end then: it is only gone from the store."""
    bench = Bench()
    applier = bench.engine._tools.applier
    async with tended(bench) as (engines, _):
        assert series(bench)
        assert len(applier) > 0
        body = bench.api.objects[kinds.ENGINE.kind, "desk"]
        bench.api.end(kinds.ENGINE, "desk")
        engines.engine_event(body, gone=True)
        await until(lambda: not engines._members)
        assert series(bench) == []
        assert len(applier) == 0


async def test_what_its_deletion_still_wrote_goes_with_an_engine_whose_finalizer_was_taken_away() -> None:
    bench = Bench()
    applier = bench.engine._tools.applier
    async with tended(bench) as (engines, _):
        body = bench.api.objects[kinds.ENGINE.kind, "desk"]
        body["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
        engines.engine_event(body)
        await until(lambda: not engines._members)
        await bench.engine.mark_deleting(body)
        bench.api.end(kinds.ENGINE, "desk")
        engines.engine_event(body, gone=True)
        assert series(bench) == []
        assert len(applier) == 0
