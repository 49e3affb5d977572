"""A release that loses its weight because a market opened, and goes on in its step after the close."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .actions import Announce
from .moves import Move, going_down
from .state import Candidate, ReleaseState, Stage, advanced
from .window import Gate


def set_aside(state: ReleaseState, candidate: Candidate, gate: Gate, now: datetime) -> Move:
    """Weight 0 at once, without a verdict. What was judged so far counts no more when it goes on."""
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
    moved = advanced(state, candidate=None, deferred=kept, retiring=going_down(candidate, now))
    return Move(moved, (Announce("ReleaseSetAside", words),), gate.held, gate.at)


def take_up(state: ReleaseState, deferred: Candidate, now: datetime) -> Move:
    """It gets pods again, from its record, and then the weight of its step."""
    words = f"release {deferred.release} goes on at step {deferred.step + 1}"
    moved = advanced(state, candidate=replace(deferred, stage_at=now), deferred=None, retiring=None)
    return Move(moved, (Announce("ReleaseTakenUp", words),))
