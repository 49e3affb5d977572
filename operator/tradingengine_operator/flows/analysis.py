"""Analysis of a release that has weight: hard signals withdraw it at once, soft ones after their limit or budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .check import JUDGED, PASSES, Check, Finding, Word
from .checks.alive import Alive
from .checks.own import OwnCheck
from .checks.share import ShareCheck
from .checks.verdict import VerdictCheck
from .look import PROBES
from .observation import ReleaseObservation, SlotObservation
from .policy import Policy
from .state import Candidate, CheckCount, other, render_time

#: Failing samples closer together than this are one.
SPACING_SECONDS = 0.9
#: Missing evidence is said after so long: the first visitors of a new weight take a moment to come and to be counted.
SAID_AFTER_SECONDS = 10.0
#: Of several reasons to be held the first one is said.
_SAID_FIRST = ("StableNotServing", "BothFailing", "CheckBroken", "MetricsUnavailable", "NoData", "LowTraffic")


@dataclass(frozen=True)
class Failure:
    """Why a release must go: a reason of one word, value and limit in plain words, which check found it and by what."""

    reason: str
    message: str
    value: str | None = None
    limit: str | None = None
    check: str = ""
    query: str | None = None


@dataclass(frozen=True)
class Held:
    """Why a release does not go on although nothing is proved against it; `failing` when something is.

    Unless it counts `now`, it is worth saying only when the step could end otherwise.
    """

    reason: str
    message: str
    failing: bool = False
    now: bool = True


@dataclass(frozen=True)
class Analysis:
    """The candidate as it is to be stored; whether it may advance now; why it is held, or why it must go.

    `counts` are the counters of its checks, of which the candidate has those that are worth a write.
    """

    candidate: Candidate
    good: bool
    failure: Failure | None = None
    held: Held | None = None
    counts: dict[str, CheckCount] = field(default_factory=dict)


def checks_of(policy: Policy) -> tuple[Check, ...]:
    """Checks in force, in the order in which their findings are told."""
    judged = (OwnCheck(check) if check.query is not None else ShareCheck(check) for check in policy.enabled)
    probes = policy.check(PROBES)
    return (Alive(), *judged, *((VerdictCheck(probes),) if probes is not None else ()))


def analyse(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Analysis:
    """Of a candidate that has weight. Counters are `seen.counts`; where nobody keeps them, those of the candidate.

    Every check has its turn and its own counters, so that one that fails hides no other.
    """
    slot = seen.slots[candidate.slot]
    failure = hard_failure(candidate, slot)
    if failure is not None:
        return _given_up(candidate, seen, failure)
    candidate, failure = _judge_readiness(candidate, slot, policy, now)
    if failure is not None:
        return _given_up(candidate, seen, failure)
    counts = dict(seen.counts) if seen.counts is not None else tally(candidate, seen, policy, now, candidate.checks)
    judged, counted = [], replace(candidate, checks=counts)
    for check in checks_of(policy):
        finding = check.look(counted, seen, policy, now)
        found = _judge(check, finding, counts.get(check.name, CheckCount()), candidate, policy, now)
        if found.failure is not None:
            found = replace(found, failure=replace(found.failure, check=check.name, query=finding.query))
        judged.append(found)
    candidate = _stored(candidate, counts, policy, now)
    failures = [found.failure for found in judged if found.failure is not None]
    if failures:
        return _given_up(candidate, seen, _together(failures))
    held = sorted((found.held for found in judged if found.held is not None), key=_said_first)
    good = slot.complete and not slot.unreached and all(found.good for found in judged)
    return Analysis(candidate, good, held=held[0] if held else None, counts=counts)


def _given_up(candidate: Candidate, seen: ReleaseObservation, failure: Failure) -> Analysis:
    """It must go, if there is somebody to go to: while it serves and the stable release does not, it is held."""
    stable = seen.slots[other(candidate.slot)]
    if stable.serving or not seen.slots[candidate.slot].serving:
        return Analysis(candidate, good=False, failure=failure)
    whose = " and ".join(stable.dead) or "pods"
    words = f"{failure.reason} would withdraw it, but the stable release has no ready {whose} to take its visitors over"
    return Analysis(candidate, good=False, held=Held("StableNotServing", f"{words}: held until it has", failing=True))


def was_judged(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> bool:
    """Whether this moment counts as judged: every check had its evidence. Else the step's hold stands still."""
    return all(check.look(candidate, seen, policy, now).word in JUDGED for check in checks_of(policy))


def _together(failures: list[Failure]) -> Failure:
    """The first one, with the words of the others."""
    return replace(failures[0], message="; ".join(failure.message for failure in failures))


def _said_first(held: Held) -> int:
    return _SAID_FIRST.index(held.reason)


