"""The way down of a release: weight away, silence, connections closed, warm, and gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .actions import Action, Announce
from .observation import ReleaseObservation
from .policy import Policy
from .state import Leaving, ReleaseState, Retirement, advanced
from .wanted import routed


def retire(
    state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime
) -> tuple[ReleaseState, tuple[Action, ...]]:
    """The state after at most one transition of the release that leaves, and what is done once because of it."""
    leaving = state.retiring
    if leaving is None:
        return state, ()
    slot, waited = seen.slots[leaving.slot], (now - leaving.stage_at).total_seconds()
    match leaving.stage:
        case Leaving.REROUTING:
            done = routed(state, seen)
            following = Leaving.QUIETING
        case Leaving.QUIETING:
            quiet = slot.quiet is not None and slot.quiet >= policy.quiet and waited >= policy.quiet
            done = quiet or slot.pods == 0 or waited >= policy.quiet_budget
            following = Leaving.CLOSING
        case Leaving.CLOSING:
            closed = slot.withdrawn and slot.web_sockets == 0
            done = closed or slot.pods == 0 or waited >= policy.close_budget
            following = Leaving.WARM
        case Leaving.WARM:
            return _cool(state, leaving, now)
    if not done:
        return state, ()
    moved = replace(leaving, stage=following, stage_at=now)
    if following is Leaving.WARM:
        return _cool(advanced(state, retiring=moved), moved, now)
    return advanced(state, retiring=moved), ()


def _cool(state: ReleaseState, leaving: Retirement, now: datetime) -> tuple[ReleaseState, tuple[Action, ...]]:
    if leaving.until is not None and now < leaving.until:
        return state, ()
    news = Announce("SlotRemoved", f"slot {leaving.slot} with release {leaving.release} is taken down")
    return advanced(state, retiring=None), (news,)
