"""Ends an operator at any of its awaits, and lets a fresh one go on from what is left.

An await is where the operator waits for somebody else: each call of a client is one just before it goes out, and one
just after its answer came. Killed, it leaves the cluster as it stands at that moment, and nothing of the process.
Cancelled, as when its Lease is lost, it must end there and then, without another write: so it leaves just the same.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from tradingengine_operator.builders import names
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.flows.state import Leaving
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.reader import ListReader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.process.events import Announcer
from tradingengine_operator.runtime.reconcile.context import Tools
from tradingengine_operator.runtime.release.turns import Turns

from .fake_api import NAMESPACE
from .rig import Bench

#: Passes after which every story must have come to rest.
MOST_PASSES = 60


class Awaits:
    """Tells of each await of one operator: `at` is called with what it is."""

    def __init__(self) -> None:
        self.count = 0
        self.at: Callable[[str], None] = lambda _what: None

    async def pause(self, what: str) -> None:
        """One await; others have their turn meanwhile."""
        self.count += 1
        self.at(f"await {self.count}, {what}")
        await asyncio.sleep(0)


class _Watched:
    """A client of the operator's, each of whose calls is two awaits."""

    def __init__(self, client: object, awaits: Awaits) -> None:
        self._client = client
        self._awaits = awaits

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            about = arguments[0] if arguments else ""
            what = f"{name} {about['kind'] if isinstance(about, dict) else getattr(about, 'kind', about)}"
            await self._awaits.pause(f"before {what}")
            answer = await found(*arguments, **named)
            await self._awaits.pause(f"after {what}")
            return answer

        return call


class WatchedBench(Bench):
    """A rig on which the operator's awaits are told of."""

    def __init__(self, **spec: Any) -> None:
        self.awaits = Awaits()
        super().__init__(**spec)

    def tools(self) -> Tools:
        """The operator's clients, each call of them two awaits."""
        client = cast(KubernetesClient, _Watched(self.api, self.awaits))
        reader = ListReader(client)
        return replace(
            super().tools(),
            client=client,
            reader=reader,
            secrets=SecretReader(client, seconds=0.0),
            applier=Applier(client),
            announcer=Announcer(client, "test"),
            turns=Turns(reader, (NAMESPACE,)),
            control=cast(Any, _Watched(self.control, self.awaits)),
            prometheus=cast(Any, _Watched(self.prometheus, self.awaits)),
            pages=cast(Any, _Watched(self.pages, self.awaits)),
        )

    @classmethod
    def after(cls, bench: Bench) -> WatchedBench:
        """The same cluster, pods and metrics server, with an operator that was just started."""
        other = cls()
        other.api.take_over(bench.api)
        other.now = bench.now
        other.control = replace(bench.control, edge_release=other._edge_release, calls=list(bench.control.calls))
        known = bench.prometheus
        other.prometheus = replace(
            known, pods=other._addresses, rates=dict(known.rates), _counted=dict(known._counted), asked=[]
        )
        other.pages = replace(bench.pages)
        other.engine = other.operator()
        return other


@dataclass(frozen=True)
class Story:
    """A piece of an engine's life: `begin` makes a rig on which people have asked for all that there is to be done.

    A release that comes in it never has more weight than `most`, in tenths of a percent.
    """

    name: str
    begin: Callable[[], Awaitable[Bench]]
    most: int = FULL


@dataclass(frozen=True)
class Outcome:
    """All that a story leaves for people and for the next release."""

    stable: str
    withdrawn: str
    weights: dict[str, int]
    records: frozenset[str]
    #: Of each Deployment that there is.
    pods: dict[str, int]
    command: str
    edge: str
    phase: str


def outcome_of(bench: Bench) -> Outcome:
    """As the cluster and the status show it."""
    state, objects = bench.state(), bench.api.objects
    deployments = {
        name: entry["spec"]["replicas"] for (kind, name), entry in objects.items() if kind == kinds.DEPLOYMENT.kind
    }
    gone, command = state.withdrawn, state.command
    edge = objects[kinds.STATEFUL_SET.kind, "desk-edge"]["metadata"]["labels"][names.LABEL_RELEASE]
    return Outcome(
        stable=f"{state.stable.release} in {state.stable.slot}" if state.stable is not None else "",
        withdrawn=f"{gone.release}: {gone.reason}" if gone is not None else "",
        weights=weights_of(bench),
        records=frozenset(name for name in bench.names(kinds.CONFIG_MAP) if "-release-" in name),
        pods=deployments,
        command=f"{command.id} {command.outcome}, of {len(state.commands)}" if command is not None else "",
        edge=edge,
        phase=bench.status["phase"],
    )