def hard_failure(candidate: Candidate, slot: SlotObservation) -> Failure | None:
    """A restart, a kill for lack of memory, or a component with no ready endpoint, while people are sent there.

    A component whose pods were taken away (a node was drained, a pod was deleted) and start anew is not at fault.
    """
    for uid, (pod, ends) in slot.oom_killed.items():
        if ends > candidate.restarts.get(uid, 0):  # not what happened before it had weight
            words = f"a container of {pod} was killed for lack of memory"
            return Failure("OutOfMemory", words, "1", "0", "memory")
    grown = sum(max(0, count - candidate.restarts.get(uid, 0)) for uid, count in slot.restarts.items())
    if grown:
        words = f"{grown} container restarts, the limit is 0"
        return Failure("ContainerRestarted", words, str(grown), "0", "restarts")
    dead = [part for part, seen in slot.components.items() if not seen.ready and not seen.replaced]
    return _no_endpoint(dead) if dead or not slot.components else None


def _no_endpoint(components: list[str], since: str = "") -> Failure:
    whose = " and ".join(components) or "the release"
    message = f"{whose}: 0 ready pods behind a weight above 0{since}, at least 1 is needed"
    return Failure("NoReadyEndpoint", message, "0", "1", "endpoints")


def _judge_readiness(
    candidate: Candidate, slot: SlotObservation, policy: Policy, now: datetime
) -> tuple[Candidate, Failure | None]:
    """Too few ready pods, of what it had when it got its weight: that it is to have more by now is not its fault.

    A component without a Service has pods that nobody reaches; it is made again at once, where that can be done.
    """
    gone = [part for part, seen in slot.components.items() if not seen.ready]
    short = {
        part: seen
        for part, seen in slot.components.items()
        if seen.ready + seen.starting < min(seen.wanted, candidate.pods.get(part, seen.wanted))
    }
    if not gone and not short and not slot.unreached:
        return replace(candidate, unready_since=None), None
    if candidate.unready_since is None:
        return replace(candidate, unready_since=now), None
    waited = (now - candidate.unready_since).total_seconds()
    if gone and waited >= policy.replace_budget:
        return candidate, _no_endpoint(gone, f" for {waited:.0f} s")
    if gone or waited < policy.unready_budget:
        return candidate, None
    if slot.unreached:
        parts = " and ".join(slot.unreached)
        words = f"{parts}: no Service leads to its pods for {waited:.0f} s, and none could be made"
        return candidate, Failure("NoReadyEndpoint", words, "0", "1", "endpoints")
    part, seen = next(iter(short.items()))
    needed = min(seen.wanted, candidate.pods.get(part, seen.wanted))
    message = f"{part}: {seen.ready} of {needed} pods ready for {policy.unready_budget:g} s"
    return candidate, Failure("TooFewReady", message, str(seen.ready), str(needed), "endpoints")


@dataclass(frozen=True)
class _Judged:
    """What one check's finding means: whether it lets the release go on, why it is held, or why it must go."""

    good: bool = False
    failure: Failure | None = None
    held: Held | None = None


def tally(
    candidate: Candidate,
    seen: ReleaseObservation,
    policy: Policy,
    now: datetime,
    before: Mapping[str, CheckCount],
) -> dict[str, CheckCount]:
    """Counters of each check after this look, those that count anything; `before` are those after the last one."""
    counted = replace(candidate, checks=dict(before))
    found = {
        check.name: _count(check, check.look(counted, seen, policy, now), before.get(check.name), candidate, now)
        for check in checks_of(policy)
    }
    return {name: count for name, count in found.items() if count != CheckCount()}


def _count(
    check: Check, finding: Finding, before: CheckCount | None, candidate: Candidate, now: datetime
) -> CheckCount:
    """What a finding does to a check's counters."""
    before = before or CheckCount()
    clear = replace(before, silent_since=None, both_since=None)
    match finding.word:
        case Word.GOOD | Word.NOT_APPLICABLE | Word.FEW:
            return CheckCount()
        case Word.EARLY:
            return before
        case Word.FAILING:
            return _one_more(check, finding, clear)
        case Word.BOTH_FAILING:
            return replace(clear, both_since=before.both_since or now)
        case Word.NO_DATA | Word.NO_SERVER:
            return replace(clear, silent_since=_silent_since(finding, before, candidate, now))
    return clear


def _one_more(check: Check, finding: Finding, count: CheckCount) -> CheckCount:
    last = count.failed_at
    if last is not None and 0 <= (finding.at - last).total_seconds() < SPACING_SECONDS:
        return count
    # One that is held although it must go counts no further.
    return replace(count, failures=min(count.failures + 1, check.failure_limit), failed_at=finding.at)


def _silent_since(finding: Finding, before: CheckCount, candidate: Candidate, now: datetime) -> datetime | None:
    """Its budget begins when people were first sent there: the Gateway has accepted a weight."""
    accepted = candidate.step_started_at
    if accepted is None and candidate.step == 0:
        return None
    if before.silent_since is not None:
        return before.silent_since
    since = now - timedelta(seconds=finding.missing)
    return max(since, accepted) if accepted is not None and candidate.step == 0 else since


