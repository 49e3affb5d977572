"""A pass asks the API server for nothing: what it reads is in the store, and its own writes are too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind
from tradingengine_operator.runtime.observe.reader import StoreReader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.observe.store import OBSERVED, Stores
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler

from tests.unit.operator.runtime.fake_api import NAMESPACE, FakeApi
from tests.unit.operator.runtime.rig import Bench

pytestmark = pytest.mark.unit


class Counted:
    """The client as the operator has it: calls are counted, and answers of writes enter the store."""

    def __init__(self, api: FakeApi, stores: Stores) -> None:
        self._api = api
        self._stores = stores
        self.reads: list[str] = []

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self._api, name)

        async def written(*arguments: Any, **named: Any) -> Any:
            answer = await plain(*arguments, **named)
            if isinstance(answer, dict):
                kind = next((entry for entry in OBSERVED if entry.kind == answer["kind"]), kinds.SECRET)
                self._stores.wrote(kind, NAMESPACE, answer)
            elif name == "delete" and answer:
                self._stores.deleted(arguments[0], NAMESPACE, arguments[2], {"kind": "Status"})
            return answer

        return written

    async def get(self, kind: Kind, namespace: str, name: str) -> Any:
        """As of the client."""
        self.reads.append(f"get {kind.kind}/{name}")
        return await self._api.get(kind, namespace, name)

    async def list_all(self, kind: Kind, namespace: str, selector: Mapping[str, str] | None = None) -> Any:
        """As of the client."""
        self.reads.append(f"list {kind.kind}")
        return await self._api.list_all(kind, namespace, selector)


class WatchedBench(Bench):
    """A bench whose operator reads from stores; `show` is what watches do."""

    def operator(self, name: str = "desk") -> EngineReconciler:
        """A reconciler that remembers nothing, and a store that was just filled."""
        self.stores = Stores([NAMESPACE])
        self.counted = Counted(self.api, self.stores)
        client = cast(KubernetesClient, self.counted)
        plain = super().operator(name)
        tools = replace(
            plain._tools,
            client=client,
            reader=StoreReader(self.stores),
            secrets=SecretReader(client),
            applier=type(plain._tools.applier)(client),
        )
        self.show()
        return EngineReconciler(tools, NAMESPACE, name)

    def show(self) -> None:
        """The store sees everything as it is."""
        for kind in OBSERVED:
            found = [entry for (name, _), entry in self.api.objects.items() if name == kind.kind]
            self.stores[NAMESPACE].replace(kind, [dict(entry) for entry in found], 0)

    async def turn(self) -> Any:
        """As of the bench, and the store sees what the cluster did."""
        outcome = await super().turn()
        self.show()
        return outcome


async def test_a_pass_that_holds_a_canary_asks_prometheus_and_pods_and_nothing_else() -> None:
    bench = WatchedBench()
    await bench.settle()
    steps = [{"weight": 10, "hold": "10m"}, {"weight": 100}]
    bench.ask(version="1.5.0", rollout={"steps": steps, "warmSlot": "4s", "historyLimit": 2})
    bench.show()
    for _ in range(20):
        await bench.turn()
    candidate = bench.state().candidate
    assert candidate is not None
    assert candidate.weight == 100
    bench.counted.reads.clear()
    before, looked = len(bench.api.writes), 30
    for _ in range(looked):
        outcome = await bench.turn()
        assert outcome.judged
    minutes = looked * 2 / 60
    assert [entry for entry in bench.counted.reads if "Gateway" not in entry] == []
    assert len(bench.counted.reads) <= 1, "whether the Gateway is still there is asked every few minutes"
    assert len(bench.api.writes) - before <= minutes, "the judged time is stored once a minute"
    assert bench.state().candidate is not None


async def test_a_release_goes_its_way_on_stores_alone() -> None:
    bench = WatchedBench()
    await bench.settle()
    bench.ask(version="1.5.0")
    bench.show()
    await bench.settle(80)
    stable = bench.state().stable
    assert stable is not None
    assert stable.release == 2
    lists = [entry for entry in bench.counted.reads if entry.startswith("list")]
    assert len(lists) <= 4, "hosts and turns of engines are listed once, children never"
