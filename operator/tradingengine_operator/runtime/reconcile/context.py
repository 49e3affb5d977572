"""One pass over one engine: what it knows, what it asked for, and the tools it works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tradingengine_operator.builders import EngineContext, Manifest, OperatorImages
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.clients.pages import PageClient
from tradingengine_operator.clients.prometheus import PrometheusClient
from tradingengine_operator.errors import OperatorError
from tradingengine_operator.flows.conditions import Conditions
from tradingengine_operator.flows.state import INITIAL, ReleaseState
from tradingengine_operator.plan.desired import Desired
from tradingengine_operator.plan.objects import Key, key_of
from tradingengine_operator.runtime.process.clock import Clock, utc_now
from tradingengine_operator.runtime.process.events import Announcer
from tradingengine_operator.runtime.process.metrics import OperatorMetrics
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.release.hosts import HostBook
from tradingengine_operator.samples import Sample

#: After so long what a person, a Gateway or a store has to mend is looked at again; seconds.
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Tools:
    """What all engines share."""

    client: KubernetesClient
    applier: Applier
    control: ControlClient
    prometheus: PrometheusClient
    announcer: Announcer
    metrics: OperatorMetrics
    images: OperatorImages
    operator_version: str
    pages: PageClient
    hosts: HostBook = field(default_factory=HostBook)
    clock: Clock = utc_now
    #: Seconds of a clock that never jumps.
    ticks: Callable[[], float] = time.monotonic


@dataclass
class Pass:
    """One pass. `wanted` are the children that someone asked for in it; the others may be pruned.

    `broken` is what the foundation met with, known before the release goes on.
    """

    tools: Tools
    engine: Manifest
    ctx: EngineContext
    conditions: Conditions
    children: Children
    now: datetime
    desired: Desired | None = None
    wanted: set[Key] = field(default_factory=set)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    state: ReleaseState = INITIAL
    error_sample: Sample | None = None
    recheck: float | None = None
    broken: OperatorError | None = None

    @property
    def namespace(self) -> str:
        """Namespace of the engine."""
        return self.ctx.namespace

    def plan(self) -> Desired:
        """What this generation asks for."""
        known = self.desired
        if known is None or (known.uid, known.generation) != (self.ctx.uid, self.ctx.generation):
            self.desired = known = Desired.of(self.ctx)
        return known

    def look_again(self, seconds: float | None) -> None:
        """Asks for the next pass in so many seconds at the latest."""
        if seconds is not None:
            self.recheck = seconds if self.recheck is None else min(self.recheck, seconds)

    async def ensure(self, manifest: Manifest) -> Manifest:
        """Applies a child if it is not yet as wanted, and keeps it from being pruned."""
        key = key_of(manifest)
        self.wanted.add(key)
        applied, _ = await self.tools.applier.ensure(manifest, self.children.objects.get(key))
        self.children.objects[key] = applied
        return applied

    async def ensure_all(self, manifests: Iterable[Manifest]) -> None:
        """Applies children in order."""
        for manifest in manifests:
            await self.ensure(manifest)