def _stored(candidate: Candidate, counts: dict[str, CheckCount], policy: Policy, now: datetime) -> Candidate:
    """With the counters that are worth a write: a canary with little traffic would have one each few seconds.

    Others are stored with whatever is; an operator that takes over in between counts on from those.
    """
    known = candidate.checks
    lasting = {check.name for check in checks_of(policy) if check.lasting}
    for name in known.keys() | counts.keys():
        stored, newest = known.get(name, CheckCount()), counts.get(name, CheckCount())
        if _is_news(stored, newest, policy, now) or (name in lasting and newest.failures != stored.failures):
            return replace(candidate, checks=counts)
    return candidate


def _is_news(stored: CheckCount, newest: CheckCount, policy: Policy, now: datetime) -> bool:
    """Whether a budget has begun that people are told of, or what was stored is true no more."""
    if not _same(stored.both_since, newest.both_since) or newest.failures < stored.failures:
        return True
    since = newest.silent_since
    said = since is not None and (now - since).total_seconds() >= min(SAID_AFTER_SECONDS, policy.no_data_budget / 2)
    return not _same(stored.silent_since, since) and (said or stored.silent_since is not None)


def _same(stored: datetime | None, newest: datetime | None) -> bool:
    """Whether two times are the same; what is stored is rounded."""
    if stored is None or newest is None:
        return stored is newest
    return abs((stored - newest).total_seconds()) < SPACING_SECONDS


def _judge(
    check: Check, finding: Finding, count: CheckCount, candidate: Candidate, policy: Policy, now: datetime
) -> _Judged:
    """What a finding means, and whether a limit or budget is passed; the counters have it already."""
    low = Held("LowTraffic", finding.low) if finding.low else None
    match finding.word:
        case Word.GOOD | Word.NOT_APPLICABLE:
            return _Judged(good=finding.word in PASSES, held=low)
        case Word.FEW:
            began = candidate.step_started_at
            said = began is not None and (now - began).total_seconds() >= SAID_AFTER_SECONDS
            return _Judged(held=low or (Held("LowTraffic", finding.holding, now=False) if said else None))
        case Word.LOW_TRAFFIC:
            return _Judged(held=Held("LowTraffic", finding.holding))
        case Word.BROKEN:
            return _Judged(held=Held("CheckBroken", finding.holding, failing=True))
        case Word.PROVED:
            return _Judged(failure=_failure(check, finding))
        case Word.FAILING:
            return _failing(check, finding, count)
        case Word.BOTH_FAILING:
            return _both_failing(finding, count, candidate, policy, now)
        case Word.NO_DATA | Word.NO_SERVER:
            return _silent(finding, count, candidate, policy, now)
    return _Judged(held=low)


def _failure(check: Check, finding: Finding) -> Failure:
    return Failure(check.reason, finding.message, finding.value, finding.limit)


def _failing(check: Check, finding: Finding, count: CheckCount) -> _Judged:
    if count.failures < check.failure_limit:
        return _Judged()
    times = "1 sample" if count.failures == 1 else f"{count.failures} samples without a good one between them"
    failure = _failure(check, finding)
    return _Judged(failure=replace(failure, message=f"{finding.message}, in {times}"))


def _both_failing(finding: Finding, count: CheckCount, candidate: Candidate, policy: Policy, now: datetime) -> _Judged:
    budget, since = policy.hold_budget, count.both_since or now
    if candidate.at_once or (now - since).total_seconds() < budget:
        both = f"{finding.holding}, and of the stable release too"
        message = f"{both}: {_held_since(since, budget, candidate)}"
        return _Judged(held=Held("BothFailing", message, failing=True))
    message = f"{finding.message}; the stable release failed as well, so that it was held for {budget:g} s"
    return _Judged(failure=Failure("BothFailing", message, finding.value, finding.limit))


def _held_since(since: datetime, budget: float, candidate: Candidate) -> str:
    """Since when, and for how long at most: what was gone back to at once is left for no lack of evidence.

    A person has left the other release, and nobody is on it: silence of a quiet hour must not bring them all back.
    """
    return f"held since {render_time(since)}" + ("" if candidate.at_once else f", {budget:g} s at most")


def _silent(finding: Finding, count: CheckCount, candidate: Candidate, policy: Policy, now: datetime) -> _Judged:
    """Evidence is missing, for as long as the counter says."""
    since = count.silent_since
    if since is None:
        return _Judged()
    reason = "MetricsUnavailable" if finding.word is Word.NO_SERVER else "NoData"
    silent, budget = (now - since).total_seconds(), policy.no_data_budget
    if candidate.at_once or silent < budget:
        message = f"{finding.holding}: {_held_since(since, budget, candidate)}"
        return _Judged(held=Held(reason, message) if silent >= SAID_AFTER_SECONDS else None)
    message = f"{finding.message}, for {silent:.0f} s; the limit is {budget:g} s"
    return _Judged(failure=Failure(reason, message, f"{silent:.0f}s", f"{budget:g}s"))
