"""The release flow: record, migrations, idle slot, weight by weight, and the way back. Pure: time comes as an argument.

The caller stores the new state BEFORE it acts, acts on every action in order, and calls again. Killed at any point, it
reads the stored state and goes on: an action that was done is seen as done, one that was not is asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tradingengine_operator.builders.route import FULL

from .actions import Action, Announce, Migrate
from .analysis import Analysis, Failure, Held, analyse
from .conditions import explain
from .leaving import retire
from .observation import ReleaseObservation
from .policy import Policy
from .state import (
    COUNTED_TIMES,
    Candidate,
    Leaving,
    Placed,
    ReleaseState,
    Retirement,
    Stage,
    Verdict,
    advanced,
    not_to_come,
    other,
)
from .upgrade import is_same, is_tried, is_upgrade, lost_record, stable_hash
from .wanted import recheck, routed, wanted

MIGRATION_RETRY_SECONDS = 60.0
#: The judged part of a hold is stored after a fifth of it, within these bounds: more may be lost with the operator.
STORED_PART, STORED_LEAST, STORED_MOST = 0.2, 5.0, 60.0
#: The clocks of a machine drift and are slewed; what is more was set.
CLOCK_SET_SECONDS = 2.0
TOO_FEW_PODS = Held(
    "TooFewPods",
    "the next step needs as many ready pods as the stable release has by now: held until they are ready",
)


@dataclass(frozen=True)
class Decision:
    """The next state, what is asked for, and after how many seconds to look again (None: when something changes).

    `held` says why a candidate that has weight does not go on.
    """

    state: ReleaseState
    actions: tuple[Action, ...]
    recheck: float | None
    held: Held | None = None


@dataclass(frozen=True)
class _Move:
    """A state, and what is done once because it came to be."""

    state: ReleaseState
    once: tuple[Action, ...] = ()
    held: Held | None = None


def step(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> Decision:
    """One transition at most per machine (the release that leaves, the one that comes), then the wanted world."""
    left, leaving_once = retire(_follow_clock(state, seen.clock_jump, now), seen, policy, now)
    second = _forget_verdict(left, seen)
    third = _advance(second, seen, policy, now) if second.candidate is not None else _start(second, seen, now)
    # Of the state before: a hold that was just stored would be added to itself.
    before = second.candidate
    over = before is not None and before.stage is Stage.HOLDING and _due(before, seen, policy)
    actions = (*wanted(third.state, seen, policy, hold_over=over), *leaving_once, *third.once)
    return Decision(third.state, actions, recheck(third.state, seen, now), third.held)


def _follow_clock(state: ReleaseState, jump: float, now: datetime) -> ReleaseState:
    """Moves what is counted from along with a wall clock that was set, or budgets would be over, or never end."""
    if abs(jump) < CLOCK_SET_SECONDS:
        return not_to_come(state, now)
    by = timedelta(seconds=jump)
    candidate, leaving = state.candidate, state.retiring
    if candidate is not None:
        times = {name: getattr(candidate, name) for name in COUNTED_TIMES}
        candidate = replace(candidate, **{name: value + by for name, value in times.items() if value is not None})
    if leaving is not None:
        until = leaving.until + by if leaving.until is not None else None
        leaving = replace(leaving, stage_at=leaving.stage_at + by, until=until)
    return not_to_come(advanced(state, candidate=candidate, retiring=leaving), now)


def _forget_verdict(state: ReleaseState, seen: ReleaseObservation) -> ReleaseState:
    """What was withdrawn is tried again only after the specification asked for something else."""
    verdict = state.withdrawn
    if verdict is None or is_same(verdict, seen):
        return state
    return advanced(state, withdrawn=None)


def _start(state: ReleaseState, seen: ReleaseObservation, now: datetime) -> _Move:
    if stable_hash(state, seen) == seen.template_hash:
        return _Move(advanced(state, stable_requested=seen.requested))
    idle = state.retiring is None or state.retiring.stage is Leaving.WARM
    waits = is_upgrade(state, seen) and not seen.turn
    if is_tried(state, seen) or waits or not idle or not seen.may_start:
        return _Move(state)
    number = _number(state, seen)
    slot = other(state.stable.slot) if state.stable is not None else "a"
    serving = seen.slots[state.stable.slot].components.get("api") if state.stable is not None else None
    floor = serving.wanted if serving is not None else 0
    candidate = Candidate(
        slot,
        number,
        seen.template_hash,
        Stage.RECORDING,
        started_at=now,
        stage_at=now,
        floor=floor,
        requested=seen.requested,
    )
    why = ": the same version, as this operator renders it" if is_upgrade(state, seen) else ""
    news = Announce("ReleaseStarted", f"release {number} takes slot {slot}{why}")
    started = advanced(state, last=number, candidate=candidate, retiring=None, finished_at=None, withdrawn=None)
    return _Move(started, (news,))


def _number(state: ReleaseState, seen: ReleaseObservation) -> int:
    """The next number; a record that an engine of the same name left for this very template is taken up again."""
    newest = max(seen.records, default=0)
    if newest > state.last and seen.records[newest] == seen.template_hash:
        return newest
    return max(newest, state.last) + 1


def _advance(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> _Move:
    candidate = state.candidate
    if candidate is None:
        return _Move(state)
    if not is_same(candidate, seen):
        news = Announce("ReleaseSuperseded", f"release {candidate.release} gives way to a newer specification")
        return _supersede(state, candidate, seen, policy, now, news)
    if candidate.stage is not Stage.RECORDING and lost_record(candidate, seen):
        words = f"the record of release {candidate.release} is lost: another one takes its place"
        return _supersede(state, candidate, seen, policy, now, Announce("RecordLost", words, warning=True))
    match candidate.stage:
        case Stage.RECORDING:
            return _recording(state, candidate, seen, now)
        case Stage.MIGRATING:
            return _migrating(state, candidate, seen, now)
        case Stage.STARTING:
            return _starting(state, candidate, seen, policy, now)
        case Stage.SHIFTING | Stage.HOLDING:
            return _carrying(state, candidate, seen, policy, now)


def _supersede(
    state: ReleaseState,
    candidate: Candidate,
    seen: ReleaseObservation,
    policy: Policy,
    now: datetime,
    news: Announce,
) -> _Move:
    """Another takes its place: weight away first. Without weight nobody was there, and the slot is free at once."""
    if candidate.stage in {Stage.SHIFTING, Stage.HOLDING} and state.stable is not None:
        return _Move(advanced(state, candidate=None, retiring=_leaving(candidate, now), finished_at=now), (news,))
    if candidate.weight and seen.route.weights.get(candidate.slot):
        # A first release has all the weight and nothing to take it over: it serves until the newer one does.
        return _promote(state, candidate, policy, now)
    return _Move(advanced(state, candidate=None), (news,))


def _recording(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, now: datetime) -> _Move:
    if candidate.release in seen.taken:
        words = f"the name of record {candidate.release} belongs to somebody else's object: the next number is taken"
        return _Move(advanced(state, candidate=None), (Announce("NameTaken", words, warning=True),))
    found = seen.records.get(candidate.release)
    if found is None:
        # Nothing is made of it yet, so it may follow another version of the operator.
        return _Move(advanced(state, candidate=replace(candidate, template_hash=seen.template_hash)))
    if found != candidate.template_hash:
        return _Move(advanced(state, candidate=None))
    return _Move(_staged(state, candidate, Stage.MIGRATING, now))


def _migrating(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, now: datetime) -> _Move:
    if seen.migration.succeeded:
        return _Move(_staged(state, candidate, Stage.STARTING, now))
    if not seen.migration.failed:
        return _Move(state)
    if state.stable is not None:
        return _withdraw(
            state, candidate, Failure("MigrationFailed", explain(seen.migration.message, seen.migration.mend)), now
        )
    if (now - candidate.stage_at).total_seconds() < MIGRATION_RETRY_SECONDS:
        return _Move(state)
    again = Migrate(candidate.release, again=True)
    return _Move(advanced(state, candidate=replace(candidate, stage_at=now)), (again,))


def _starting(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> _Move:
    slot = seen.slots[candidate.slot]
    if slot.release == candidate.release and slot.complete:
        weight = policy.steps[0].weight if state.stable is not None else FULL
        ready = replace(
            candidate,
            weight=weight,
            restarts={uid: count for uid, count in slot.restarts.items() if count},
            pods=slot.ready_pods(),
        )
        news = Announce("ReleaseWeight", f"release {candidate.release} is ready and gets weight {weight / 10:g}")
        return _Move(_staged(state, ready, Stage.SHIFTING, now), (news,))
    waited = (now - candidate.stage_at).total_seconds()
    if state.stable is None or waited < policy.start_budget:
        return _Move(state)
    message = f"not ready after {waited:.0f} s: {slot.shortfall()}. {slot.waiting}".strip()
    failure = Failure("NotReadyInTime", message, f"{waited:.0f}s", f"{policy.start_budget:g}s")
    return _withdraw(state, candidate, failure, now)


def _carrying(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> _Move:
    if state.stable is None:
        return _promote(state, candidate, policy, now) if routed(state, seen) else _Move(state)
    judged = analyse(candidate, seen, policy, now)
    if judged.failure is not None:
        return _withdraw(state, judged.candidate, judged.failure, now)
    moved = advanced(state, candidate=judged.candidate)
    if not routed(state, seen):
        return _Move(moved, held=judged.held)
    if candidate.stage is Stage.SHIFTING:
        held = replace(judged.candidate, step_started_at=now, held=0.0)
        return _Move(_staged(moved, held, Stage.HOLDING, now), held=judged.held)
    return _holding(moved, judged, seen, policy, now)


def _holding(state: ReleaseState, judged: Analysis, seen: ReleaseObservation, policy: Policy, now: datetime) -> _Move:
    candidate = judged.candidate
    if not _due(candidate, seen, policy):
        least = min(STORED_MOST, max(STORED_LEAST, _hold(candidate, policy) * STORED_PART))
        if seen.judged < least:
            return _Move(state, held=judged.held)
        stored = replace(candidate, held=candidate.held + seen.judged)
        return _Move(advanced(state, candidate=stored), held=judged.held)
    if not _as_many_as_stable(state, candidate, seen):
        return _Move(state, held=judged.held or TOO_FEW_PODS)
    if not judged.good:
        return _Move(state, held=judged.held)
    if candidate.step + 1 >= len(policy.steps):
        return _promote(state, candidate, policy, now)
    return _next_step(state, candidate, seen, policy, now)


def _hold(candidate: Candidate, policy: Policy) -> float:
    return policy.steps[min(candidate.step, len(policy.steps) - 1)].hold


def _due(candidate: Candidate, seen: ReleaseObservation, policy: Policy) -> bool:
    """Whether the step was judged for as long as it holds: time in which nobody looked does not count."""
    return candidate.step_started_at is not None and candidate.held + seen.judged >= _hold(candidate, policy)


def _as_many_as_stable(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation) -> bool:
    """Whether it has the pods for more weight: all that it asks for, and no fewer than the stable release has now."""
    own = seen.slots[candidate.slot]
    stable = seen.slots[state.stable.slot].ready_pods() if state.stable is not None else {}
    return own.complete and all(entry.wanted >= stable.get(part, 0) for part, entry in own.components.items())


def _next_step(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> _Move:
    number = candidate.step + 1
    weight = max(candidate.weight, policy.steps[number].weight)
    pods = seen.slots[candidate.slot].ready_pods()
    moved = replace(candidate, step=number, weight=weight, step_started_at=None, held=0.0, pods=pods)
    news = Announce("ReleaseWeight", f"release {candidate.release} gets weight {weight / 10:g}")
    return _Move(_staged(state, moved, Stage.SHIFTING, now), (news,))


def _promote(state: ReleaseState, candidate: Candidate, policy: Policy, now: datetime) -> _Move:
    old = state.stable
    retiring = None
    if old is not None:
        until = now + timedelta(seconds=policy.warm)
        retiring = Retirement(old.slot, old.release, Leaving.REROUTING, stage_at=now, until=until)
    stable = Placed(candidate.slot, candidate.release)
    news = Announce("ReleasePromoted", f"release {candidate.release} in slot {candidate.slot} serves everybody")
    promoted = advanced(
        state,
        stable=stable,
        stable_hash=candidate.template_hash,
        stable_requested=candidate.requested,
        candidate=None,
        retiring=retiring,
        withdrawn=None,
        finished_at=now,
    )
    return _Move(promoted, (news,))


def _withdraw(state: ReleaseState, candidate: Candidate, failure: Failure, now: datetime) -> _Move:
    verdict = Verdict(
        release=candidate.release,
        template_hash=candidate.template_hash,
        reason=failure.reason,
        message=failure.message[:1024],
        at=now,
        value=failure.value,
        limit=failure.limit,
        requested=candidate.requested,
    )
    news = Announce("ReleaseWithdrawn", f"release {candidate.release}: {failure.message[:900]}", warning=True)
    touched = candidate.stage not in {Stage.RECORDING, Stage.MIGRATING}
    leaving = _leaving(candidate, now) if touched else None
    gone = advanced(state, candidate=None, retiring=leaving, withdrawn=verdict, finished_at=now)
    return _Move(gone, (news,))


def _leaving(candidate: Candidate, now: datetime) -> Retirement:
    return Retirement(candidate.slot, candidate.release, Leaving.REROUTING, stage_at=now)


def _staged(state: ReleaseState, candidate: Candidate, stage: Stage, now: datetime) -> ReleaseState:
    return advanced(state, candidate=replace(candidate, stage=stage, stage_at=now))
