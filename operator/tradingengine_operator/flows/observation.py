"""What the release flow sees of the world in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradingengine_operator.api import Slot
from tradingengine_operator.plan.routes import RouteObservation

from .calendar import Session
from .command import Command, Unreadable
from .look import Look
from .state import CheckCount, Schema


@dataclass(frozen=True)
class Kept:
    """What is known of a record: what it is made of (empty when it cannot be read), for which wish, and its schema.

    `schema` is None for one whose migrations never told, `outcome` what came of its last run.
    """

    template_hash: str
    requested: str = ""
    schema: Schema | None = None
    outcome: str = ""


@dataclass(frozen=True)
class Market:
    """Sessions of the segments that the desk trades, in order and apart; `trouble` says why they are not known."""

    sessions: tuple[Session, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class MigrationObservation:
    """A migrations Job; `reason`, `message` and `mend` when it does not get on, `schema` once it told.

    Unless `known`, Jobs could not be listed: that there is none says nothing.
    """

    exists: bool = False
    succeeded: bool = False
    failed: bool = False
    message: str = ""
    reason: str = ""
    mend: str = ""
    schema: Schema | None = None
    known: bool = True


@dataclass(frozen=True)
class ComponentObservation:
    """Pods of one component of a slot, of its release alone; those that ended or are ending are no pods.

    `starting` are young and were never ready; `wanted` is what the Deployment asks for; `ending` are being deleted, by
    a person, a drained node or a change.
    """

    ready: int = 0
    starting: int = 0
    wanted: int = 0
    pods: int = 0
    ending: int = 0

    @property
    def replaced(self) -> bool:
        """Whether no pod is ready because all were taken away, and not because one that is there fails.

        Their replacements start, or are not even made: the operator may be quicker than their controller.
        """
        return self.ready == 0 and self.starting == self.pods and self.wanted + self.ending > 0

    @property
    def complete(self) -> bool:
        """Whether it has all the ready pods that it wants."""
        return self.wanted > 0 and self.ready >= self.wanted


@dataclass(frozen=True)
class SlotObservation:
    """A slot as the cluster shows it, component by component: nothing is averaged.

    `release` is the number that every component's pods carry, None while they differ or there are none; `releases` are
    those of all its pods, ending ones included, and of its Deployments. `pods` counts those of all components. `quiet`
    is for how many seconds no pod counted a new client request, None while that cannot be known. `restarts` counts
    container restarts by pod uid; `waiting` is what keeps a pod from starting, for example a failed image pull. `open`
    says that every pod was asked and answers visitors; known only of a slot that is asked.
    `unreached` are components without a Service: somebody took it away, and the Gateway finds no pod of theirs.
    """

    release: int | None = None
    components: Mapping[str, ComponentObservation] = field(default_factory=dict)
    pods: int = 0
    restarts: Mapping[str, int] = field(default_factory=dict)
    oom_killed: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    waiting: str = ""
    quiet: float | None = None
    web_sockets: int = 0
    withdrawn: bool = False
    open: bool = False
    releases: frozenset[int] = frozenset()
    unreached: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every component has all the ready pods that it wants."""
        return bool(self.components) and all(seen.complete for seen in self.components.values())

    @property
    def dead(self) -> tuple[str, ...]:
        """Components without any ready pod."""
        return tuple(part for part, seen in self.components.items() if not seen.ready)

    @property
    def serving(self) -> bool:
        """Whether every component has a ready pod."""
        return bool(self.components) and not self.dead

    @property
    def ready(self) -> int:
        """Ready pods of the component that has the fewest of what it wants: what people are shown in one number."""
        return min(((seen.ready - seen.wanted, seen.ready) for seen in self._dead_first()), default=(0, 0))[1]

    def ready_pods(self) -> dict[str, int]:
        """Ready pods by component."""
        return {part: seen.ready for part, seen in self.components.items()}

    def shortfall(self) -> str:
        """What is missing, in words: `api 1 of 2, dashboard 0 of 1`."""
        short = [f"{part} {seen.ready} of {seen.wanted}" for part, seen in self.components.items() if not seen.complete]
        return ", ".join(short) or "nothing"

    def _dead_first(self) -> list[ComponentObservation]:
        dead = [self.components[part] for part in self.dead]
        return dead or list(self.components.values())


@dataclass(frozen=True)
class ProberObservation:
    """The prober's pod; `waiting` is what keeps it from starting, in words, where that is known."""

    ready: bool = False
    waiting: str = ""


@dataclass(frozen=True)
class ReleaseObservation:
    """The world of one engine's release; `migration` is the candidate's Job, `contraction` the stable release's.

    `look` is what a candidate with weight is judged by. `judged` is for how
    many seconds the candidate's hold was judged since its `held` was stored, by a clock that never jumps; `counts` are
    the counters of its checks after this look, None where nobody keeps them; by
    `clock_jump` seconds the wall clock went another way than that one since the last look.

    `template_hash` is what this operator renders of what is asked for, which is `requested`; where a record stands in
    for the wish these are the record's, and `rendered` is what the operator would write into a record now. `turn` says
    that a release for the rendering's sake alone may start. `taken` are numbers whose records' names somebody else's
    objects have. Unless `records_known`, the records are those that were there last. `kept` is what they say. `command`
    is what stands in the engine's annotation, whether it was done or not. `market` is None where nobody asks for market
    hours.

    The first weight of a release waits for the `prober`, though not for long (`flows/probing.py`).
    """

    template_hash: str
    records: Mapping[int, str]
    may_start: bool
    slots: Mapping[Slot, SlotObservation]
    route: RouteObservation
    migration: MigrationObservation = MigrationObservation()
    contraction: MigrationObservation = MigrationObservation()
    look: Look | None = None
    judged: float = 0.0
    counts: Mapping[str, CheckCount] | None = None
    clock_jump: float = 0.0
    requested: str = ""
    turn: bool = True
    taken: frozenset[int] = frozenset()
    records_known: bool = True
    kept: Mapping[int, Kept] = field(default_factory=dict)
    command: Command | Unreadable | None = None
    prober: ProberObservation = ProberObservation(ready=True)
    market: Market | None = None
    rendered: str = ""

    @property
    def writable(self) -> str:
        """Hash of a record that was written now."""
        return self.rendered or self.template_hash
