"""A namespace is kept in sight whatever happens: kinds that are refused, watches that end, servers that are away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient, Listing
from tradingengine_operator.errors import ApiError, ForbiddenError, NotFoundError, UnreadError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe import watch
from tradingengine_operator.runtime.observe.feed import Feed, Listed
from tradingengine_operator.runtime.observe.reader import StoreReader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.observe.store import Stores
from tradingengine_operator.runtime.observe.watch import NamespaceWatch
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

from tests.waiting import until

pytestmark = pytest.mark.unit
NAMESPACE, FORBIDDEN = "trading", ForbiddenError(403, "Forbidden", "403 for a reason")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    for name, seconds in (("PAUSE_FIRST", 0.002), ("PAUSE_MOST", 0.02), ("SETTLE_SECONDS", 0.0)):
        monkeypatch.setattr(watch, name, seconds)


class World:
    """An API server that lists, watches that run until told, and whoever listens."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.version = 100
        self.lists: list[str] = []
        self.running: list[list[str]] = []
        self.began: list[list[str]] = []
        self.broken: dict[str, Exception] = {}
        self.heard: list[str] = []
        self.metrics = OperatorMetrics()
        self.stores = Stores([NAMESPACE, "other"])
        self.feed = self.feed_of(NAMESPACE)

    def feed_of(self, namespace: str) -> Feed:
        """The feed of a namespace."""
        return Feed(self.stores[namespace], cast(KubernetesClient, self), self, self.metrics)

    async def listing(self, kind: kinds.Kind, namespace: str, selector: Mapping[str, str] | None = None) -> Listing:
        """As of the client."""
        assert (selector is None) == (kind == kinds.ENGINE)
        if namespace == NAMESPACE:
            self.lists.append(kind.kind)
            await asyncio.sleep(0)
            if kind.kind in self.errors:
                raise self.errors[kind.kind]
        return Listing(list(self.objects.get(kind.kind, ())) if namespace == NAMESPACE else [], self.version)

    async def __call__(self, feed: Feed, watched: Sequence[kinds.Kind], stop: asyncio.Event) -> None:
        """As of `Streams`."""
        mine = [kind.kind for kind in watched]
        if feed.namespace == NAMESPACE:
            self.began.append(mine)
            self.running.append(mine)
        try:
            while not stop.is_set():
                await asyncio.sleep(0.001)
                if feed.namespace == NAMESPACE:
                    for name in self.broken.keys() & set(mine):
                        raise self.broken.pop(name)
        finally:
            if mine in self.running:
                self.running.remove(mine)

    def engine_event(self, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """As of `Listener`."""
        self.heard.append(f"engine {body['metadata']['name']} {'gone' if gone else 'seen'}")

    def child_event(self, kind: str, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """As of `Listener`."""
        self.heard.append(f"{kind} {body['metadata']['name']} {'gone' if gone else 'seen'}")

    def kind_event(self, namespace: str, kind: str) -> None:
        """As of `Listener`."""
        self.heard.append(f"{namespace}: {kind}")

    def figure(self, name: str, **labels: str) -> float:
        """A metric."""
        return self.metrics.registry.get_sample_value(f"tradingengine_operator_{name}", labels) or 0.0


def pod(name: str, version: int) -> dict[str, Any]:
    """A pod of the engine."""
    labels = {names.LABEL_INSTANCE: "desk", names.LABEL_MANAGED_BY: names.MANAGED_BY}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


@asynccontextmanager
async def watched(world: World, feed: Feed | None = None) -> AsyncIterator[asyncio.Event]:
    """A namespace that is watched for as long as the block lasts."""
    stopped = asyncio.Event()
    task = asyncio.create_task(NamespaceWatch(feed or world.feed, world, world.metrics).run(stopped))
    try:
        yield stopped
    finally:
        stopped.set()
        await asyncio.wait_for(task, 5)


CHILDREN = [kind.kind for kind in kinds.WATCHED]
ALL_BUT_ROUTES = [name for name in CHILDREN if name != kinds.ROUTE.kind]


async def test_everything_is_listed_and_then_watched_in_two_groups() -> None:
    world = World()
    world.objects["Pod"] = [pod("a", 5)]
    async with watched(world):
        await until(lambda: len(world.running) == 2)
        assert sorted(world.running) == sorted([[kinds.ENGINE.kind], CHILDREN])
        assert sorted(world.lists) == sorted([kinds.ENGINE.kind, *CHILDREN]), "once each"
        assert dict(world.stores[NAMESPACE].missing) == {}
        assert world.heard.count("Pod a seen") == 1
    assert world.running == []


async def test_a_kind_that_the_server_does_not_know_is_watched_as_soon_as_it_does() -> None:
    world = World()
    world.errors[kinds.ROUTE.kind] = NotFoundError(404, "NotFound", "no such kind")
    async with watched(world):
        await until(lambda: ALL_BUT_ROUTES in world.running)
        assert world.stores[NAMESPACE].missing == {kinds.ROUTE.kind: "no such kind"}
        assert world.figure("unobserved", namespace=NAMESPACE, kind=kinds.ROUTE.kind) == 1
        await until(lambda: world.lists.count(kinds.ROUTE.kind) > 3, "it is tried again")
        assert len(world.began) == 2, "and the others go on meanwhile"
        del world.errors[kinds.ROUTE.kind]
        await until(lambda: CHILDREN in world.running)
    assert world.figure("unobserved", namespace=NAMESPACE, kind=kinds.ROUTE.kind) == 0
    assert world.began.count([kinds.ENGINE.kind]) == 1, "the engines are watched through it all"
    assert world.figure("watch_restart_total", namespace=NAMESPACE, reason="kinds") == 1


async def test_a_namespace_that_is_lost_is_tried_again_and_no_other_one_notices(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    other = world.feed_of("other")
    async with watched(world), watched(world, other):
        await until(lambda: len(world.running) == 2)
        world.errors = dict.fromkeys((kinds.ENGINE.kind, *CHILDREN), FORBIDDEN)
        world.broken = {kinds.ENGINE.kind: RuntimeError("403 at last"), "Pod": RuntimeError("403 at last")}
        await until(lambda: not world.running and len(world.stores[NAMESPACE].missing) == len(CHILDREN) + 1)
        assert dict(world.stores["other"].missing) == {}
        with pytest.raises(UnreadError, match="403 for a reason"):
            await StoreReader(world.stores).engine(NAMESPACE, "desk")
        assert await StoreReader(world.stores).engine("other", "desk") is None
        await until(lambda: world.lists.count("Pod") > 4)
        world.errors = {}
        await until(lambda: len(world.running) == 2, "it is taken up again")
        assert dict(world.stores[NAMESPACE].missing) == {}
    assert caplog.text.count("pods cannot be listed") == 1, "said once, not at each try"
    assert world.figure("watch_restart_total", namespace="other", reason="failed") == 0
    assert world.figure("watch_restart_total", namespace=NAMESPACE, reason="failed") == 2


async def test_what_went_away_while_a_watch_was_down_is_seen_to_be_gone() -> None:
    world = World()
    world.objects["Pod"] = [pod("a", 5), pod("b", 6)]
    async with watched(world):
        await until(lambda: CHILDREN in world.running)
        world.objects["Pod"], world.version = [pod("b", 6)], 200
        world.feed.relist_soon(kinds.POD)
        await until(lambda: "Pod a gone" in world.heard)
        world.objects["Pod"], world.version = [], 300
        world.broken["Pod"] = ApiError(500, "InternalError", "a watch ended for good")
        await until(lambda: "Pod b gone" in world.heard)
    assert world.figure("watch_restart_total", namespace=NAMESPACE, reason="relisted") == 1


async def test_an_api_server_that_is_away_at_the_start_is_waited_for() -> None:
    world = World()
    world.errors = {name: ApiError(0, "Unreachable", "no answer") for name in (kinds.ENGINE.kind, *CHILDREN)}
    async with watched(world):
        await until(lambda: world.stores[NAMESPACE].missing.get("Pod") == "no answer")
        assert world.began == []
        world.errors = {}
        await until(lambda: len(world.running) == 2)


async def test_a_short_failure_of_a_list_hides_nothing_that_was_seen() -> None:
    world = World()
    world.objects["Pod"] = [pod("a", 5)]
    assert await world.feed.relist(kinds.POD) is Listed.OK
    world.errors["Pod"] = ApiError(503, "ServiceUnavailable", "later")
    assert await world.feed.relist(kinds.POD) is Listed.FAILED
    assert "Pod" not in world.stores[NAMESPACE].missing
    seen = await StoreReader(world.stores).children(NAMESPACE, "desk")
    assert [entry["metadata"]["name"] for entry in seen.pods] == ["a"]
    world.errors["Pod"] = FORBIDDEN
    assert await world.feed.relist(kinds.POD) is Listed.REFUSED
    seen = await StoreReader(world.stores).children(NAMESPACE, "desk")
    with pytest.raises(UnreadError, match="403 for a reason"):
        _ = seen.pods


async def test_events_are_told_once_and_echoes_are_not() -> None:
    world = World()
    await world.feed.relist(kinds.POD)
    world.stores.wrote(kinds.POD, NAMESPACE, pod("own", 101))
    for version in (101, 102, 102, 101):
        world.feed.event(kinds.POD, pod("own", version), gone=False)
    world.feed.event(kinds.POD, pod("own", 103), gone=True)
    world.feed.event(kinds.POD, pod("own", 103), gone=True)
    told = [entry for entry in world.heard if entry.startswith("Pod ")]
    assert told == ["Pod own seen", "Pod own gone"]


async def test_what_nobody_expected_ends_no_other_namespace_and_the_own_one_begins_anew() -> None:
    world, stopped = World(), asyncio.Event()
    world.errors = {"Pod": ValueError("nobody thought of that")}
    async with asyncio.TaskGroup() as group:
        for namespace in (NAMESPACE, "other"):
            group.create_task(NamespaceWatch(world.feed_of(namespace), world, world.metrics).run(stopped))
        await until(lambda: world.lists.count("Pod") > 2, "it is tried again")
        world.errors = {}
        await until(lambda: len(world.running) == 2)
        stopped.set()
    assert world.figure("watch_restart_total", namespace=NAMESPACE, reason="failed") >= 2
    assert world.figure("watch_restart_total", namespace="other", reason="failed") == 0


async def test_a_list_that_goes_on_failing_is_tried_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PAUSE_FIRST", 0.05)
    monkeypatch.setattr(watch, "PAUSE_MOST", 60.0)
    world = World()
    async with watched(world):
        await until(lambda: len(world.running) == 2)
        world.errors = {"Pod": ApiError(500, "InternalError", "no")}
        world.lists.clear()
        began = time.monotonic()
        world.feed.relist_soon(kinds.POD)
        await until(lambda: world.lists.count("Pod") >= 6)
        assert time.monotonic() - began >= 0.5 * 0.05 * (1 + 2 + 4 + 8 + 16)
        world.errors = {}
        world.objects["Pod"] = [pod("a", 500)]
        await until(lambda: "Pod a seen" in world.heard)


class Secrets:
    """A client that counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.there = True

    async def get(self, _kind: kinds.Kind, _namespace: str, name: str) -> dict[str, Any] | None:
        """As of the client."""
        self.asked += 1
        return {"metadata": {"name": name}} if self.there else None


async def test_secrets_are_read_seldom_and_at_once_when_there_is_a_reason() -> None:
    api, now = Secrets(), [0.0]
    reader = SecretReader(cast(KubernetesClient, api), seconds=600, monotonic=lambda: now[0])
    for moment, asked in ((0.0, 1), (599.0, 1), (600.0, 2), (700.0, 2)):
        now[0] = moment
        assert await reader.get(NAMESPACE, "desk", "x") is not None
        assert api.asked == asked, moment
    reader.forget("other")
    await reader.get(NAMESPACE, "desk", "x")
    assert api.asked == 2, "another engine's change is none of ours"
    reader.forget("desk")
    api.there = False
    for asked in (3, 4):
        assert await reader.get(NAMESPACE, "desk", "x") is None
        assert api.asked == asked, "one that is not there is asked for each time"
    reader.wrote("desk", {"metadata": {"name": "x"}})
    assert await reader.get(NAMESPACE, "desk", "x") is not None
    assert api.asked == 4
