"""Another Gateway or host, right or wrong: the route always has one that accepted it. One host, one engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.plan import kinds

from tests import waiting
from tests.cluster.operator_rig import Manifest, Rig, gateway

pytestmark = pytest.mark.suite
HOST = "desk.localhost"


@asynccontextmanager
async def watched(rig: Rig) -> AsyncIterator[list[str]]:
    """Reads the route again and again; the moments at which a visitor of the old host had nobody."""
    losses: list[str] = []

    async def look() -> None:
        while True:
            route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
            parents = (route or {"spec": {}})["spec"].get("parentRefs") or []
            said = ((route or {}).get("status") or {}).get("parents") or []
            accepted = [
                entry["parentRef"]["name"]
                for entry in said
                if entry["parentRef"] in parents and entry["conditions"][0]["status"] == "True"
            ]
            if not accepted:
                losses.append(f"{[entry['name'] for entry in parents]}, of which none had accepted")
            await asyncio.sleep(0.02)

    task = asyncio.create_task(look())
    try:
        yield losses
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def attached(rig: Rig, name: str = "desk") -> tuple[list[str], list[str]]:
    """Gateways and hosts of a route; nothing when it is not there."""
    route = await rig.client.get(kinds.ROUTE, rig.namespace, name)
    spec = route["spec"] if route is not None else {}
    return [entry["name"] for entry in spec.get("parentRefs", [])], spec.get("hostnames", [])


async def applied(rig: Rig) -> dict[str, tuple[str, str]]:
    """`status.applied` by path: value and reason."""
    entries = ((await rig.engine()).get("status") or {}).get("applied") or ()
    return {entry["path"]: (entry.get("value", ""), entry["reason"]) for entry in entries}


async def ready(rig: Rig, reason: str) -> None:
    """Waits for the reason of Ready."""

    async def reached() -> bool:
        return (await rig.condition("Ready")).get("reason") == reason

    await rig.until(f"Ready says {reason}", reached)


async def test_a_typo_and_a_change_of_gateway_and_host(rig: Rig) -> None:
    await rig.apply()
    async with rig.operator():
        await rig.until_phase("Running")
        async with watched(rig) as losses:
            await rig.apply(gateway={"name": "webb", "throttle": "200ms"})
            await ready(rig, "GatewayMissing")
            assert await attached(rig) == (["web"], [HOST])
            assert await applied(rig) == {"spec.gateway.name": ("web", "GatewayMissing")}
            await rig.client.apply(gateway("webb", "gateway"), manager="person")

            async def moved(to: str = "webb") -> bool:
                return await attached(rig) == ([to], [HOST])

            await rig.until("the new Gateway has it alone", moved)
            await ready(rig, "Serving")
            await rig.apply()
            await rig.until("the old one has it again", lambda: moved("web"))
        assert losses == []
        async with watched(rig) as losses:
            await rig.apply(host="new.localhost")

            async def followed() -> bool:
                return await applied(rig) == {}

            async def renamed() -> bool:
                return await attached(rig) == (["web"], ["new.localhost"])

            await rig.until("the new host stands alone", renamed)
            await rig.until("nothing is left to be told", followed)
        assert losses == []
        assert (await rig.condition("Ready"))["reason"] == "Serving"
    await rig.client.delete(kinds.GATEWAY, "gateway", "webb")


async def test_two_engines_of_one_host(rig: Rig) -> None:
    host = f"{rig.namespace}.localhost"
    await rig.apply(host=host)
    async with rig.operator():
        await rig.until_phase("Running")
        await asyncio.sleep(1)  # creation times have whole seconds
        await rig.client.apply(second(rig, host), manager="person")

        async def told() -> bool:
            return (await condition(rig, "desk2")).get("reason") == "HostTaken"

        await rig.until("the younger one is told", told)
        assert f"TradingEngine {rig.namespace}/desk" in (await condition(rig, "desk2"))["message"]
        assert await attached(rig, "desk2") == ([], [])
        assert (await rig.condition("Ready"))["status"] == "True"
        await rig.client.delete(kinds.ENGINE, rig.namespace, "desk")

        async def serves() -> bool:
            return (await condition(rig, "desk2")).get("status") == "True"

        await waits(rig, serves)
        assert await attached(rig, "desk2") == (["web"], [host])


async def test_a_route_with_too_many_rules_of_others_is_said_in_the_servers_words(rig: Rig) -> None:
    await rig.apply()
    async with rig.operator():
        await rig.until_phase("Running")
        foreign: list[Manifest] = [
            {"name": f"page-{number}", "matches": [{"path": {"type": "PathPrefix", "value": f"/page-{number}"}}]}
            for number in range(12)
        ]
        operations = [{"op": "add", "path": "/spec/rules/-", "value": rule} for rule in foreign]
        await rig.client.json_patch(kinds.ROUTE, rig.namespace, "desk", operations)
        await rig.apply(version="0.2.0")
        await ready(rig, "RouteRefused")
        message = (await rig.condition("Ready"))["message"]
        assert "spec.rules: Too many" in message
        assert "at most 16 rules" in message


def second(rig: Rig, host: str) -> dict[str, Any]:
    """A second engine of the namespace."""
    spec = {"version": "0.1.0", "host": host, "gateway": {"throttle": "200ms"}, "edge": {"enabled": False}}
    metadata = {"name": "desk2", "namespace": rig.namespace}
    api = {"replicas": {"min": 1, "max": 1}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {**spec, "api": api}}


async def condition(rig: Rig, engine: str) -> Manifest:
    """Ready of an engine."""
    found = await rig.client.get(kinds.ENGINE, rig.namespace, engine)
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == "Ready"), {})


async def waits(rig: Rig, check: Any) -> None:
    """As the rig's own wait, which looks at an engine that is gone here."""
    await waiting.until(check, "what is waited for", timeout=60.0, every=0.25, clock=rig.clock)
