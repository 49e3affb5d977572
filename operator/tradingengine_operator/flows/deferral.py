"""A release that loses its weight because a market opened, and goes on in its step after the close."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from .actions import Announce
from .moves import Move, going_down
from .policy import Policy
from .state import Candidate, Leaving, ReleaseState, Stage, advanced
from .window import Gate


def set_aside(state: ReleaseState, candidate: Candidate, gate: Gate, policy: Policy, now: datetime) -> Move:
    """Weight 0 at once, without a verdict. What was judged so far counts no more when it goes on.

    Its pods stay for as long as a slot is kept warm: it needs no new ones when it goes on within that time.
    """
    kept = Candidate(
        candidate.slot,
        candidate.release,
        candidate.template_hash,
        Stage.STARTING,
        started_at=candidate.started_at,
        stage_at=now,
        step=candidate.step,
        floor=candidate.floor,
        requested=candidate.requested,
        paused=candidate.paused,
        full=candidate.full,
        schema=candidate.schema,
    )
    words = f"release {candidate.release} has no weight any more: {gate.held.message}"
    until = now + timedelta(seconds=policy.warm)
    leaving = replace(going_down(candidate, now), until=until, schema=candidate.schema, aside=True)
    moved = advanced(state, candidate=None, deferred=kept, retiring=leaving)
    return Move(moved, (Announce("ReleaseSetAside", words),), gate.held, gate.at)


def has_pods(state: ReleaseState) -> bool:
    """Whether the release that waits for a market's close still has its pods, warm and closed to visitors."""
    leaving, deferred = state.retiring, state.deferred
    if leaving is None or deferred is None or not leaving.aside:
        return False
    return leaving.release == deferred.release and leaving.stage is Leaving.WARM


def take_up(state: ReleaseState, deferred: Candidate, now: datetime) -> Move:
    """Its pods are opened again, or made anew from its record when they are gone; then it gets the weight of its step.

    `state` still has the slot as it was left.
    """
    words = f"release {deferred.release} goes on at step {deferred.step + 1}"
    moving = replace(deferred, stage_at=now, closed=has_pods(state))
    moved = advanced(state, candidate=moving, deferred=None, retiring=None)
    return Move(moved, (Announce("ReleaseTakenUp", words),))
