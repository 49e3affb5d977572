"""One pass over one engine: what it knows, what it asked for, and the tools it works with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tradingengine_operator.builders import EngineContext, OperatorImages
from tradingengine_operator.builders.access import build_access
from tradingengine_operator.builders.cache import build_cache
from tradingengine_operator.builders.config import build_config
from tradingengine_operator.builders.database import build_database
from tradingengine_operator.builders.prometheus import build_prometheus
from tradingengine_operator.builders.release import render_release
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.clients.prometheus import PrometheusClient
from tradingengine_operator.errors import OperatorError
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


@dataclass(frozen=True)
class Blueprint:
    """What follows from a specification alone, built once for each of its generations."""

    uid: str
    generation: int
    foundation: tuple[Manifest, ...]
    template_hash: str

    @classmethod
    def of(cls, ctx: EngineContext) -> Blueprint:
        """Everything that is not part of a release, in the order of applying, and the hash of the release."""
        foundation = (
            build_config(ctx),
            *build_access(ctx),
            *build_database(ctx),
            *build_cache(ctx),
            *build_prometheus(ctx),
        )
        return cls(ctx.uid, ctx.generation, foundation, render_release(ctx, 1, "").template_hash())


@dataclass
class Pass:
    """One pass. `wanted` are the children that someone asked for in it; the others may be pruned.

    `broken` is what the foundation met with, known before the release goes on.
    """

    tools: Tools
    engine: Manifest
    ctx: EngineContext
    conditions: Conditions
    world: World
    now: datetime
    blueprint: Blueprint | None = None
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

    def plan(self) -> Blueprint:
        """The blueprint of this generation."""
        known = self.blueprint
        if known is None or (known.uid, known.generation) != (self.ctx.uid, self.ctx.generation):
            self.blueprint = known = Blueprint.of(self.ctx)
        return known

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

    async def ensure_all(self, manifests: Iterable[Manifest]) -> None:
        """Applies children in order."""
        for manifest in manifests:
            await self.ensure(manifest)