def weights_of(bench: Bench) -> dict[str, int]:
    """What the route gives to the slots of the API, in tenths of a percent."""
    rules = bench.api.objects[kinds.ROUTE.kind, "desk"]["spec"]["rules"]
    rule = next(entry for entry in rules if entry["name"] == "api")
    return {backend["name"]: backend.get("weight", 1) for backend in rule["backendRefs"]}


def rests(bench: Bench) -> bool:
    """Whether nothing is under way any more."""
    state = bench.state()
    warm = state.retiring is None or state.retiring.stage is Leaving.WARM
    return state.stable is not None and state.candidate is None and warm


async def play(bench: Bench, story: Story, where: str) -> Outcome:
    """Goes on until the story is at rest; AssertionError when somebody is served by nobody on the way."""
    for number in range(MOST_PASSES):
        await bench.turn()
        _assert_served(bench, story, where)
        if number and rests(bench):
            for _ in range(2):
                await bench.turn()
            if rests(bench):
                return outcome_of(bench)
    raise AssertionError(f"{story.name}, ended at {where}: it does not come to rest: {bench.status}")


def _assert_served(bench: Bench, story: Story, where: str) -> None:
    weights = weights_of(bench)
    assert sum(weights.values()) == FULL, f"{story.name}, ended at {where}: weights are {weights}"
    for name, weight in weights.items():
        pods = [entry for (kind, pod), entry in bench.api.objects.items() if kind == "Pod" and pod.startswith(name)]
        assert pods or not weight, f"{story.name}, ended at {where}: {name} has weight {weight} and no pod"
    candidate = bench.state().candidate
    carries = candidate.weight if candidate is not None else 0
    assert carries <= story.most, f"{story.name}, ended at {where}: the new release has weight {carries}"


async def killed_at_each(story: Story, every: int = 1) -> int:
    """Kills the operator at each await of the story, or each so many-th, and has a fresh one go on.

    Moments between which nothing was written or told leave the same, and are tried once. Returns how many were tried.
    """
    base = WatchedBench.after(await story.begin())
    left: dict[tuple[object, ...], tuple[str, WatchedBench]] = {}

    def remember(where: str) -> None:
        told = (len(base.control.calls), len(base.control.documents), base.control.withdrawn, base.control.draining)
        key = (base.now, len(base.api.writes), *told)
        if base.awaits.count % every == 0 and key not in left:
            left[key] = (where, WatchedBench.after(base))

    base.awaits.at = remember
    undisturbed = await play(base, story, "no await")
    assert left
    for where, bench in left.values():
        outcome = await play(bench, story, where)
        assert outcome == undisturbed, f"{story.name}, killed at {where}"
    return len(left)


async def cancelled_at_each(story: Story, every: int) -> int:
    """Cancels the operator at each so many-th await: it ends there, and writes nothing more. How many were tried."""
    first = WatchedBench.after(await story.begin())
    base = WatchedBench.after(first)
    await play(base, story, "no await")
    tried = 0
    for number in range(every, base.awaits.count, every):
        bench = WatchedBench.after(first)
        await _cancelled(bench, story, number)
        tried += 1
    return tried


async def _cancelled(bench: WatchedBench, story: Story, number: int) -> None:
    """One operator that is cancelled at its await of this number."""
    writes: list[int] = []
    passing: list[asyncio.Task[Any]] = []

    def end(_where: str) -> None:
        if bench.awaits.count == number:
            writes.append(len(bench.api.writes))
            passing[-1].cancel()

    bench.awaits.at = end
    for _ in range(MOST_PASSES):
        passing.append(asyncio.create_task(bench.engine.reconcile()))
        await asyncio.wait(passing[-1:])
        if writes:
            break
        passing[-1].result()
        bench.between()
    assert writes, f"{story.name} has no await {number}"
    assert passing[-1].cancelled(), f"{story.name}: an operator that was cancelled at await {number} went on"
    assert len(bench.api.writes) == writes[0], f"{story.name}: it wrote after it was cancelled at await {number}"
