"""A settled engine costs nothing: no writes; and what becomes of it when it drifts, or is deleted."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from te_devcluster.ports import free_port
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from .chart_account import ACCOUNT, chart_account
from .operator_rig import Rig

pytestmark = pytest.mark.cluster
STORE_SECRETS = ("desk-database", "desk-database-access", "desk-cache", "desk-cache-access")


def requests_of(rig: Rig) -> list[dict[str, Any]]:
    """What the operator's account asked the API server for, oldest first."""
    user = f"system:serviceaccount:{rig.namespace}:{ACCOUNT}"
    lines = rig.server.audit_log.read_text().splitlines()
    events = [json.loads(line) for line in lines if user in line]
    return [event for event in events if event["user"]["username"] == user and event["stage"] == "ResponseComplete"]


def writes_of(rig: Rig) -> list[str]:
    """Its writes, without the renewals of its Lease."""
    return [
        f"{event['verb']} {event['objectRef']['resource']}/{event['objectRef'].get('name', '')}"
        for event in requests_of(rig)
        if event["verb"] not in {"get", "list", "watch"} and event["objectRef"]["resource"] != "leases"
    ]


async def passes_of(port: int) -> float:
    """Passes that the operator has made and that went well, by its metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    good = [line for line in lines if "reconcile_total{" in line and 'result="ok"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in good)


async def versions(rig: Rig) -> dict[str, Any]:
    """What the operator last wrote of each object, and when: a write that changes anything shows here."""
    found = {}
    for kind in (*kinds.LISTED, kinds.ROUTE, kinds.ENGINE):
        for manifest in await rig.client.list_all(kind, rig.namespace):
            managers = {names.FIELD_MANAGER, names.SCALE_MANAGER}
            entries = [entry for entry in manifest["metadata"].get("managedFields", ()) if entry["manager"] in managers]
            found[f"{kind.kind}/{manifest['metadata']['name']}"] = entries
    return found


async def settled(rig: Rig) -> None:
    """Waits for a running engine whose edge runs too."""
    await rig.until_phase("Running")

    async def edge_ready() -> bool:
        return (await rig.condition("EdgeReady")).get("reason") == "Ready"

    await rig.until("the edge is ready", edge_ready)


async def test_chart_rights_suffice_and_a_steady_state_writes_nothing(rig: Rig) -> None:
    account, port = chart_account(rig.server, rig.namespace), free_port()
    await rig.apply()
    async with rig.operator(kubeconfig=account, metrics_port=port) as process:
        await settled(rig)

        async def documents_pushed() -> bool:
            return all(pod.documents for pod in (*rig.stage.of("api", "a"), *rig.stage.of("dashboard", "a")))

        await rig.until("every pod has the release document", documents_pushed)
        refused = [event for event in requests_of(rig) if event["responseStatus"].get("code") == 403]
        # Whether the Gateway exists may only be looked up with the chart's ClusterRole.
        assert [event["requestURI"] for event in refused if "/gateways/" not in event["requestURI"]] == []
        before = writes_of(rig)
        for number in range(5):
            seen = await passes_of(port)
            annotations = {"metadata": {"annotations": {"example.com/poke": str(number)}}}
            await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", annotations)

            async def looked(already: float = seen) -> bool:
                return await passes_of(port) > already

            await rig.until("a pass was made", looked)
        assert writes_of(rig) == before
        stored = await versions(rig)
        assert await process.terminate() == 0
    async with rig.operator(kubeconfig=account, once=True) as other:
        assert await other.process.wait() == 0
    assert await versions(rig) == stored


async def test_drift_of_a_child_is_mended(rig: Rig) -> None:
    await rig.apply()
    async with rig.operator():
        await settled(rig)
        patch = {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": "http", "protocol": "TCP"}]}}
        await rig.client.merge_patch(kinds.SERVICE, rig.namespace, "desk-api-a", patch)

        async def mended() -> bool:
            service = await rig.client.get(kinds.SERVICE, rig.namespace, "desk-api-a")
            return service is not None and 80 in [port["port"] for port in service["spec"]["ports"]]

        await rig.until("the port is 80 again", mended)
        await rig.client.delete(kinds.SERVICE, rig.namespace, "desk-api-a")
        await rig.until("the Service is back", mended)


async def test_replicas_belong_to_scale_and_survive(rig: Rig) -> None:
    await rig.apply(api={"replicas": {"min": 3, "max": 5}})
    async with rig.operator():
        await settled(rig)
        await rig.client.scale(kinds.DEPLOYMENT, rig.namespace, "desk-api-a", 5)
        await rig.apply(api={"replicas": {"min": 3, "max": 6}})

        async def autoscaler_changed() -> bool:
            scaler = await rig.client.get(kinds.AUTOSCALER, rig.namespace, "desk-api-a")
            return scaler is not None and scaler["spec"]["maxReplicas"] == 6

        await rig.until("the autoscaler follows", autoscaler_changed)
        deployment = await rig.client.get(kinds.DEPLOYMENT, rig.namespace, "desk-api-a")
        assert deployment is not None
        assert deployment["spec"]["replicas"] == 5


@pytest.mark.parametrize("policy", ["retain", "delete"])
async def test_deletion(rig: Rig, policy: str) -> None:
    await rig.apply(deletionPolicy=policy)
    async with rig.operator():
        await settled(rig)
        rig.server.kubectl("delete", "te", "desk", "-n", rig.namespace, "--timeout=60s")

        async def swept() -> bool:
            left = [
                manifest
                for kind in (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.SERVICE, kinds.ROUTE, kinds.JOB)
                for manifest in await rig.client.list_all(kind, rig.namespace)
            ]
            return not left

        await rig.until("everything that serves is gone", swept)
        secrets = {entry["metadata"]["name"] for entry in await rig.client.list_all(kinds.SECRET, rig.namespace)}
        records = await rig.client.list_all(kinds.CONFIG_MAP, rig.namespace, {names.LABEL_COMPONENT: "release"})
        claims = {entry["metadata"]["name"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
        if policy == "retain":
            assert set(STORE_SECRETS) <= secrets
            assert [entry["metadata"].get("ownerReferences") for entry in records] == [None]
            assert "data-desk-database-0" in claims
        else:
            assert not secrets & set(STORE_SECRETS)
            assert records == []
        if policy == "retain":
            kept = await rig.client.get(kinds.SECRET, rig.namespace, "desk-database-access")
            await rig.apply(deletionPolicy=policy)
            await settled(rig)
            assert kept is not None
            again = await rig.client.get(kinds.SECRET, rig.namespace, "desk-database-access")
            assert again is not None
            assert again["data"] == kept["data"], "the new engine adopts the password that its volume knows"
