"""What the release flow sees of the world in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tradingengine_operator.api import Slot
from tradingengine_operator.plan.routes import RouteObservation
from tradingengine_operator.samples import Sample

#: A slot that counted no new client request for this long is drained: twice Traefik's own throttle.
QUIET_SECONDS = 4.0


@dataclass(frozen=True)
class MigrationObservation:
    """The migrations Job of the candidate's record; `reason`, `message` and `mend` when it does not get on."""

    exists: bool = False
    succeeded: bool = False
    failed: bool = False
    message: str = ""
    reason: str = ""
    mend: str = ""


@dataclass(frozen=True)
class SlotObservation:
    """A slot as the cluster shows it, over all its components.

    `release` is the number that every component's pods carry, None while they differ or there are none. `ready`,
    `starting` (young and never ready) and `wanted` count the pods of the component that is furthest behind. `quiet` is
    for how many seconds no pod counted a new client request, None while that cannot be known. `restarts` counts
    container restarts by pod uid; `waiting` is what keeps a pod from starting, for example a failed image pull.
    """

    release: int | None = None
    ready: int = 0
    starting: int = 0
    wanted: int = 0
    pods: int = 0
    restarts: Mapping[str, int] = field(default_factory=dict)
    oom_killed: str = ""
    waiting: str = ""
    quiet: float | None = None
    web_sockets: int = 0
    withdrawn: bool = False

    @property
    def complete(self) -> bool:
        """Whether every component has all the ready pods that it wants."""
        return self.wanted > 0 and self.ready >= self.wanted


@dataclass(frozen=True)
class ReleaseObservation:
    """The world of one engine's release."""

    template_hash: str
    records: Mapping[int, str]
    may_start: bool
    slots: Mapping[Slot, SlotObservation]
    route: RouteObservation
    migration: MigrationObservation = MigrationObservation()
    canary_errors: Sample | None = None
    stable_errors: Sample | None = None


@dataclass(frozen=True)
class StepPolicy:
    """One step: weight in tenths of a percent, hold in seconds."""

    weight: int
    hold: float


@dataclass(frozen=True)
class Policy:
    """What the specification says about releases; times in seconds."""

    steps: tuple[StepPolicy, ...]
    error_rate: Decimal = Decimal("0.01")
    failure_limit: int = 2
    error_rate_disabled: bool = False
    no_data_budget: float = 120.0
    warm: float = 86_400.0
    #: How long pods of a new release may take to become ready while another release serves.
    start_budget: float = 600.0
    #: How long fewer ready pods than wanted are borne while the new release has weight.
    unready_budget: float = 10.0
    #: How long to wait for a drained slot to fall silent, and for its WebSockets to close.
    quiet_budget: float = 10.0
    close_budget: float = 20.0
    spread: float = 10.0
    quiet: float = QUIET_SECONDS
