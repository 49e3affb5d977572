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
from .commands import obey
from .conditions import explain
from .contracting import can_do_without, contract, crossed, runs
from .deferral import has_pods, set_aside, take_up
from .leaving import retire
from .moves import Move, going_down, next_number, promote, staged, withdraw
from .observation import ReleaseObservation
from .policy import Policy, of_run
from .probing import is_waited_for, probing_itself, without_prober
from .rollback import pinned, still_warm, takes_back, warm_again
from .state import (
    CLOCK_SET_SECONDS,
    COUNTED_TIMES,
    Candidate,
    Leaving,
    Pause,
    ReleaseState,
    Stage,
    advanced,
    moved_by,
    not_to_come,
    other,
    render_time,
)
from .upgrade import is_same, is_tried, is_upgrade, lost_record, stable_hash
from .wanted import CHECK_SECONDS, opening, recheck, routed, wanted
from .window import MARKET_OPEN, open_gate, start_gate

MIGRATION_RETRY_SECONDS = 60.0
#: The judged part of a hold is stored after a fifth of it, within these bounds: more may be lost with the operator.
STORED_PART, STORED_LEAST, STORED_MOST = 0.2, 5.0, 60.0
TOO_FEW_PODS = Held(
    "TooFewPods",
    "the next step needs as many ready pods as the stable release has by now: held until they are ready",
)


@dataclass(frozen=True)
class Decision:
    """The next state, what is asked for, and after how many seconds to look again (None: when something changes).

    `held` says why the release does not go on, `window` when market hours let a release begin or go on, None when they
    do now, or do not count.
    """

    state: ReleaseState
    actions: tuple[Action, ...]
    recheck: float | None
    held: Held | None = None
    window: datetime | None = None


