"""Moves of the release flow that several of its parts make: promoted, withdrawn, on to the next stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .actions import Action, Announce
from .analysis import Failure, Held
from .observation import ReleaseObservation
from .policy import Policy
from .state import Candidate, Leaving, Placed, ReleaseState, Retirement, Stage, Verdict, advanced


@dataclass(frozen=True)
class Move:
    """A state, what is done once because it came to be, why it does not go on, and at which moment it may."""

    state: ReleaseState
    once: tuple[Action, ...] = ()
    held: Held | None = None
    at: datetime | None = None


def promote(state: ReleaseState, candidate: Candidate, policy: Policy, now: datetime) -> Move:
    """The candidate serves everybody; what served before goes down, and stays warm for its time."""
    old = state.stable
    retiring = None
    if old is not None:
        until = now + timedelta(seconds=policy.warm)
        retiring = Retirement(old.slot, old.release, Leaving.REROUTING, now, until, state.stable_schema)
    stable = Placed(candidate.slot, candidate.release)
    news = Announce("ReleasePromoted", f"release {candidate.release} in slot {candidate.slot} serves everybody")
    promoted = advanced(
        state,
        stable=stable,
        stable_hash=candidate.template_hash,
        stable_requested=candidate.requested,
        stable_schema=candidate.schema,
        candidate=None,
        retiring=retiring,
        withdrawn=None,
        override=None,
        finished_at=now,
    )
    return Move(promoted, (news,))


def withdraw(state: ReleaseState, candidate: Candidate, failure: Failure, now: datetime) -> Move:
    """The candidate loses its weight at once and for good, with the reason."""
    verdict = Verdict(
        release=candidate.release,
        template_hash=candidate.template_hash,
        reason=failure.reason,
        message=failure.message[:1024],
        at=now,
        value=failure.value,
        limit=failure.limit,
        requested=candidate.requested,
        check=failure.check,
        query=failure.query,
    )
    news = Announce("ReleaseWithdrawn", f"release {candidate.release}: {verdict.words[:900]}", warning=True)
    touched = candidate.stage not in {Stage.RECORDING, Stage.MIGRATING}
    leaving = going_down(candidate, now) if touched else None
    gone = advanced(
        state,
        candidate=None,
        deferred=None,
        retiring=leaving,
        withdrawn=verdict,
        override=None,
        finished_at=now,
    )
    return Move(gone, (news,))


def going_down(candidate: Candidate, now: datetime) -> Retirement:
    """The first stage of a candidate's way down."""
    return Retirement(candidate.slot, candidate.release, Leaving.REROUTING, stage_at=now)


def staged(state: ReleaseState, candidate: Candidate, stage: Stage, now: datetime) -> ReleaseState:
    """The candidate in another stage, as of now."""
    return advanced(state, candidate=replace(candidate, stage=stage, stage_at=now))


def next_number(state: ReleaseState, seen: ReleaseObservation) -> int:
    """The next number, or the record's that was gone back to.

    A record that an engine of the same name left for this very template is taken up again.
    """
    if state.pin is not None:
        return state.pin.record
    newest = max(seen.records, default=0)
    if newest > state.last and seen.records[newest] == seen.template_hash:
        return newest
    return max(newest, state.last) + 1
