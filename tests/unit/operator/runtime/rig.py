"""Reconcilers on the API server in memory, with pods that answer as the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.builders import names
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient, EdgeFacts, PodState
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.clients.pages import PageClient
from tradingengine_operator.clients.prometheus import Asked, PrometheusClient
from tradingengine_operator.errors import ControlError, TokenRefusedError
from tradingengine_operator.flows.state import ReleaseState, load_state
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.reader import ListReader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.process.events import Announcer
from tradingengine_operator.runtime.process.loop import Outcome
from tradingengine_operator.runtime.process.metrics import OperatorMetrics
from tradingengine_operator.runtime.reconcile.context import Tools
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler
from tradingengine_operator.runtime.release.meter import probed
from tradingengine_operator.runtime.release.turns import Turns
from tradingengine_operator.samples import OwnAnswer, OwnValue, Reading, Scrape, Series

from tests.unit.operator.builders.engines import IMAGES

from .fake_api import NAMESPACE, FakeApi


@dataclass
class FakeControl:
    """Pods' control API: every address answers alike."""

    reachable: bool = True
    draining: bool = False
    withdrawn: bool = False
    flat: bool = True
    epoch: int = 1
    recovered: bool = True
    idle: bool = True
    #: The edge answers, and its journal is still being opened.
    opening: bool = False
    #: Every pod knows another token than the operator.
    other_token: bool = False
    #: Addresses of pods that hang.
    mute: set[str] = field(default_factory=set)
    unready: dict[str, str] = field(default_factory=dict)
    #: Why pods get no new connection, by store.
    stores: dict[str, str] = field(default_factory=dict)
    #: The release that the edge's pod runs.
    edge_release: Callable[[], str] = lambda: "1"
    calls: list[str] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)

    async def state(self, address: str, token: str) -> PodState:
        """State of any pod."""
        if not self.reachable or not token:
            raise ControlError(f"pod {address} does not answer")
        if self.other_token:
            raise TokenRefusedError(f"pod {address} knows another token")
        if self.opening:
            why = {"edge": "the journal is being opened"}
            return PodState("edge", "1", "1.4.2", None, "serving", 0, 0, None, unready=why)
        # One answer for all pods: the edge alone is ever drained, and it must see that it is.
        word = "draining" if self.draining else "withdrawn" if self.withdrawn else "serving"
        edge = EdgeFacts(
            epoch=self.epoch, idle=self.idle, flat=self.flat, trading_state="ACTIVE", recovered=self.recovered
        )
        return PodState("any", self.edge_release(), "1.4.2", "0001", word, 0, 0, edge, self.unready, self.stores)

    async def answers(self, address: str, token: str, seconds: float) -> bool:
        """Whether a pod answers at all."""
        return address not in self.mute

    async def withdraw(self, address: str, token: str, release: int, spread: float) -> PodState:
        """Withdraws."""
        self.calls.append(f"withdraw {release} {spread:g}")
        self.withdrawn = True
        return await self.state(address, token)

    async def serve(self, address: str, token: str, release: int) -> PodState:
        """Serves again."""
        self.calls.append(f"serve {release}")
        self.withdrawn = False
        return await self.state(address, token)

    async def drain(self, address: str, token: str) -> PodState:
        """Drains."""
        self.calls.append("drain")
        self.draining = True
        return await self.state(address, token)

    async def resume(self, address: str, token: str) -> PodState:
        """Resumes."""
        self.calls.append("resume")
        self.draining = False
        return await self.state(address, token)

    async def put_release(self, address: str, token: str, document: dict[str, Any]) -> None:
        """Takes a document."""
        if not self.reachable:
            raise ControlError(f"pod {address} does not answer")
        self.documents.append(document)


_ASKED: tuple[tuple[names.SlotComponent, str, int], ...] = (
    ("api", "request", 400),
    ("api", "order", 1),
    ("api", "socket", 1),
    ("dashboard", "request", 400),
)


