"""When an old form of the database's schema is taken away: once no release that may serve needs it. Pure.

A release expands the schema before it starts, so that the one before it works on; what it replaced is taken away only
when neither a release with weight nor a warm one needs it, and from then on nobody goes back across it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .actions import Action, Announce, Migrate
from .conditions import explain
from .notes import schemas
from .observation import ReleaseObservation
from .state import Contracting, ReleaseState, Schema, advanced

#: A contract that failed harms nobody, so it is tried again without hurry.
RETRY_SECONDS = 600.0


def contract(state: ReleaseState, seen: ReleaseObservation, now: datetime) -> tuple[ReleaseState, tuple[Action, ...]]:
    """The state after at most one step of the contract, and what is done once because of it."""
    running = state.contracting
    if running is None or running.failed:
        return _begin(state, seen, now)
    if seen.contraction.succeeded:
        words = f"the schema has no form before {running.revision} any more: nobody goes back across it"
        return advanced(state, contracting=None), (Announce("SchemaContracted", words),)
    lost = _lost(state, running, seen)
    if seen.contraction.failed or lost:
        words = explain(lost or seen.contraction.message, "" if lost else seen.contraction.mend)[:900]
        failed = replace(running, failed=True, since=now)
        return advanced(state, contracting=failed), (Announce("ContractFailed", words, warning=True),)
    return state, ()


def runs(state: ReleaseState) -> bool:
    """Whether a contract is under way, which a new release has to wait for."""
    return state.contracting is not None and not state.contracting.failed


def can_do_without(schema: Schema | None, contracted: str) -> bool:
    """Whether a release works on a schema that was contracted so far."""
    return not contracted or (schema is not None and schema.contract >= contracted)


def crossed(release: int, contracted: str) -> str:
    """Why a release may not serve any more, in words."""
    words = (
        f"the contract of the schema to {contracted} was begun, and release {release} needs a form that it takes away"
    )
    return f"{words}: go to a later release, or restore a backup from before"


def retry_wait(state: ReleaseState, now: datetime) -> float | None:
    """Seconds until a contract that failed is tried again; None when only an event can bring that about."""
    running = state.contracting
    if running is None or not running.failed:
        return None
    left = RETRY_SECONDS - (now - running.since).total_seconds()
    return left if left > 0 else None


def _begin(state: ReleaseState, seen: ReleaseObservation, now: datetime) -> tuple[ReleaseState, tuple[Action, ...]]:
    """Begins the contract of the release that serves, or tries again where one failed, when nobody is in its way."""
    stable, schema, failed = state.stable, state.stable_schema, state.contracting
    if stable is None or schema is None or state.candidate is not None or retry_wait(state, now) is not None:
        return state, ()
    # One that failed may have been of another release: what its successor cannot do without stays.
    due = schema.contract >= failed.revision if failed is not None else schema.contract > state.contracted
    if not due or not seen.records.get(stable.release) or _needed(state, seen, schema.contract):
        return state, ()
    begun = Contracting(stable.release, schema.contract, now)
    again = (Migrate(stable.release, again=True, phase="contract"),) if failed is not None else ()
    return advanced(state, contracting=begun, contracted=max(schema.contract, state.contracted)), again


def _needed(state: ReleaseState, seen: ReleaseObservation, revision: str) -> bool:
    """Whether a release that waits, is warm, or still has a pod, be it an ending one, may need what would go."""
    if state.deferred is not None or (
        state.pin is not None and state.stable is not None and state.pin.record != state.stable.release
    ):
        return True  # a release waits for its turn
    if state.retiring is not None and not can_do_without(state.retiring.schema, revision):
        return True
    known = {number: kept.schema for number, kept in seen.kept.items()} | schemas(state)
    there = {number for slot in seen.slots.values() for number in slot.releases}
    return not all(can_do_without(known.get(number), revision) for number in there)


def _lost(state: ReleaseState, running: Contracting, seen: ReleaseObservation) -> str:
    """Why a contract that has no Job can get none, empty when it can: it would be waited for without an end."""
    if seen.contraction.exists or not seen.contraction.known or not seen.records_known:
        return ""
    serves = state.stable is not None and state.stable.release == running.release
    found = seen.records.get(running.release)
    written = running.release not in seen.records and serves and state.stable_hash == seen.writable
    if found or written:
        return ""
    return f"the record of release {running.release} is lost, so its contract of the schema cannot run"