def step(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> Decision:
    """One transition at most per machine (the release that leaves, the one that comes), then the wanted world."""
    asked, asked_once = obey(_follow_clock(state, seen.clock_jump, now), seen, policy, now)
    stood, seen, pinned_once = pinned(asked, seen)
    whole, policy = policy, of_run(policy, stood.candidate)
    left, leaving_once = retire(stood, seen, policy, now)
    second = _forget(left, seen)
    third = _advance(second, seen, policy, now) if second.candidate is not None else _start(second, seen, policy, now)
    fourth, contract_once = contract(third.state, seen, now)
    # Of the state before: a hold that was just stored would be added to itself.
    before = second.candidate
    over = before is not None and before.stage is Stage.HOLDING and _due(before, seen, policy)
    once = (*asked_once, *pinned_once, *leaving_once, *third.once, *contract_once)
    actions = (*wanted(fourth, seen, policy, hold_over=over), *once)
    window = third.at if third.held is not None else _next_window(fourth, seen, whole, now)
    return Decision(fourth, actions, _look_again(replace(third, state=fourth), seen, now), third.held, window)


def _look_again(move: Move, seen: ReleaseObservation, now: datetime) -> float | None:
    """Seconds until the next look: also at the moment for which the release waits."""
    soon = recheck(move.state, seen, now)
    if move.at is None:
        return soon
    waits = max(CHECK_SECONDS, (move.at - now).total_seconds())
    return waits if soon is None else min(soon, waits)


def _next_window(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> datetime | None:
    """When a release that was asked for now could begin, if that is not now."""
    gate = start_gate(state, seen, policy, now) if state.candidate is None else None
    return gate.at if gate is not None else None


def _follow_clock(state: ReleaseState, jump: float, now: datetime) -> ReleaseState:
    """Moves what is counted from along with a wall clock that was set, or budgets would be over, or never end."""
    if abs(jump) < CLOCK_SET_SECONDS:
        return not_to_come(state, now)
    by = timedelta(seconds=jump)
    candidate, leaving = state.candidate, state.retiring
    if candidate is not None:
        times = {name: getattr(candidate, name) for name in COUNTED_TIMES}
        checks = {name: moved_by(count, by) for name, count in candidate.checks.items()}
        moved = {name: value + by for name, value in times.items() if value is not None}
        candidate = replace(candidate, checks=checks, **moved)
    if leaving is not None:
        until = leaving.until + by if leaving.until is not None else None
        leaving = replace(leaving, stage_at=leaving.stage_at + by, until=until)
    return not_to_come(advanced(state, candidate=candidate, retiring=leaving), now)


def _forget(state: ReleaseState, seen: ReleaseObservation) -> ReleaseState:
    """What was said of a wish ends with it: what was withdrawn is tried again only after something else was wished."""
    said = {"withdrawn": state.withdrawn, "deferred": state.deferred, "override": state.override}
    over = [name for name, about in said.items() if about is not None and not is_same(about, seen)]
    return advanced(state, **dict.fromkeys(over)) if over else state


def _start(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> Move:
    if stable_hash(state, seen) == seen.template_hash:
        return Move(advanced(state, stable_requested=seen.requested))
    idle = state.retiring is None or state.retiring.stage is Leaving.WARM
    warm = warm_again(state, seen)
    waits = is_upgrade(state, seen) and not seen.turn
    # What is warm works on the schema as the contract leaves it, and migrates nothing.
    waits = waits or (runs(state) and warm is None)
    if is_tried(state, seen) or waits or (warm is None and not (idle and seen.may_start)):
        return Move(state)
    deferred = state.deferred
    begins_at = deferred.step if deferred is not None else 0
    gate = start_gate(state, seen, policy, now, step=begins_at, starts=not has_pods(state))
    # What is warm is no new release: people go back to it whatever the market does.
    if gate is not None and warm is None:
        return Move(state, held=gate.held, at=gate.at)
    if deferred is not None and warm is None:
        return take_up(state, deferred, now)
    number = warm.release if warm is not None else next_number(state, seen)
    slot = other(state.stable.slot) if state.stable is not None else "a"
    serving = seen.slots[state.stable.slot].components if state.stable is not None else {}
    floor = {part: entry.wanted for part, entry in serving.items()}
    candidate = Candidate(
        slot,
        number,
        seen.template_hash,
        Stage.STARTING if warm is not None else Stage.RECORDING,
        started_at=now,
        stage_at=now,
        floor=floor,
        requested=seen.requested,
        at_once=warm is not None,
        schema=warm.schema if warm is not None else None,
    )
    news = Announce("ReleaseStarted", f"release {number} takes slot {slot}{_why(state, seen, candidate)}")
    started = advanced(
        state, last=max(number, state.last), candidate=candidate, retiring=None, finished_at=None, withdrawn=None
    )
    return Move(started, (news,))


def _why(state: ReleaseState, seen: ReleaseObservation, candidate: Candidate) -> str:
    if candidate.at_once:
        return ", where it is still warm: it gets all the weight when its pods answer"
    if state.pin is not None:
        return ", by its record"
    return ": the same version, as this operator renders it" if is_upgrade(state, seen) else ""


def _advance(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> Move:
    candidate = state.candidate
    if candidate is None:
        return Move(state)
    same, back = is_same(candidate, seen), takes_back(state, candidate, seen, policy, now)
    if not same and not back:
        news = Announce("ReleaseSuperseded", f"release {candidate.release} gives way to a newer specification")
        return _supersede(state, candidate, seen, policy, now, news)
    lost = candidate.stage is not Stage.RECORDING and lost_record(candidate, seen)
    if lost and not back:
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
            moved = _carrying(state, candidate, seen, policy, now)
            return moved if same else _waited_for(moved, seen, policy, now)


def _waited_for(moved: Move, seen: ReleaseObservation, policy: Policy, now: datetime) -> Move:
    """What was gone back to at once, and a newer wish waits for: people stay there when its time is over.

    It has all the weight already. That evidence is lacking, or both releases fail, must not keep the mend away.
    """
    candidate = moved.state.candidate
    if candidate is None or candidate.stage is not Stage.HOLDING or not policy.rising:
        return moved
    if not seen.slots[candidate.slot].serving:
        return moved
    begun = candidate.step_started_at or now
    if (now - begun).total_seconds() < _hold(candidate, policy):
        return moved
    promoted = promote(moved.state, candidate, policy, now)
    return replace(promoted, once=(*moved.once, *promoted.once))


def _supersede(
    state: ReleaseState,
    candidate: Candidate,
    seen: ReleaseObservation,
    policy: Policy,
    now: datetime,
    news: Announce,
) -> Move:
    """Another takes its place: weight away first. Without weight nobody was there, and the slot is free at once."""
    if candidate.stage in {Stage.SHIFTING, Stage.HOLDING} and state.stable is not None:
        return Move(advanced(state, candidate=None, retiring=going_down(candidate, now), finished_at=now), (news,))
    if candidate.weight and seen.route.weights.get(candidate.slot):
        # A first release has all the weight and nothing to take it over: it serves until the newer one does.
        return promote(state, candidate, policy, now)
    return Move(advanced(state, candidate=None, retiring=still_warm(candidate, policy, now)), (news,))


def _recording(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, now: datetime) -> Move:
    if candidate.release in seen.taken:
        words = f"the name of record {candidate.release} belongs to somebody else's object: the next number is taken"
        return Move(advanced(state, candidate=None), (Announce("NameTaken", words, warning=True),))
    found = seen.records.get(candidate.release)
    if found is None:
        # Nothing is made of it yet, so it may follow another version of the operator.
        return Move(advanced(state, candidate=replace(candidate, template_hash=seen.template_hash)))
    if found != candidate.template_hash:
        return Move(advanced(state, candidate=None))
    if seen.migration.failed:
        # Of a run before this one, of the same record: what failed then may do now.
        return Move(state, (Migrate(candidate.release, again=True),))
    return Move(staged(state, candidate, Stage.MIGRATING, now))


def _migrating(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, now: datetime) -> Move:
    if seen.migration.succeeded:
        kept = seen.kept.get(candidate.release)
        known = replace(candidate, schema=seen.migration.schema or (kept.schema if kept is not None else None))
        # Unknown is not refused: its own migrations would have failed on what they do not know.
        if known.schema is not None and state.stable is not None and not can_do_without(known.schema, state.contracted):
            return withdraw(state, known, Failure("SchemaContracted", crossed(known.release, state.contracted)), now)
        return Move(staged(state, known, Stage.STARTING, now))
    if not seen.migration.failed:
        return Move(state)
    if state.stable is not None:
        return withdraw(
            state, candidate, Failure("MigrationFailed", explain(seen.migration.message, seen.migration.mend)), now
        )
    if (now - candidate.stage_at).total_seconds() < MIGRATION_RETRY_SECONDS:
        return Move(state)
    again = Migrate(candidate.release, again=True)
    return Move(advanced(state, candidate=replace(candidate, stage_at=now)), (again,))


def _starting(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> Move:
    slot = seen.slots[candidate.slot]
    candidate = probing_itself(state, candidate, seen)
    state = advanced(state, candidate=candidate)
    there = slot.release == candidate.release and slot.complete and (slot.open or not opening(candidate))
    there = there and not slot.unreached
    if there and is_waited_for(state, candidate, seen, now):
        return Move(state)
    if there:
        gate = start_gate(state, seen, policy, now, step=_index(candidate, policy), starts=False)
        gate = gate if not candidate.at_once else None
        if candidate.paused is not None:
            return Move(state, held=_paused(candidate.paused))
        if gate is not None:
            return Move(state, held=gate.held, at=gate.at)
        weight = policy.steps[_index(candidate, policy)].weight if state.stable is not None else FULL
        ready = replace(
            candidate,
            weight=weight,
            restarts={uid: count for uid, count in slot.restarts.items() if count},
            pods=slot.ready_pods(),
        )
        news = Announce("ReleaseWeight", f"release {candidate.release} is ready and gets weight {weight / 10:g}")
        moved = staged(state, ready, Stage.SHIFTING, now)
        lacks = without_prober(moved, seen)
        return Move(moved, (news, Announce("ProberMissing", lacks, warning=True)) if lacks else (news,))
    waited = (now - candidate.stage_at).total_seconds()
    if state.stable is None or waited < policy.start_budget:
        return Move(state)
    message = f"not ready after {waited:.0f} s: {slot.shortfall()}. {slot.waiting}".strip()
    if slot.complete and not slot.unreached:
        message = f"its pods were told to serve again, and did not within {waited:.0f} s"
    failure = Failure("NotReadyInTime", message, f"{waited:.0f}s", f"{policy.start_budget:g}s")
    return withdraw(state, candidate, failure, now)


def _carrying(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> Move:
    if state.stable is None:
        return promote(state, candidate, policy, now) if routed(state, seen) else Move(state)
    judged = analyse(candidate, seen, policy, now)
    if judged.failure is not None:
        return withdraw(state, judged.candidate, judged.failure, now)
    moved = advanced(state, candidate=judged.candidate)
    gate = open_gate(state, seen, policy, now) if not candidate.at_once else None
    gives_way = gate is not None and gate.held.reason == MARKET_OPEN and not policy.hold_on_open
    if gate is not None and gives_way and seen.slots[state.stable.slot].serving:
        return set_aside(moved, judged.candidate, gate, policy, now)
    if not routed(state, seen):
        return Move(moved, held=judged.held)
    if gate is not None and candidate.stage is Stage.HOLDING:
        return Move(moved, held=judged.held or gate.held, at=gate.at)
    if candidate.stage is Stage.SHIFTING:
        held = replace(judged.candidate, step_started_at=now, held=0.0)
        return Move(staged(moved, held, Stage.HOLDING, now), held=judged.held)
    return _holding(moved, judged, seen, policy, now)


def _holding(state: ReleaseState, judged: Analysis, seen: ReleaseObservation, policy: Policy, now: datetime) -> Move:
    candidate = judged.candidate
    if candidate.paused is not None:
        return Move(state, held=judged.held or _paused(candidate.paused))
    if not _due(candidate, seen, policy):
        # That the step lacks requests is news only once it could end.
        held = judged.held if judged.held is not None and judged.held.now else None
        if policy.steps[_index(candidate, policy)].manual:
            return Move(state, held=held or _waits_for_promote(candidate, policy))
        least = min(STORED_MOST, max(STORED_LEAST, _hold(candidate, policy) * STORED_PART))
        if seen.judged < least:
            return Move(state, held=held)
        learnt = seen.look.learnt() if seen.look is not None else candidate.evidence
        held_for = candidate.held + seen.judged
        stored = replace(candidate, held=held_for, evidence=learnt, checks=judged.counts)
        return Move(advanced(state, candidate=stored), held=held)
    if not _as_many_as_stable(state, candidate, seen):
        return Move(state, held=judged.held or TOO_FEW_PODS)
    if not judged.good:
        return Move(state, held=judged.held)
    if _index(candidate, policy) + 1 >= len(policy.steps):
        return promote(state, candidate, policy, now)
    return _next_step(state, candidate, seen, policy, now)


def _index(candidate: Candidate, policy: Policy) -> int:
    """Index of the candidate's step; the specification may have fewer steps by now."""
    return min(candidate.step, len(policy.steps) - 1)


def _hold(candidate: Candidate, policy: Policy) -> float:
    return policy.steps[_index(candidate, policy)].hold


def _due(candidate: Candidate, seen: ReleaseObservation, policy: Policy) -> bool:
    """Whether the step was judged for as long as it holds, or a person ended it: nobody's absence does."""
    if candidate.step_started_at is None or candidate.paused is not None or not policy.rising:
        return False
    return candidate.ended or candidate.full or candidate.held + seen.judged >= _hold(candidate, policy)


def _paused(pause: Pause) -> Held:
    who = f" by {pause.by}" if pause.by else ""
    why = f": {pause.reason}" if pause.reason else ""
    return Held("ReleasePaused", f"paused{who}{why}; so since {render_time(pause.since)}, and judged on")


def _waits_for_promote(candidate: Candidate, policy: Policy) -> Held | None:
    if not policy.rising:
        return None
    number, of = _index(candidate, policy) + 1, len(policy.steps)
    words = f"step {number}/{of} with weight {candidate.weight / 10:g} waits for promote"
    return Held("WaitsForPromote", f"{words}: a person ends its hold")


def _as_many_as_stable(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation) -> bool:
    """Whether it has the pods for more weight: all that it asks for, and no fewer than the stable release has now."""
    own = seen.slots[candidate.slot]
    stable = seen.slots[state.stable.slot].ready_pods() if state.stable is not None else {}
    return own.complete and all(entry.wanted >= stable.get(part, 0) for part, entry in own.components.items())


def _next_step(
    state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime
) -> Move:
    number = len(policy.steps) - 1 if candidate.full else candidate.step + 1
    weight = max(candidate.weight, policy.steps[number].weight)
    pods = seen.slots[candidate.slot].ready_pods()
    learnt = seen.look.learnt(next_step=True) if seen.look is not None else {}
    moved = replace(
        candidate, step=number, weight=weight, step_started_at=None, held=0.0, ended=False, pods=pods, evidence=learnt
    )
    news = Announce("ReleaseWeight", f"release {candidate.release} gets weight {weight / 10:g}")
    return Move(staged(state, moved, Stage.SHIFTING, now), (news,))
