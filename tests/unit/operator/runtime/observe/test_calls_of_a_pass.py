"""A pass asks the API server for nothing: what it reads is in the store, and its own writes are too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.builders import digest, release
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.plan import kinds, objects
from tradingengine_operator.plan.attachment import GatewayKey
from tradingengine_operator.plan.hosts import Place
from tradingengine_operator.plan.kinds import Kind
from tradingengine_operator.runtime.observe.reader import StoreReader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.observe.store import OBSERVED, Stores
from tradingengine_operator.runtime.parts import edge, pinned, stores
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler
from tradingengine_operator.runtime.release import slots
from tradingengine_operator.runtime.release.hosts import HostBook
from tradingengine_operator.runtime.release.turns import Turns

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
        plain, reader = super().operator(name), StoreReader(self.stores)
        tools = replace(
            plain._tools,
            client=client,
            reader=reader,
            turns=Turns(reader, (NAMESPACE,)),
            hosts=HostBook((NAMESPACE,), reader),
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
    assert lists(bench) == []


def lists(bench: WatchedBench) -> list[str]:
    """Lists that were made, but of nodes, which nobody watches."""
    return [entry for entry in bench.counted.reads if entry.startswith("list") and entry != "list Node"]


async def test_a_settled_pass_makes_and_hashes_anew_only_what_secrets_and_status_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = WatchedBench()
    await bench.settle()
    for _ in range(3):
        await bench.turn()
    hashed: list[object] = []

    def counted(value: Any, length: int = 10) -> str:
        hashed.append(value)
        return digest(value, length)

    def built(*_arguments: Any) -> list[Any]:
        raise AssertionError("what a record and a specification make is made already")

    for module in (objects, release):
        monkeypatch.setattr(module, "digest", counted)
    for module, name in ((slots, "build_slot"), (edge, "build_edge"), (pinned, "build_pins"), (stores, "build_stores")):
        monkeypatch.setattr(module, name, built)
    await bench.engine.reconcile()
    asked = [value["kind"] for value in hashed if isinstance(value, dict) and "kind" in value]
    assert sorted(asked) == [
        "ConfigMap",
        *["HorizontalPodAutoscaler"] * 2,
        *["PodDisruptionBudget"] * 2,
        *["Secret"] * 6,
        "TradingEngine",
    ]


async def test_what_is_made_once_follows_what_it_was_made_of() -> None:
    """A person's edit of a pin, and a new specification, reach what is kept between passes."""
    bench = WatchedBench()
    await bench.settle()
    bench.ask(edge={"enabled": False})
    bench.show()
    for _ in range(6):
        await bench.turn()
    assert "desk-edge" not in bench.names(kinds.STATEFUL_SET)
    kept = bench.api.objects["ConfigMap", "desk-stores"]
    text = kept["data"]["stores.json"].replace("registry.test/redis:8", "registry.test/redis:8.1")
    bench.api.put({**kept, "data": {"stores.json": text}})
    bench.show()
    await bench.turn()
    cache = bench.api.objects["StatefulSet", "desk-cache"]["spec"]["template"]["spec"]["containers"][0]
    assert cache["image"] == "registry.test/redis:8.1"


async def test_an_engine_that_waits_for_its_turn_and_one_that_waits_for_a_host_list_nothing() -> None:
    bench = WatchedBench()
    await bench.settle()
    bench.ask("other", host="other.localhost")
    other = bench.api.objects[kinds.ENGINE.kind, "other"]
    updating = {"conditions": [{"type": "Progressing", "reason": "StoresUpdating"}]}
    metadata = {"name": "other", "creationTimestamp": "2020-01-01T00:00:00Z"}
    bench.api.put({**other, "metadata": metadata, "status": updating})
    bench.images = replace(bench.images, registry="registry.test/next")
    bench.engine = bench.operator()
    bench.counted.reads.clear()
    for _ in range(20):
        await bench.turn()
    assert bench.condition("Progressing")["reason"] == "UpgradeWaits"
    bench.ask(host="other.localhost")
    bench.show()
    for _ in range(3):
        bench.now += timedelta(seconds=601)
        await bench.turn()
    assert bench.condition("ReferencesResolved")["reason"] == "HostTaken"
    assert lists(bench) == []


