"""Going back to a record by hand: what is refused, and what stands for the wish until that changes. Pure.

The flow then goes on as with any other wish: into the warm slot at once, else by a run of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .actions import Announce
from .contracting import can_do_without, crossed
from .observation import Kept, ReleaseObservation
from .policy import Policy
from .state import Candidate, Leaving, Pin, ReleaseState, Retirement, Stage, advanced
from .upgrade import is_upgrade, stable_hash


@dataclass(frozen=True)
class Refused:
    """Why a command is not followed: one word, and what to do."""

    reason: str
    message: str


def rollback(
    state: ReleaseState, to: int | None, seen: ReleaseObservation, now: datetime, reason: str = ""
) -> ReleaseState | Refused:
    """The state in which record `to` stands for the wish; None is the release before the one that serves.

    `seen` is the observation with the wish as it is (`requested`), not as a pin makes it. Where the record is just what
    is asked for anyway, an older pin is taken away, and nothing stands in for the wish any more.
    """
    if state.stable is None:
        return Refused("NothingServes", "nothing serves yet, so there is nothing to go back from")
    number = before(state, seen) if to is None else to
    if number is None:
        return Refused("UnknownRecord", f"no record is older than release {state.stable.release}, which serves")
    kept = seen.kept.get(number)
    refusal = _refusal(state, number, kept, seen)
    if refusal is not None or kept is None:
        return refusal or Refused("UnknownRecord", f"there is no record of release {number}")
    if kept.template_hash == seen.template_hash:
        return advanced(state, pin=None, withdrawn=None)
    pin = Pin(number, kept.template_hash, kept.requested, seen.requested, now, reason[:256], state.stable.release)
    return advanced(state, pin=pin, withdrawn=None)


def before(state: ReleaseState, seen: ReleaseObservation) -> int | None:
    """The release to go back to when none is named: the warm one, else the newest older record that served."""
    if state.stable is None:
        return None
    leaving = state.retiring
    if leaving is not None and leaving.until is not None and not leaving.aside:
        return leaving.release
    older = (
        number
        for number, kept in seen.kept.items()
        if number < state.stable.release and kept.template_hash and kept.outcome not in {"Withdrawn", "Superseded"}
    )
    return max(older, default=None)


def pinned(
    state: ReleaseState, seen: ReleaseObservation
) -> tuple[ReleaseState, ReleaseObservation, tuple[Announce, ...]]:
    """State and observation with what a pin makes of the wish, and what is told of a pin that ends.

    It ends with the wish that it overruled, or with its record, unless that serves. What follows from a person's word
    waits for no turn.
    """
    pin = state.pin
    if pin is None:
        return state, seen, ()
    ended = advanced(state, pin=None)
    if seen.requested != pin.overruled:
        words = f"the specification asks for something else: record {pin.record} no longer stands in for it"
        return ended, seen, (Announce("RollbackEnded", words),)
    serves = pin.record in _carrying_all(state)
    if seen.records_known and not serves and seen.records.get(pin.record) != pin.template_hash:
        words = f"the record of release {pin.record} is lost: it cannot be gone back to"
        return ended, seen, (Announce("RecordLost", words, warning=True),)
    stands = replace(
        seen, template_hash=pin.template_hash, requested=pin.requested, rendered=seen.template_hash, turn=True
    )
    return state, stands, ()


def warm_again(state: ReleaseState, seen: ReleaseObservation) -> Retirement | None:
    """The release that leaves, when it is the one that is wanted: its pods are there, and need only be opened."""
    leaving = state.retiring
    if (
        leaving is None
        or leaving.aside
        or leaving.until is None
        or seen.records.get(leaving.release) != seen.template_hash
    ):
        return None
    return leaving if state.pin is None or state.pin.record == leaving.release else None


def takes_back(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> bool:
    """Whether people go back at once to a release whose pods are there: a newer wish waits a minute for that.

    To give way would be to put everybody on what a person just left. Who asks for that very release gets it, though.
    """
    slot = seen.slots[candidate.slot]
    opens = slot.complete and (now - candidate.stage_at).total_seconds() < policy.back_hold
    there = candidate.stage in {Stage.SHIFTING, Stage.HOLDING} or opens
    asks_for_left = is_upgrade(state, seen) or stable_hash(state, seen) == seen.template_hash
    return candidate.at_once and state.stable is not None and there and not asks_for_left


def still_warm(candidate: Candidate, policy: Policy, now: datetime) -> Retirement | None:
    """What becomes of a candidate without weight that gives way: its pods stay warm where they were."""
    if not candidate.at_once:
        return None
    until = now + timedelta(seconds=policy.warm)
    return Retirement(candidate.slot, candidate.release, Leaving.WARM, now, until, candidate.schema)


def _carrying_all(state: ReleaseState) -> set[int]:
    """Releases that serve everybody: also one that was gone back to at once, and is judged with all the weight."""
    back = state.candidate if state.candidate is not None and state.candidate.at_once else None
    found = {back.release} if back is not None and back.weight else set()
    return found | ({state.stable.release} if state.stable is not None else set())


def _refusal(state: ReleaseState, number: int, kept: Kept | None, seen: ReleaseObservation) -> Refused | None:
    if state.stable is not None and number == state.stable.release and state.pin is None:
        return Refused("AlreadyServes", f"release {number} is the one that serves")
    if state.pin is not None and number == state.pin.record:
        return Refused("AlreadyAsked", f"release {number} is what was gone back to already")
    if kept is None:
        known = ", ".join(str(entry) for entry in sorted(seen.kept)) or "none"
        return Refused("UnknownRecord", f"there is no record of release {number}; known are {known}")
    if not kept.template_hash:
        return Refused("UnreadableRecord", f"the record of release {number} cannot be read")
    if not can_do_without(kept.schema, state.contracted):
        return Refused("SchemaContracted", crossed(number, state.contracted))
    return None
