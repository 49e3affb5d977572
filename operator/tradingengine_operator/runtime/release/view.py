"""What the last look of a pass showed of the releases, for status, conditions and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tradingengine_operator.api import Slot
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.flows.analysis import Held
from tradingengine_operator.flows.look import Look
from tradingengine_operator.flows.observation import ReleaseObservation, SlotObservation
from tradingengine_operator.flows.policy import CheckPolicy
from tradingengine_operator.flows.references import RouteIntent, Unresolved
from tradingengine_operator.plan.routes import RouteObservation


@dataclass(frozen=True)
class ReleaseView:
    """Records by number (None for one that cannot be read), and what the release flow was given to decide by.

    `route` is the flow's own, with the Gateway's silence explained; `held` says why a release waits, `window` when
    market hours let one begin or go on. `intent` says where the route is to hang, and what keeps it from there; `lacks`
    is what the pods of the newest specification need and do not find. `waits` is what a release waits for that only
    follows this operator's rendering.
    """

    records: Mapping[int, ReleaseRecord | None]
    seen: ReleaseObservation
    route: RouteObservation
    intent: RouteIntent
    lacks: tuple[Unresolved, ...] = ()
    held: Held | None = None
    window: datetime | None = None
    waits: str = ""

    @property
    def holding(self) -> Unresolved | None:
        """What keeps the specification from being followed, the first of it."""
        unresolved = (self.intent.unresolved, *self.lacks)
        return next((entry for entry in unresolved if entry is not None and entry.holds), None)

    @property
    def slots(self) -> Mapping[Slot, SlotObservation]:
        """Both slots."""
        return self.seen.slots

    @property
    def look(self) -> Look | None:
        """The newest look at the candidate, None while none is judged."""
        return self.seen.look


def figure_of(look: Look, check: CheckPolicy) -> str | None:
    """What people see of a check: the worst share of this step, or the number of their own query."""
    if check.query is not None:
        own = look.values.get(check.name)
        return f"{own.value:g}" if own is not None and own.value is not None else None
    shares = [found.step.bad / found.step.all for found in look.kinds(check.name).values() if found.step.all]
    return f"{max(shares):.4f}" if shares else None
