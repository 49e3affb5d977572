"""What was asked for against what this operator renders of it: another rendering alone is no wish of a person."""

from __future__ import annotations

from .observation import ReleaseObservation
from .state import Candidate, Override, ReleaseState, Verdict


def is_same(known: Candidate | Verdict | Override, seen: ReleaseObservation) -> bool:
    """Whether a candidate, a verdict or an override is about what is asked for now, however it is rendered."""
    return known.template_hash == seen.template_hash or bool(seen.requested and known.requested == seen.requested)


def stable_hash(state: ReleaseState, seen: ReleaseObservation) -> str | None:
    """What the serving release is made of; a record that is lost is no reason to release the same again."""
    if state.stable is None:
        return None
    return seen.records.get(state.stable.release) or state.stable_hash


def is_upgrade(state: ReleaseState, seen: ReleaseObservation) -> bool:
    """Whether what serves is what is asked for, and only this operator renders it otherwise than it was."""
    return (
        bool(seen.requested)
        and state.stable_requested == seen.requested
        and stable_hash(state, seen) not in {None, seen.template_hash}
    )


def may_wait(state: ReleaseState, seen: ReleaseObservation) -> bool:
    """Whether a release would start now that only follows the operator's own rendering, and so needs its turn."""
    return state.candidate is None and state.pin is None and is_upgrade(state, seen) and not is_tried(state, seen)


def is_tried(state: ReleaseState, seen: ReleaseObservation) -> bool:
    """Whether the last verdict stands in the way.

    A withdrawn wish is not tried again, whoever renders it. Where the wish itself serves, only its new rendering was
    withdrawn, and the next one is another.
    """
    verdict = state.withdrawn
    if verdict is None:
        return False
    return not is_upgrade(state, seen) or verdict.template_hash == seen.template_hash


def lost_record(candidate: Candidate, seen: ReleaseObservation) -> bool:
    """Whether the record of a candidate that was recorded is gone or spoiled, and cannot be written as it was."""
    if not seen.records_known:
        return False
    found = seen.records.get(candidate.release)
    return found != candidate.template_hash and not (found is None and seen.writable == candidate.template_hash)
