"""One of two namespaces, or one kind of objects, can no longer be read: the rest is looked after as if nothing were."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from te_devcluster.ports import free_port
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.plan import kinds

from tests.cluster.chart_account import ACCOUNT, chart_account
from tests.cluster.operator_rig import Rig

from .canary import holding, operated, withdrawn_after_errors

pytestmark = pytest.mark.suite


async def figures(port: int) -> dict[str, float]:
    """Metrics of the operator, by name with labels."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def engine_in(rig: Rig, namespace: str, version: str) -> None:
    """An engine in another namespace, with a host of its own; nobody plays its pods."""
    metadata = {"name": "desk", "namespace": namespace}
    spec = {"version": version, "host": f"{namespace[-40:].strip('-')}.localhost"}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    await rig.client.apply(manifest, manager="person")


async def seen_generation(rig: Rig, namespace: str) -> bool:
    """Whether the operator's status is about the newest specification."""
    engine = await rig.client.get(kinds.ENGINE, namespace, "desk")
    assert engine is not None
    return bool((engine.get("status") or {}).get("observedGeneration") == engine["metadata"]["generation"])


async def test_a_removed_role_binding_blinds_for_that_namespace_alone(rig: Rig) -> None:
    other, port = f"{rig.namespace}-b", free_port()
    rig.server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}])
    account = chart_account(rig.server, rig.namespace, [rig.namespace, *rig.beside, other])
    binding = rig.server.get("rolebinding", ACCOUNT, "-n", other)
    await engine_in(rig, other, "0.1.0")
    async with rig.operator(kubeconfig=account, others=[other], metrics_port=port) as operator:
        await holding(rig)
        await rig.until("the other engine is seen", lambda: seen_generation(rig, other))
        rig.server.kubectl("delete", "rolebinding", ACCOUNT, "-n", other)
        # A watch that is open stays open; the server ends it, as it does after some minutes, when its pods restart.
        await engine_in(rig, other, "0.1.1")

        async def told() -> bool:
            found = await figures(port)
            return any(name.startswith("tradingengine_operator_reconcile_total") and other in name for name in found)

        await rig.until("the figures show both", told)
        await asyncio.sleep(5)
        assert operator.process.returncode is None
        await operator.again()
        await withdrawn_after_errors(rig)
        binding["metadata"] = {"name": ACCOUNT, "namespace": other}
        rig.server.apply([binding])
        await engine_in(rig, other, "0.1.2")
        await rig.until("the other engine is taken up again", lambda: seen_generation(rig, other), 90)
        assert operator.process.returncode is None


async def test_a_namespace_whose_watches_are_refused_is_tried_again_and_no_other_one_notices(
    rig: Rig, tmp_path: Path
) -> None:
    other, port = f"{rig.namespace}-b", free_port()
    rig.server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}])
    await engine_in(rig, other, "0.1.0")
    series = f'tradingengine_operator_unobserved{{kind="Pod",namespace="{other}"}}'
    async with operated(rig, tmp_path, others=[other], metrics_port=port) as (proxy, operator):
        await holding(rig)
        await rig.until("the other engine is seen", lambda: seen_generation(rig, other))
        with proxy.rule(status=403, namespace=other):
            proxy.cut_watches()

            async def told() -> bool:
                return (await figures(port)).get(series) == 1

            await rig.until("the metric says what cannot be read", told, 90)
            assert operator.process.returncode is None
            await withdrawn_after_errors(rig)
            await engine_in(rig, other, "0.1.1")
        await rig.until("the other engine is taken up again", lambda: seen_generation(rig, other), 120)
        assert (await figures(port))[series] == 0
        assert operator.process.returncode is None
    assert f"namespace {other}: pods cannot be listed" in rig.log.read_text()


async def test_a_kind_that_is_refused_does_not_keep_a_failing_canary_alive(rig: Rig, tmp_path: Path) -> None:
    async with operated(rig, tmp_path) as (proxy, operator):
        await holding(rig)
        with proxy.rule(status=403, plural="networkpolicies"):
            proxy.cut_watches()
            await asyncio.sleep(3)
            await withdrawn_after_errors(rig, 90)
            assert operator.process.returncode is None


async def test_a_gateway_api_that_is_installed_later_gets_watched(rig: Rig, tmp_path: Path) -> None:
    async with operated(rig, tmp_path) as (proxy, _):
        with proxy.rule(status=404, plural="httproutes"):
            await rig.apply()

            async def missing() -> bool:
                return bool(proxy.since(0.0, plural="httproutes"))

            await rig.until("routes were asked for", missing)
            await asyncio.sleep(5)
            assert not proxy.since(0.0, plural="httproutes", verbs={"watch"})
        await rig.until_phase("Running", 120)
        assert proxy.since(0.0, plural="httproutes", verbs={"watch"})
