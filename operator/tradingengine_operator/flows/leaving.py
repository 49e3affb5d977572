"""The way down of a release: weight away, silence, connections closed, warm, and gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .actions import Action, Announce
from .observation import ReleaseObservation, SlotObservation
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
    if leaving.aside and (state.deferred is None or state.deferred.release != leaving.release):
        # It will not go on: nothing keeps its pods any more.
        leaving = replace(leaving, aside=False, until=None)
        state = advanced(state, retiring=leaving)
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
    news = _confirmed(state, leaving, slot, policy) if leaving.stage is Leaving.QUIETING else ()
    moved = replace(leaving, stage=following, stage_at=now)
    if following is Leaving.WARM:
        return _cool(advanced(state, retiring=moved), moved, now)
    return advanced(state, retiring=moved), news


def _confirmed(state: ReleaseState, leaving: Retirement, slot: SlotObservation, policy: Policy) -> tuple[Announce, ...]:
    """Of a withdrawn release: that nobody asks it any more, by its own counters, or that this was never seen."""
    if state.withdrawn is None or state.withdrawn.release != leaving.release:
        return ()
    which = f"release {leaving.release} in slot {leaving.slot}"
    if slot.pods == 0 or (slot.quiet is not None and slot.quiet >= policy.quiet):
        words = f"{which} has counted no new request for {policy.quiet:g} s: its WebSockets are closed now"
        return (Announce("WithdrawalConfirmed", words),)
    why = "it still counts some, or was not watched for so long" if slot.quiet is not None else "a pod does not answer"
    words = (
        f"{which} was not seen without a new request for {policy.quiet:g} s, {policy.quiet_budget:g} s after the"
        f" Gateway took its weight away ({why}): it is closed all the same"
    )
    return (Announce("SlotNotQuiet", words, warning=True),)


def _cool(state: ReleaseState, leaving: Retirement, now: datetime) -> tuple[ReleaseState, tuple[Action, ...]]:
    if leaving.until is not None and now < leaving.until:
        return state, ()
    news = Announce("SlotRemoved", f"slot {leaving.slot} with release {leaving.release} is taken down")
    return advanced(state, retiring=None), (news,)
