"""Several runs of kopf in one loop: the end of one is nothing to the others, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, cast

import pytest
from te_devcluster.api_server import ApiServer
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.feed import Feed
from tradingengine_operator.runtime.observe.store import Stores
from tradingengine_operator.runtime.process.engines import Engines
from tradingengine_operator.runtime.process.kopf_adapter import KopfStreams
from tradingengine_operator.runtime.process.main import hear_signals
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

from tests.waiting import until

from .operator_rig import namespace_of

pytestmark = pytest.mark.cluster


class Heard:
    """Who is told of changes, and looks after no engine."""

    def __init__(self) -> None:
        self.children: list[str] = []

    def engine_event(self, body: Any, *, gone: bool = False) -> None:
        """As of `Listener`."""

    def child_event(self, kind: str, body: Any, *, gone: bool = False) -> None:
        """As of `Listener`."""
        metadata = body["metadata"]
        self.children.append(f"{metadata['namespace']}/{metadata['name']}{' gone' if gone else ''}")

    def kind_event(self, namespace: str, kind: str) -> None:
        """As of `Listener`."""


def config_map(namespace: str, name: str) -> dict[str, Any]:
    """A ConfigMap of an engine."""
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_INSTANCE: "desk"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
    }


async def test_two_namespaces_in_one_loop(
    operated_api_server: ApiServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(operated_api_server.kubeconfig))
    first, second = (f"{namespace_of(request)}-{part}" for part in "ab")
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (first, second)]
    operated_api_server.apply(spaces)
    heard, metrics, stores, signalled = Heard(), OperatorMetrics(), Stores([first, second]), asyncio.Event()
    async with api_client() as api:
        client = KubernetesClient(api)
        streams = KopfStreams(
            cast(Engines, heard), metrics, lambda *, begun=False: 1.0, lambda: hear_signals(signalled)
        )
        before = asyncio.all_tasks()
        stops = {name: asyncio.Event() for name in (first, second)}
        runs = {
            name: asyncio.create_task(
                streams(Feed(stores[name], client, heard, metrics), [kinds.CONFIG_MAP, kinds.SERVICE], stop)
            )
            for name, stop in stops.items()
        }
        for name in (first, second):
            await client.apply(config_map(name, "x"))
        await until(lambda: {f"{first}/x", f"{second}/x"} <= set(heard.children))
        stops[first].set()
        await asyncio.wait_for(runs[first], 10)
        await client.apply(config_map(second, "y"))
        await until(lambda: f"{second}/y" in heard.children)
        assert stores[second].children("desk").keys() == {("ConfigMap", "x"), ("ConfigMap", "y")}
        assert await client.delete(kinds.CONFIG_MAP, second, "y")
        await until(lambda: f"{second}/y gone" in heard.children)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(signalled.is_set, "a signal is ours, though kopf runs")
        stops[second].set()
        await asyncio.wait_for(runs[second], 10)
        await until(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()}, "nothing is left behind")
        labels = {"kind": "ConfigMap", "verb": "list", "result": "ok"}
        assert metrics.registry.get_sample_value("tradingengine_operator_api_call_total", labels) == 2