@dataclass
class FakePrometheus:
    """Shares of failed requests by release, of a thousand requests of each component a look; none means no request.

    `sizes` says how many requests a look, where they are not a thousand.
    """

    rates: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    #: Components that no client asks.
    idle: set[str] = field(default_factory=set)
    #: Numbers of the user's queries, by check and release.
    own: dict[tuple[str, int], OwnValue] = field(default_factory=dict)
    #: Addresses of pods that a scrape does not reach.
    unscraped: set[str] = field(default_factory=set)
    #: Outcome of every probe by release, of 400 pages a component and an order and a message of the API a look.
    probes: dict[int, str] = field(default_factory=dict)
    pods: Callable[[], list[str]] = list
    #: Shares of failed requests as the Gateway counts them, by release; where none is given it counts none.
    by_gateway: dict[int, str] = field(default_factory=dict)
    gateway_answers: bool = True
    asked: list[Asked] = field(default_factory=list)
    _counted: dict[Series, float] = field(default_factory=dict)

    async def read(self, _url: str, asked: Asked, at: datetime) -> Reading:
        """Counters of both releases, a thousand requests further."""
        self.asked.append(asked)
        for release in asked.releases.values():
            for part in names.SLOT_COMPONENTS:
                value = self.rates.get(release)
                grown = 0 if value is None or part in self.idle else self.sizes.get(release, 1000)
                bad = round(grown * Decimal(value or "0"))
                for what, more in (("requests", grown), ("failed", bad), ("answered", grown), ("prompt", grown)):
                    key = Series(what, release, part, "client", f"{part}-{release}")
                    self._counted[key] = self._counted.get(key, 0.0) + more
            self._probe(release)
        self._count_gateway(asked)
        gateway = {"10.9.9.9": Scrape(self.gateway_answers, 0.5)} if asked.gateway else {}
        scrapes = {pod: Scrape(pod not in self.unscraped, 0.5) for pod in self.pods()}
        own = {key: value for key, value in self.own.items() if key[0] in asked.queries}
        return Reading(at, "", dict(self._counted), scrapes, own, gateway)

    def _count_gateway(self, asked: Asked) -> None:
        for release in asked.releases.values() if asked.gateway else ():
            for part in names.SLOT_COMPONENTS:
                bad = round(1000 * Decimal(self.by_gateway.get(release, "0")))
                for what, more in (("requests", 1000), ("failed", bad)):
                    key = Series(what, release, part, "gateway", f"10.9.9.9 {part}-{release}")
                    self._counted[key] = self._counted.get(key, 0.0) + more

    def _probe(self, release: int) -> None:
        """The prober's counters, every outcome of which is there from the first probe on."""
        word = self.probes.get(release)
        for part, what, number in _ASKED if word is not None else ():
            for outcome in ("ok", "wrong", "late", "failed", "skipped"):
                key = Series(probed(outcome), release, part, what, "prober")
                self._counted[key] = self._counted.get(key, 0.0) + (number if outcome == word else 0)
            # The slot counts what it answers, too.
            for name in ("requests", "answered", "prompt") if word in {"ok", "wrong"} else ():
                key = Series(name, release, part, "probe", f"{part}-{release}")
                self._counted[key] = self._counted.get(key, 0.0) + number


@dataclass
class FakePages:
    """What comes of the operator's own requests."""

    status: int | None = 200
    asked: list[str] = field(default_factory=list)

    async def ask(self, component: str, addresses: Sequence[str], host: str) -> OwnAnswer:
        """The answer that the test set."""
        self.asked.append(f"{component} {len(addresses)} {host}")
        return OwnAnswer(self.status)


