"""What a flow asks for. Every action is idempotent: it names a wanted end, and is asked for again until it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tradingengine_operator.api import Slot
from tradingengine_operator.builders.migrations import Phase

from .state import Placed

Role = Literal["stable", "canary", "leaving", "warm"]


@dataclass(frozen=True)
class WriteRecord:
    """Render the specification of now into the immutable record of this number; `again` when that one was lost."""

    number: int
    template_hash: str
    again: bool = False


@dataclass(frozen=True)
class Migrate:
    """Run the migrations Job of this record; `again` removes a failed one first.

    `expand` comes before a release, `contract` when nothing needs the form before it any more.
    """

    number: int
    again: bool = False
    phase: Phase = "expand"


@dataclass(frozen=True)
class EnsureSlot:
    """Apply a slot's children from a record, never from the specification.

    `pods` by component are the fewest it is to have; of the stable release, the fewest that its autoscaler may go to;
    of a warm one just as many.
    """

    slot: Slot
    release: int
    role: Role
    pods: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EnsureProber:
    """Have the prober run, by the record of this release; not asked for, it is taken down."""

    release: int


@dataclass(frozen=True)
class RemoveSlot:
    """Take a slot's pods down; its Services stay, so that the route keeps its backends."""

    slot: Slot


@dataclass(frozen=True)
class SetRoute:
    """One patch of the HTTPRoute: rules of the `live` releases, weights in tenths of a percent.

    `trying` is the slot that who asks for the new release is given, if the specification says how to ask.
    """

    live: tuple[Placed, ...]
    weights: Mapping[Slot, int]
    trying: Slot | None = None


@dataclass(frozen=True)
class CloseSlot:
    """Tell a drained slot's pods to withdraw: WebSockets closed over `spread` seconds, foreign releases refused."""

    slot: Slot
    release: int
    spread: float


@dataclass(frozen=True)
class OpenSlot:
    """Take a withdrawal of a slot's pods back: they answer visitors again."""

    slot: Slot
    release: int


@dataclass(frozen=True)
class Announce:
    """An event for people, on a transition only."""

    reason: str
    message: str
    warning: bool = False


Action = WriteRecord | Migrate | EnsureSlot | EnsureProber | RemoveSlot | SetRoute | CloseSlot | OpenSlot | Announce
