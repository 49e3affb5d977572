"""One pass over one engine: what was observed when it began, what is asked for, and the tools it works with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tradingengine_operator.api import ConditionType
from tradingengine_operator.builders import EngineContext, Manifest, OperatorImages
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.clients.pages import PageClient
from tradingengine_operator.clients.prometheus import PrometheusClient
from tradingengine_operator.flows.state import INITIAL, ReleaseState, parse_time
from tradingengine_operator.plan.desired import Desired
from tradingengine_operator.runtime.observe.reader import Reader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.process.clock import Clock, Ticks, monotonic, utc_now
from tradingengine_operator.runtime.process.events import Announcer
from tradingengine_operator.runtime.process.metrics import OperatorMetrics
from tradingengine_operator.runtime.release.hosts import HostBook
from tradingengine_operator.runtime.release.turns import Turns

from .child_writer import ChildWriter
from .children import Children

Secrets = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Tools:
    """What all engines share."""

    client: KubernetesClient
    reader: Reader
    secrets: SecretReader
    applier: Applier
    control: ControlClient
    prometheus: PrometheusClient
    announcer: Announcer
    metrics: OperatorMetrics
    images: OperatorImages
    operator_version: str
    pages: PageClient
    turns: Turns
    hosts: HostBook = field(default_factory=HostBook)
    #: Whether the operator has the chart's ClusterRole.
    cluster_role: bool = True
    #: Name of the admission policy that stamps who asked, and of its binding; empty where the chart has none.
    requester_policy: str = ""
    clock: Clock = utc_now
    ticks: Ticks = monotonic


@dataclass(frozen=True)
class Observation:
    """An engine as it was observed at the moment `at`; a pass is built on one of these and never changes it.

    `state` is the stored state of its releases. `secrets` are the values that are known, by name and key: they are not
    watched, so they may be as old as the last time that they were read.
    """

    engine: Manifest
    children: Children
    at: datetime
    state: ReleaseState = INITIAL
    secrets: Secrets = field(default_factory=dict)

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as it was stored."""
        return self.engine.get("status") or {}

    def since(self, type_: ConditionType, status: str | None = None) -> datetime | None:
        """When a stored condition last changed, None when it was never set, or is not `status` when that is given."""
        for entry in self.status.get("conditions") or ():
            if entry["type"] == type_ and status in {None, entry.get("status")}:
                return parse_time(entry["lastTransitionTime"])
        return None


@dataclass(frozen=True)
class Pass:
    """What every part of a pass works with: observation, wish, tools, and the one hand that writes children."""

    tools: Tools
    ctx: EngineContext
    seen: Observation
    desired: Desired
    writer: ChildWriter

    @property
    def namespace(self) -> str:
        """Namespace of the engine."""
        return self.ctx.namespace

    @property
    def children(self) -> Children:
        """The children as they are known now, this pass's own writes included."""
        return self.writer.seen

    async def ensure(self, manifest: Manifest) -> Manifest:
        """Applies a child if it is not yet as wanted, and keeps it from being pruned."""
        return await self.writer.ensure(manifest)

    async def ensure_all(self, manifests: Iterable[Manifest]) -> None:
        """Applies children in order; the first refusal is raised at the end."""
        await self.writer.ensure_all(manifests)
