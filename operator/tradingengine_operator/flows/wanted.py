"""The world that a state of the release flow wants, whether the Gateway has it, and when to look again."""

from __future__ import annotations

from datetime import datetime

from tradingengine_operator.builders import names

from .actions import (
    Action,
    CloseSlot,
    EnsureProber,
    EnsureSlot,
    Migrate,
    OpenSlot,
    RemoveSlot,
    SetRoute,
    WriteRecord,
)
from .contracting import retry_wait, runs
from .observation import ReleaseObservation
from .policy import Policy
from .probing import prober_of
from .state import Candidate, Leaving, ReleaseState, Retirement, Stage

CHECK_SECONDS = 1.0
DRAIN_POLL_SECONDS = 0.2
START_POLL_SECONDS = 5.0
#: How often an answer of the Gateway is looked for, by how long it is missing; its events wake the loop besides.
GATEWAY_PATIENCE = ((15.0, 5.0), (120.0, 30.0))


def routed(state: ReleaseState, seen: ReleaseObservation) -> bool:
    """Whether the Gateway accepted exactly the intended rules and weights."""
    intended = frozenset((entry.slot, entry.release) for entry in state.live())
    weighed = dict(seen.route.weights) == state.weights() and seen.route.live == intended
    return seen.route.accepted and weighed and seen.route.trying <= {state.trying()}


def opening(candidate: Candidate) -> bool:
    """Whether its pods were closed once, and are to answer visitors again before they get any."""
    return (candidate.at_once or candidate.closed) and candidate.stage is Stage.STARTING


def wanted(state: ReleaseState, seen: ReleaseObservation, policy: Policy, *, hold_over: bool) -> tuple[Action, ...]:
    """The whole wanted world, weights before pods: nothing is taken down behind a weight."""
    actions: list[Action] = []
    candidate, leaving = state.candidate, state.retiring
    actions.extend(_records(state, seen))
    if candidate is not None and candidate.stage is Stage.MIGRATING:
        actions.append(Migrate(candidate.release))
    if runs(state) and state.contracting is not None:
        actions.append(Migrate(state.contracting.release, phase="contract"))
    if state.live():
        actions.append(SetRoute(state.live(), state.weights(), state.trying()))
    if state.stable is not None:
        floor = candidate.floor if candidate is not None else {}
        actions.append(EnsureSlot(state.stable.slot, state.stable.release, "stable", floor))
    if candidate is not None and candidate.stage not in {Stage.RECORDING, Stage.MIGRATING}:
        prober = prober_of(state, seen)
        if prober is not None:
            actions.append(EnsureProber(prober))  # begins beside the slot's pods, and costs no time
        pods = _canary_pods(state, candidate, seen, hold_over=hold_over)
        actions.append(EnsureSlot(candidate.slot, candidate.release, "canary", pods))
        if opening(candidate) and not seen.slots[candidate.slot].open:
            actions.append(OpenSlot(candidate.slot, candidate.release))
    if leaving is not None:
        warm = leaving.stage is Leaving.WARM
        pods = _warm_pods(state, leaving, seen) if warm else _stable_pods(state, seen)
        actions.append(EnsureSlot(leaving.slot, leaving.release, "warm" if warm else "leaving", pods))
        if leaving.stage in {Leaving.CLOSING, Leaving.WARM} and not seen.slots[leaving.slot].withdrawn:
            actions.append(CloseSlot(leaving.slot, leaving.release, policy.spread))
    used = {entry.slot for entry in (state.stable, candidate, leaving) if entry is not None}
    actions.extend(RemoveSlot(slot) for slot in names.SLOTS if slot not in used)
    return tuple(actions)


def _records(state: ReleaseState, seen: ReleaseObservation) -> list[WriteRecord]:
    """The record that is due, and those that are lost and can still be written as they were."""
    candidate, stable = state.candidate, state.stable
    due = []
    if candidate is not None and (candidate.stage is Stage.RECORDING or seen.records_known):
        again = candidate.stage is not Stage.RECORDING
        due.append(WriteRecord(candidate.release, candidate.template_hash, again))
    if stable is not None and seen.records_known:
        due.append(WriteRecord(stable.release, state.stable_hash, again=True))
    return [
        entry
        for entry in due
        if entry.number not in seen.records and entry.number not in seen.taken and entry.template_hash == seen.writable
    ]


def _stable_pods(state: ReleaseState, seen: ReleaseObservation) -> dict[str, int]:
    """Ready pods of the stable release, by component."""
    return seen.slots[state.stable.slot].ready_pods() if state.stable is not None else {}


def _warm_pods(state: ReleaseState, leaving: Retirement, seen: ReleaseObservation) -> dict[str, int]:
    """As many as carry the load now, so that the warm release can take it over without a new pod.

    While the serving release lacks pods nothing is taken away: that is when its predecessor may be needed.
    """
    own = seen.slots[leaving.slot].components
    live = seen.slots[state.stable.slot].components if state.stable is not None else {}
    return {
        part: max(1, entry.ready if entry.complete else max(entry.ready, own[part].wanted if part in own else 0))
        for part, entry in live.items()
    }


def _canary_pods(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, *, hold_over: bool
) -> dict[str, int]:
    """As many as the stable release has, as of its start, and again before it gets more weight; not in between."""
    stable = _stable_pods(state, seen)
    if candidate.stage is Stage.STARTING:
        return stable
    if candidate.stage is Stage.HOLDING and hold_over:
        return {part: max(count, stable.get(part, 0)) for part, count in candidate.pods.items()}
    return dict(candidate.pods)


def recheck(state: ReleaseState, seen: ReleaseObservation, now: datetime) -> float | None:
    """Seconds until the next look at the latest; None when only an event can bring news."""
    waits: list[float] = []
    candidate, leaving = state.candidate, state.retiring
    if candidate is not None and opening(candidate):
        waits.append(DRAIN_POLL_SECONDS)
    elif candidate is not None and candidate.stage in {Stage.MIGRATING, Stage.STARTING}:
        waits.append(START_POLL_SECONDS)
    elif candidate is not None and candidate.stage is Stage.SHIFTING and state.stable is None:
        waits.append(_gateway_wait(CHECK_SECONDS, candidate.stage_at, now))  # nothing is judged, only waited for
    elif candidate is not None:
        waits.append(CHECK_SECONDS)
    if leaving is not None and leaving.stage is Leaving.REROUTING and not routed(state, seen):
        waits.append(_gateway_wait(DRAIN_POLL_SECONDS, leaving.stage_at, now))
    elif leaving is not None and leaving.stage is not Leaving.WARM:
        waits.append(DRAIN_POLL_SECONDS)
    elif leaving is not None and leaving.until is not None:
        waits.append(max(CHECK_SECONDS, (leaving.until - now).total_seconds()))
    again = retry_wait(state, now)
    if again is not None:
        waits.append(max(CHECK_SECONDS, again))
    elif runs(state):
        waits.append(START_POLL_SECONDS)
    return min(waits, default=None)


def _gateway_wait(first: float, since: datetime, now: datetime) -> float:
    waited = (now - since).total_seconds()
    return max((wait for limit, wait in GATEWAY_PATIENCE if waited >= limit), default=first)
