"""A quota, a limit range, a full node: the condition names it within seconds, and goes on by itself once mended."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from tests.cluster.chart_account import chart_account
from tests.cluster.operator_rig import Rig

pytestmark = pytest.mark.suite
SOON_SECONDS = 10.0
MENDED_SECONDS = 90.0


def quota(rig: Rig, pods: int) -> dict[str, Any]:
    """A ResourceQuota on pods that have not ended."""
    metadata = {"name": "small", "namespace": rig.namespace}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": str(pods)}}}


async def until_said(rig: Rig, type_: str, reason: str, part: str = "", timeout: float = SOON_SECONDS) -> str:
    """Waits for a condition's reason, and returns its message."""

    async def said() -> bool:
        found = await rig.condition(type_)
        return found.get("reason") == reason and part in found["message"]

    await rig.until(f"{type_} says {reason}", said, timeout=timeout)
    return str((await rig.condition(type_))["message"])


async def leads(rig: Rig) -> None:
    """Waits for an operator that works, since its own start is not what is measured."""

    async def held() -> bool:
        lease = await rig.client.get(kinds.LEASE, f"{rig.namespace}-home", "tradingengine-operator")
        return bool(lease is not None and lease["spec"].get("holderIdentity"))

    await rig.until("the operator leads", held)


async def counted(rig: Rig) -> None:
    """Waits until the quota is in force."""

    async def known() -> bool:
        found = rig.server.get("resourcequota", "small", "-n", rig.namespace)
        return bool((found.get("status") or {}).get("hard"))

    await rig.until("the quota is counted", known)


async def test_a_quota_is_named_for_stores_job_and_release_in_turn(rig: Rig) -> None:
    account = chart_account(rig.server, f"{rig.namespace}-home", [rig.namespace, *rig.beside], cluster_role=True)
    rig.server.apply([quota(rig, 0)])
    await counted(rig)
    async with rig.operator(kubeconfig=account, home=f"{rig.namespace}-home"):
        await leads(rig)
        await rig.apply()
        message = await until_said(rig, "DatabaseReady", "QuotaExceeded")
        assert "exceeded quota: small" in message
        assert "describe quota small" in message
        await until_said(rig, "CacheReady", "QuotaExceeded")
        assert await rig.phase() == "Pending"
        rig.server.apply([quota(rig, 3)])
        await until_said(rig, "DatabaseReady", "Ready", timeout=MENDED_SECONDS)
        await until_said(rig, "CacheReady", "Ready", timeout=MENDED_SECONDS)
        await until_said(rig, "ReleaseHealthy", "QuotaExceeded", "desk-migrate-1")
        rig.server.apply([quota(rig, 4)])
        await until_said(rig, "ReleaseHealthy", "QuotaExceeded", "desk-", timeout=MENDED_SECONDS)

        async def slots_refused() -> bool:
            words = (await rig.condition("ReleaseHealthy"))["message"]
            return "desk-api-a" in words or "desk-dashboard-a" in words

        await rig.until("the pods of the release are refused", slots_refused, timeout=MENDED_SECONDS)
        rig.server.kubectl("delete", "resourcequota", "small", "-n", rig.namespace)
        await rig.until_phase("Running", timeout=MENDED_SECONDS)


async def test_a_limit_range_is_said_in_the_servers_words(rig: Rig) -> None:
    limits = {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}
    metadata = {"name": "tiny", "namespace": rig.namespace}
    rig.server.apply([{"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": limits}])
    account = chart_account(rig.server, f"{rig.namespace}-home", [rig.namespace, *rig.beside], cluster_role=True)
    async with rig.operator(kubeconfig=account, home=f"{rig.namespace}-home") as operator:
        await leads(rig)
        await rig.apply()
        message = await until_said(rig, "DatabaseReady", "LimitRangeViolated")
        assert "maximum memory usage per Container is 64Mi" in message
        assert "describe limitrange" in message
        await operator.again()
        rig.server.kubectl("delete", "limitrange", "tiny", "-n", rig.namespace)
        await rig.until_phase("Running", timeout=MENDED_SECONDS)


async def test_a_full_node_is_said_at_once(rig: Rig) -> None:
    rig.stage.held.add("database")
    words = "0/2 nodes are available: 2 Insufficient memory."
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    await rig.apply()
    async with rig.operator() as operator:

        async def there() -> bool:
            selector = {names.LABEL_COMPONENT: "database"}
            return bool(await rig.client.list_all(kinds.POD, rig.namespace, selector))

        await rig.until("the pod is there", there)
        await rig.stage.set_status("desk-database-0", {"conditions": [full]})
        message = await until_said(rig, "DatabaseReady", "Unschedulable")
        assert words.rstrip(".") in message
        await operator.again()
        rig.stage.held.discard("database")
        await rig.until_phase("Running")
