"""The proxy of these tests: what goes through is what the server says, and what is to go wrong goes wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client
from tradingengine_operator.errors import ApiError, ForbiddenError
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import Rig
from tests.waiting import until

from .proxy import Proxy, proxied

pytestmark = pytest.mark.suite


@pytest.fixture
async def proxy(rig: Rig) -> AsyncIterator[Proxy]:
    """A proxy in front of the rig's server."""
    async with proxied(rig.server.kubeconfig) as made:
        yield made


def config_map(rig: Rig, name: str, **data: str) -> dict[str, object]:
    """A ConfigMap."""
    metadata = {"name": name, "namespace": rig.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_calls_go_through_and_are_written_down(
    rig: Rig, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(proxy.kubeconfig(tmp_path / "through")))
    async with api_client() as api:
        client = KubernetesClient(api)
        await client.apply(config_map(rig, "x", a="1"), manager="person")
        assert await client.get(kinds.CONFIG_MAP, rig.namespace, "x") is not None
        seen = [(call.verb, call.plural, call.name, call.status) for call in proxy.calls]
        assert seen == [("patch", "configmaps", "x", 201), ("get", "configmaps", "x", 200)]
        with proxy.rule(status=403, plural="configmaps", verbs={"list"}) as rule:
            with pytest.raises(ForbiddenError):
                await client.list_all(kinds.CONFIG_MAP, rig.namespace)
            assert await client.list_all(kinds.SERVICE, rig.namespace) == []
        assert rule.hits == 1
        with proxy.rule(cut=True, verbs={"create"}), pytest.raises(ApiError):
            await client.create(config_map(rig, "y"))
        with proxy.rule(lose=True, verbs={"create"}), pytest.raises(ApiError):
            await client.create(config_map(rig, "z"))
        found = await client.list_all(kinds.CONFIG_MAP, rig.namespace)
        there = {entry["metadata"]["name"] for entry in found} - {"kube-root-ca.crt"}
        assert there == {"x", "z"}, "one never reached the server, of the other only the answer was lost"
        with proxy.rule(status=429, retry_after=0, times=2):
            assert await client.get(kinds.CONFIG_MAP, rig.namespace, "x") is not None
        async with proxy.away():
            with pytest.raises(ApiError):
                await client.get(kinds.CONFIG_MAP, rig.namespace, "x")
        assert await client.get(kinds.CONFIG_MAP, rig.namespace, "x") is not None


async def test_a_long_list_comes_as_the_server_packs_it(
    rig: Rig, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server packs what is longer than 128 KiB; with bytes that are not as the head says nobody could read it."""
    monkeypatch.setenv("KUBECONFIG", str(proxy.kubeconfig(tmp_path / "through")))
    for number in range(3):
        await rig.client.apply(config_map(rig, f"long-{number}", a="x" * 60_000), manager="person")
    async with api_client() as api:
        found = await KubernetesClient(api).list_all(kinds.CONFIG_MAP, rig.namespace)
    assert {len(entry["data"]["a"]) for entry in found if entry["metadata"]["name"].startswith("long-")} == {60_000}


async def test_watches_are_cut_told_410_and_lose_events(rig: Rig, proxy: Proxy) -> None:
    url = f"{proxy.url}{kinds.CONFIG_MAP.path(rig.namespace)}?watch=true&resourceVersion=0"
    seen: list[tuple[str, str]] = []

    async def watch(session: aiohttp.ClientSession) -> None:
        async with session.get(url) as answer:
            async for line in answer.content:
                event = json.loads(line)
                seen.append((event["type"], event["object"].get("metadata", {}).get("name", "")))

    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(watch(session))
        await until(lambda: ("ADDED", "kube-root-ca.crt") in seen)
        with proxy.rule(drop=lambda event: event["object"]["metadata"]["name"] == "hidden"):
            for name in ("hidden", "shown"):
                await rig.client.apply(config_map(rig, name), manager="person")
            await until(lambda: ("ADDED", "shown") in seen)
        assert ("ADDED", "hidden") not in seen
        assert proxy.cut_watches("pods") == 0
        assert proxy.cut_watches("configmaps") == 1
        with pytest.raises(aiohttp.ClientError):
            await task
        with proxy.rule(gone=True, verbs={"watch"}):
            await watch(session)
        assert seen[-1] == ("ERROR", "")
        assert [call.verb for call in proxy.since(time.monotonic() - 60, verbs={"watch"})] == ["watch", "watch"]
