"""`kubectl delete namespace` with an engine in it, and the end of one engine: nothing hangs, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from tradingengine_operator.plan import kinds

from tests.cluster.chart_account import chart_account
from tests.cluster.operator_rig import Rig
from tests.cluster.test_operator_steady import settled

pytestmark = pytest.mark.suite
NAMESPACE_SECONDS, ENGINE_SECONDS = 60.0, 10.0
#: As long as a namespace takes to go with the ClusterRole, about.
HELD_SECONDS = 12.0
Record = Callable[[str, object], None]
WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.SERVICE, kinds.ROUTE, kinds.JOB, kinds.POD)


async def until_gone(rig: Rig, began: float, seconds: float) -> float:
    """Waits for the end of the namespace, and says how long it took since `began`."""

    async def gone() -> bool:
        return await rig.client.get(kinds.NAMESPACE, "", rig.namespace) is None

    await rig.until("the namespace is gone", gone, timeout=seconds - (time.monotonic() - began))
    return time.monotonic() - began


@pytest.mark.parametrize("policy", ["retain", "delete"])
async def test_a_namespace_goes_with_an_engine_in_it(rig: Rig, policy: str, record_property: Record) -> None:
    home = f"{rig.namespace}-home"
    account = chart_account(rig.server, home, [rig.namespace, *rig.beside], cluster_role=True)
    await rig.apply(deletionPolicy=policy)
    async with rig.operator(kubeconfig=account, home=home):
        await settled(rig)
        began = time.monotonic()
        rig.server.kubectl("delete", "namespace", rig.namespace, "--wait=false")
        record_property("namespace gone after, s", round(await until_gone(rig, began, NAMESPACE_SECONDS), 1))


@pytest.mark.parametrize("cluster_role", [True, False], ids=["with", "without"])
async def test_a_namespace_goes_after_a_kill(rig: Rig, cluster_role: bool, record_property: Record) -> None:
    home = f"{rig.namespace}-home"
    account = chart_account(rig.server, home, [rig.namespace, *rig.beside], cluster_role=cluster_role)
    environment = {"TE_CLUSTER_ROLE": str(cluster_role).lower()}
    await rig.apply()
    async with rig.operator(kubeconfig=account, home=home, environment=environment) as first:
        await settled(rig)
        said = (await rig.condition("NamespaceDeletable"))["reason"]
        assert said == ("Allowed" if cluster_role else "EngineFirst")
        await first.kill()
    rig.server.kubectl("delete", "namespace", rig.namespace, "--wait=false")

    async def rights_gone() -> bool:
        return "te-tradingengine" not in rig.server.kubectl("get", "rolebindings", "-n", rig.namespace, "-o", "name")

    await rig.until("the operator's rights in the namespace are gone", rights_gone)
    assert await rig.client.get(kinds.ENGINE, rig.namespace, "desk") is not None, "it waits for its finalizer"
    began = time.monotonic()
    async with rig.operator(kubeconfig=account, home=home, environment=environment):
        if not cluster_role:
            await asyncio.sleep(HELD_SECONDS)
            assert await rig.client.get(kinds.ENGINE, rig.namespace, "desk") is not None, "nobody may let it go"
            # What the chart's notes say to do then.
            free = '[{"op": "remove", "path": "/metadata/finalizers"}]'
            rig.server.kubectl("patch", "te", "desk", "-n", rig.namespace, "--type=json", "-p", free)
        record_property("namespace gone after, s", round(await until_gone(rig, began, NAMESPACE_SECONDS), 1))


async def test_an_engine_goes_at_once_and_leaves_its_data(rig: Rig, record_property: Record) -> None:
    home = f"{rig.namespace}-home"
    account = chart_account(rig.server, home, [rig.namespace, *rig.beside], cluster_role=True)
    await rig.apply()
    async with rig.operator(kubeconfig=account, home=home):
        await settled(rig)
        claims = {entry["metadata"]["uid"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
        began = time.monotonic()
        rig.server.kubectl("delete", "te", "desk", "-n", rig.namespace, "--wait=false")

        async def gone() -> bool:
            return await rig.client.get(kinds.ENGINE, rig.namespace, "desk") is None

        async def swept() -> bool:
            return not any([await rig.client.list_all(kind, rig.namespace) for kind in WORKLOADS])

        await rig.until("the engine is gone", gone, timeout=ENGINE_SECONDS)
        took = time.monotonic() - began
        await rig.until("its workloads are gone", swept)
        record_property("engine gone after, s", round(took, 1))
        record_property("workloads gone after, s", round(time.monotonic() - began, 1))
    kept = {entry["metadata"]["uid"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
    assert len(claims) == 3
    assert kept == claims
    assert await rig.client.get(kinds.SECRET, rig.namespace, "desk-database") is not None


async def test_the_policy_of_the_last_day_decides(rig: Rig) -> None:
    await rig.apply(deletionPolicy="delete")
    async with rig.operator():
        await settled(rig)
        claims = {entry["metadata"]["uid"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
        await rig.apply(deletionPolicy="retain", paused=True)
        await rig.until_phase("Paused")
        rig.server.kubectl("delete", "te", "desk", "-n", rig.namespace, "--timeout=60s")

        async def swept() -> bool:
            return not await rig.client.list_all(kinds.STATEFUL_SET, rig.namespace)

        await rig.until("the StatefulSets are gone", swept)
        kept = {entry["metadata"]["uid"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
        assert kept == claims


async def test_an_engine_with_orders_in_flight_closes_its_edge_before_it_goes(rig: Rig) -> None:
    await rig.apply()
    async with rig.operator():
        await settled(rig)
        pod = rig.stage.of("edge")[0]
        pod.idle = False
        rig.server.kubectl("delete", "te", "desk", "-n", rig.namespace, "--wait=false")

        async def drained() -> bool:
            return pod.state == "draining"

        async def gone() -> bool:
            return await rig.client.get(kinds.ENGINE, rig.namespace, "desk") is None

        await rig.until("the edge is drained", drained)
        assert (await rig.condition("EdgeReady"))["reason"] == "Stopping"
        assert await rig.client.get(kinds.STATEFUL_SET, rig.namespace, "desk-edge") is not None
        pod.idle = True
        await rig.until("the engine is gone", gone)
        assert "EdgeDrained" in {event["reason"] for event in await rig.client.list_all(kinds.EVENT, rig.namespace)}


async def test_an_edge_that_is_switched_off_leaves_its_journal(rig: Rig) -> None:
    await rig.apply(deletionPolicy="delete")
    async with rig.operator():
        await settled(rig)
        journal = await rig.client.get(kinds.CLAIM, rig.namespace, "journal-desk-edge-0")
        assert journal is not None
        pod = rig.stage.of("edge")[0]
        pod.idle = False
        await rig.apply(deletionPolicy="delete", edge={"enabled": False})

        async def drained() -> bool:
            return pod.state == "draining"

        await rig.until("the edge is drained", drained)
        assert await rig.client.get(kinds.STATEFUL_SET, rig.namespace, "desk-edge") is not None
        pod.idle = True

        async def disabled() -> bool:
            return (await rig.condition("EdgeReady")).get("reason") == "Disabled"

        await rig.until("the edge is gone", disabled)
        assert await rig.client.get(kinds.STATEFUL_SET, rig.namespace, "desk-edge") is None
        await rig.apply(deletionPolicy="delete", edge={"enabled": True})
        await settled(rig)
        again = await rig.client.get(kinds.CLAIM, rig.namespace, "journal-desk-edge-0")
        assert again is not None
        assert again["metadata"]["uid"] == journal["metadata"]["uid"]