class Bench:
    """One engine `desk`; `operator()` makes a fresh process's reconciler on the same cluster."""

    def __init__(self, **spec: Any) -> None:
        self.api = FakeApi()
        self.cluster_role = True
        self.requester_policy = ""
        self.control = FakeControl(edge_release=self._edge_release)
        self.now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
        #: How far the operator's wall clock was set.
        self.clock_set = timedelta(0)
        self.prometheus = FakePrometheus(dict.fromkeys(range(1, 50), "0"), pods=self._addresses)
        self.pages = FakePages()
        self.metrics = OperatorMetrics()
        self.images = IMAGES
        self.api.clock = lambda: self.now
        gateway = {"name": "web", "namespace": "gateway"}
        self.api.put({"apiVersion": kinds.GATEWAY.api_version, "kind": kinds.GATEWAY.kind, "metadata": gateway})
        node = {"name": "desk-box", "labels": {names.PLANE_KEY: names.PLANE_EDGE}}
        self.api.put({"apiVersion": "v1", "kind": kinds.NODE.kind, "metadata": node})
        journal = {"name": "tradingengine-journal"}
        version = kinds.STORAGE_CLASS.api_version
        self.api.put({"apiVersion": version, "kind": kinds.STORAGE_CLASS.kind, "metadata": journal})
        self.ask(**spec)
        self.engine = self.operator()

    def wall(self) -> datetime:
        """What the operator's wall clock says."""
        return self.now + self.clock_set

    def _addresses(self) -> list[str]:
        pods = [entry for (kind, _), entry in self.api.objects.items() if kind == kinds.POD.kind]
        return [(pod.get("status") or {}).get("podIP", "") for pod in pods]

    def _edge_release(self) -> str:
        pod = self.api.objects.get((kinds.POD.kind, "desk-edge-0"))
        return str(pod["metadata"]["labels"]["tradingengine.io/release"]) if pod is not None else "1"

    def ask(self, name: str = "desk", **spec: Any) -> None:
        """What a person applies."""
        steps = [{"weight": 10, "hold": "2s"}, {"weight": 100}]
        rollout = {"steps": steps, "warmSlot": "4s", "historyLimit": 2}
        spec["rollout"] = {"window": "any", **spec.get("rollout", rollout)}
        old = self.api.objects.get((KIND, name), {"metadata": {"name": name, "generation": 0}})
        manifest = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": old["metadata"],
            "spec": {"version": "1.4.2", "gateway": {"throttle": "1ms"}, **spec},
        }
        if "status" in old:
            manifest["status"] = old["status"]
        self.api.put(manifest)

    def fork(self) -> Bench:
        """The same cluster once more, with an operator that was just started."""
        other = Bench()
        other.api.take_over(self.api)
        other.now = self.now
        other.control.draining, other.control.withdrawn = self.control.draining, self.control.withdrawn
        return other

    def operator(self, name: str = "desk") -> EngineReconciler:
        """A reconciler that remembers nothing."""
        return EngineReconciler(self.tools(), NAMESPACE, name)

    def tools(self) -> Tools:
        """What the reconcilers of one process share."""
        client = cast(KubernetesClient, self.api)
        reader = ListReader(client)
        return Tools(
            client=client,
            reader=reader,
            secrets=SecretReader(client, seconds=0.0),
            applier=Applier(client),
            control=cast(ControlClient, self.control),
            prometheus=cast(PrometheusClient, self.prometheus),
            announcer=Announcer(client, "test"),
            metrics=self.metrics,
            images=self.images,
            operator_version="0.1.0",
            turns=Turns(reader, (NAMESPACE,)),
            cluster_role=self.cluster_role,
            requester_policy=self.requester_policy,
            pages=cast(PageClient, self.pages),
            clock=self.wall,
            ticks=lambda: self.now.timestamp(),
        )

    async def turn(self) -> Outcome:
        """One pass, then the cluster does its part and two seconds go by."""
        outcome = await self.engine.reconcile()
        self.between()
        return outcome

    def between(self) -> None:
        """What goes on between two passes."""
        self.api.play()
        self.now += timedelta(seconds=2)

    async def settle(self, turns: int = 40) -> None:
        """Passes until the release flow rests."""
        for _ in range(turns):
            await self.turn()
            state = self.state()
            if state.stable is not None and state.candidate is None and state.retiring is None:
                await self.turn()
                return

    @property
    def status(self) -> dict[str, Any]:
        """The engine's status."""
        found: dict[str, Any] = self.api.objects[KIND, "desk"].get("status") or {}
        return found

    def state(self) -> ReleaseState:
        """The release flow's state."""
        progress = (self.status.get("release") or {}).get("progress")
        return load_state(progress) if progress else ReleaseState()

    def condition(self, type_: str) -> dict[str, Any]:
        """A condition."""
        return next((entry for entry in self.status.get("conditions", ()) if entry["type"] == type_), {})

    def names(self, kind: kinds.Kind) -> set[str]:
        """Names of the objects of a kind."""
        return {name for kind_name, name in self.api.objects if kind_name == kind.kind}
