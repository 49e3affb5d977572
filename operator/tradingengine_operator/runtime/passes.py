"""One pass over one engine: what it knows, what it asked for, and the tools it works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tradingengine_operator.builders import EngineContext, OperatorImages
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.clients.prometheus import PrometheusClient
from tradingengine_operator.flows.conditions import Conditions
from tradingengine_operator.flows.observation import Sample
from tradingengine_operator.flows.state import INITIAL, ReleaseState
from tradingengine_operator.plan.objects import Key, Manifest, key_of

from .announcer import Announcer
from .clock import Clock, utc_now
from .metrics import OperatorMetrics
from .world import World


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
    clock: Clock = utc_now


@dataclass
class Pass:
    """One pass. `wanted` are the children that someone asked for in it; the others may be pruned."""

    tools: Tools
    engine: Manifest
    ctx: EngineContext
    conditions: Conditions
    world: World
    now: datetime
    wanted: set[Key] = field(default_factory=set)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    state: ReleaseState = INITIAL
    error_sample: Sample | None = None
    recheck: float | None = None

    @property
    def namespace(self) -> str:
        """Namespace of the engine."""
        return self.ctx.namespace

    def look_again(self, seconds: float | None) -> None:
        """Asks for the next pass in so many seconds at the latest."""
        if seconds is not None:
            self.recheck = seconds if self.recheck is None else min(self.recheck, seconds)

    async def ensure(self, manifest: Manifest) -> Manifest:
        """Applies a child if it is not yet as wanted, and keeps it from being pruned."""
        key = key_of(manifest)
        self.wanted.add(key)
        applied, _ = await self.tools.applier.ensure(manifest, self.world.objects.get(key))
        self.world.objects[key] = applied
        return applied

    async def ensure_all(self, manifests: list[Manifest]) -> None:
        """Applies children in order."""
        for manifest in manifests:
            await self.ensure(manifest)
