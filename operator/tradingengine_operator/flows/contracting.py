"""When an old form of the database's schema is taken away: once no release that may serve needs it. Pure.

A release expands the schema before it starts, so that the one before it works on; what it replaced is taken away only
when neither a release with weight nor a warm one needs it, and from then on nobody goes back across it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .actions import Action, Announce, Migrate
from .conditions import explain
from .observation import ReleaseObservation
from .state import Contracting, ReleaseState, Schema, advanced

#: A contract that failed harms nobody, so it is tried again without hurry.
RETRY_SECONDS = 600.0


def contract(state: ReleaseState, seen: ReleaseObservation, now: datetime) -> tuple[ReleaseState, tuple[Action, ...]]:
    """The state after at most one step of the contract, and what is done once because of it."""
    running = state.contracting
    if running is None:
        return _begin(state, now), ()
    if seen.contraction.succeeded:
        words = f"the schema has no form before {running.revision} any more: nobody goes back across it"
        return advanced(state, contracting=None), (Announce("SchemaContracted", words),)
    if seen.contraction.failed and not running.failed:
        words = explain(seen.contraction.message, seen.contraction.mend)[:900]
        failed = replace(running, failed=True, since=now)
        return advanced(state, contracting=failed), (Announce("ContractFailed", words, warning=True),)
    waited = (now - running.since).total_seconds()
    if running.failed and waited >= RETRY_SECONDS and state.candidate is None and state.stable is not None:
        knows = can_do_without(state.stable_schema, running.revision)
        release = state.stable.release if knows else running.release
        again = Migrate(release, again=True, phase="contract")
        return advanced(state, contracting=replace(running, release=release, failed=False, since=now)), (again,)
    return state, ()


def runs(state: ReleaseState) -> bool:
    """Whether a contract is under way, which a new release has to wait for."""
    return state.contracting is not None and not state.contracting.failed


def can_do_without(schema: Schema | None, contracted: str) -> bool:
    """Whether a release works on a schema that was contracted so far."""
    return not contracted or (schema is not None and schema.contract >= contracted)


def _begin(state: ReleaseState, now: datetime) -> ReleaseState:
    schema = state.stable_schema
    if state.stable is None or schema is None or state.candidate is not None or schema.contract <= state.contracted:
        return state
    if state.deferred is not None or (state.pin is not None and state.pin.record != state.stable.release):
        return state  # a release waits for its turn, and may need the old form
    if state.retiring is not None and not can_do_without(state.retiring.schema, schema.contract):
        return state
    begun = Contracting(state.stable.release, schema.contract, now)
    return advanced(state, contracting=begun, contracted=schema.contract)