async def test_an_engine_that_waits_for_a_gateway_lists_no_routes() -> None:
    bench = WatchedBench(gateway={"name": "webb", "throttle": "1ms"})
    for _ in range(12):
        await bench.turn()
    assert bench.condition("Ready")["reason"] == "GatewayMissing"
    assert lists(bench) == []


async def test_hosts_of_a_namespace_that_was_not_listed_yet_are_asked_for_once() -> None:
    """A first route is not made on another engine's host because the store of that namespace is still empty."""
    api, stores = FakeApi(), Stores([NAMESPACE])
    api.put({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "older"}, "spec": {"host": "a.localhost"}})
    counted = Counted(api, stores)
    book = HostBook((NAMESPACE,), StoreReader(stores))
    place = Place(GatewayKey("gateway", "web"), "a.localhost")
    younger = {"name": "desk", "creationTimestamp": "2099-01-01T00:00:00Z"}
    api.put({"apiVersion": API_VERSION, "kind": KIND, "metadata": younger, "spec": {"host": "a.localhost"}})
    found = await book.rival(cast(KubernetesClient, counted), (NAMESPACE, "desk"), [place], 0.0)
    assert found is not None
    assert found[0].name == "older"
    assert [entry for entry in counted.reads if entry.startswith("list")] == ["list TradingEngine", "list HTTPRoute"]


@pytest.mark.parametrize("how", ["known", "paused"])
async def test_a_canary_is_judged_on_while_engines_cannot_be_listed(how: str) -> None:
    """By what was last known of its engine; nothing new is begun, and nothing but the route is written."""
    steps = [{"weight": 50, "hold": "10m"}, {"weight": 100}]
    spec: dict[str, Any] = {"rollout": {"steps": steps, "warmSlot": "4s", "historyLimit": 2}}
    bench = WatchedBench(**spec)
    await bench.settle()
    spec |= {"version": "1.5.0"} | ({"paused": False} if how == "known" else {})
    bench.ask(**spec)
    bench.show()
    for _ in range(20):
        await bench.turn()
    candidate = bench.state().candidate
    assert candidate is not None
    assert candidate.weight == 500
    if how == "paused":
        bench.ask(**spec, paused=True)
        bench.show()
    bench.stores[NAMESPACE].forbid(kinds.ENGINE, "tradingengines is forbidden")
    before = {key: manifest["metadata"]["resourceVersion"] for key, manifest in bench.api.objects.items()}
    outcome = await bench.engine.reconcile()
    assert (outcome.failed, outcome.urgent) == ((True, True) if how == "known" else (False, False))
    ready = bench.condition("Ready")
    assert ready["reason"] == "Unread"
    assert "tradingengines of this namespace cannot be read: tradingengines is forbidden" in ready["message"]
    none_ready(bench)
    feed_pods(bench)
    await bench.engine.reconcile()
    assert (bench.state().withdrawn is not None) == (how == "known")
    changed = {
        key for key, manifest in bench.api.objects.items() if before.get(key) != manifest["metadata"]["resourceVersion"]
    }
    assert {kind for kind, _ in changed} - {"Event", "Pod"} <= {KIND, kinds.ROUTE.kind, kinds.CONFIG_MAP.kind}
    bench.show()
    await bench.engine.reconcile()
    assert bench.condition("Ready")["reason"] != "Unread"


def none_ready(bench: Bench) -> None:
    """No pod of the canary is ready."""
    for (kind, name), pod in bench.api.objects.items():
        if kind == kinds.POD.kind and name.startswith(("desk-api-b", "desk-dashboard-b")):
            pod["status"]["conditions"][0]["status"] = "False"


def feed_pods(bench: WatchedBench) -> None:
    """The watch of pods goes on."""
    for (kind, _), pod in bench.api.objects.items():
        if kind == kinds.POD.kind:
            bench.stores[NAMESPACE].put(pod)
