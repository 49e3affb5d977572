"""Analysis of a release that has weight: hard signals withdraw it at once, soft ones after their limit or budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

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
    """The candidate with its counters moved on; whether it may advance now; why it is held, or why it must go."""

    candidate: Candidate
    good: bool
    failure: Failure | None = None
    held: Held | None = None


def checks_of(policy: Policy) -> tuple[Check, ...]:
    """Checks in force, in the order in which their findings are told."""
    judged = (OwnCheck(check) if check.query is not None else ShareCheck(check) for check in policy.enabled)
    probes = policy.check(PROBES)
    return (Alive(), *judged, *((VerdictCheck(probes),) if probes is not None else ()))


def analyse(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Analysis:
    """Of a candidate that has weight. Counters change only with the verdict: a steady good state writes nothing.

    Every check has its turn and its own counters, so that one that fails hides no other.
    """
    slot = seen.slots[candidate.slot]
    failure = hard_failure(candidate, slot)
    if failure is not None:
        return _given_up(candidate, seen, failure)
    candidate, failure = _judge_readiness(candidate, slot, policy, now)
    if failure is not None:
        return _given_up(candidate, seen, failure)
    counts: dict[str, CheckCount] = {}
    judged = []
    for check in checks_of(policy):
        finding = check.look(candidate, seen, policy, now)
        found = _count(check, finding, candidate, policy, now)
        if found.failure is not None:
            found = replace(found, failure=replace(found.failure, check=check.name, query=finding.query))
        judged.append(found)
        if found.count != CheckCount():
            counts[check.name] = found.count
    candidate = candidate if counts == candidate.checks else replace(candidate, checks=counts)
    failures = [found.failure for found in judged if found.failure is not None]
    if failures:
        return _given_up(candidate, seen, _together(failures))
    held = sorted((found.held for found in judged if found.held is not None), key=_said_first)
    good = slot.complete and not slot.unreached and all(found.good for found in judged)
    return Analysis(candidate, good, held=held[0] if held else None)


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
    """What one check's finding means: its counters moved on, and whether it lets the release go on."""

    count: CheckCount
    good: bool = False
    failure: Failure | None = None
    held: Held | None = None


def _count(check: Check, finding: Finding, candidate: Candidate, policy: Policy, now: datetime) -> _Judged:
    """What a finding does to a check's counters, and whether a limit or budget is passed."""
    before = candidate.checks.get(check.name, CheckCount())
    clear = replace(before, silent_since=None, both_since=None)
    match finding.word:
        case Word.GOOD | Word.NOT_APPLICABLE:
            return _Judged(CheckCount(), good=finding.word in PASSES)
        case Word.OPEN | Word.EARLY:
            return _Judged(clear if finding.word is Word.OPEN else before)
        case Word.FEW:
            began = candidate.step_started_at
            said = began is not None and (now - began).total_seconds() >= SAID_AFTER_SECONDS
            return _Judged(CheckCount(), held=Held("LowTraffic", finding.holding, now=False) if said else None)
        case Word.LOW_TRAFFIC:
            return _Judged(clear, held=Held("LowTraffic", finding.holding))
        case Word.BROKEN:
            return _Judged(clear, held=Held("CheckBroken", finding.holding, failing=True))
        case Word.PROVED:
            return _Judged(clear, failure=_failure(check, finding))
        case Word.FAILING:
            return _failing(check, finding, clear)
        case Word.BOTH_FAILING:
            both = replace(clear, both_since=before.both_since or now)
            return _both_failing(finding, both, candidate, policy, now)
        case Word.NO_DATA | Word.NO_SERVER:
            return _silent(finding, before, candidate, policy, now)


def _failure(check: Check, finding: Finding) -> Failure:
    return Failure(check.reason, finding.message, finding.value, finding.limit)


def _failing(check: Check, finding: Finding, count: CheckCount) -> _Judged:
    last = count.failed_at
    over = count.failures >= check.failure_limit
    if last is not None and not over and 0 <= (finding.at - last).total_seconds() < SPACING_SECONDS:
        return _Judged(count)
    # One that is held although it must go counts no further: each number would be stored.
    counted = count if over else replace(count, failures=count.failures + 1, failed_at=finding.at)
    if counted.failures < check.failure_limit:
        return _Judged(counted)
    times = "1 sample" if counted.failures == 1 else f"{counted.failures} samples without a good one between them"
    failure = _failure(check, finding)
    return _Judged(counted, failure=replace(failure, message=f"{finding.message}, in {times}"))


def _both_failing(finding: Finding, count: CheckCount, candidate: Candidate, policy: Policy, now: datetime) -> _Judged:
    budget, since = policy.hold_budget, count.both_since or now
    if candidate.at_once or (now - since).total_seconds() < budget:
        both = f"{finding.holding}, and of the stable release too"
        message = f"{both}: {_held_since(since, budget, candidate)}"
        return _Judged(count, held=Held("BothFailing", message, failing=True))
    message = f"{finding.message}; the stable release failed as well, so that it was held for {budget:g} s"
    return _Judged(count, failure=Failure("BothFailing", message, finding.value, finding.limit))


def _held_since(since: datetime, budget: float, candidate: Candidate) -> str:
    """Since when, and for how long at most: what was gone back to at once is left for no lack of evidence.

    A person has left the other release, and nobody is on it: silence of a quiet hour must not bring them all back.
    """
    return f"held since {render_time(since)}" + ("" if candidate.at_once else f", {budget:g} s at most")


def _silent(finding: Finding, before: CheckCount, candidate: Candidate, policy: Policy, now: datetime) -> _Judged:
    """Evidence is missing. Its budget begins when people were first sent there: the Gateway has accepted a weight."""
    count = replace(before, both_since=None)
    if candidate.step_started_at is None and candidate.step == 0:
        return _Judged(replace(count, silent_since=None))
    reason = "MetricsUnavailable" if finding.word is Word.NO_SERVER else "NoData"
    since = before.silent_since or now
    silent, budget = (now - since).total_seconds(), policy.no_data_budget
    count = replace(count, silent_since=since)
    if candidate.at_once or silent < budget:
        message = f"{finding.holding}: {_held_since(since, budget, candidate)}"
        return _Judged(count, held=Held(reason, message) if silent >= SAID_AFTER_SECONDS else None)
    message = f"{finding.message}, for {silent:.0f} s; the limit is {budget:g} s"
    return _Judged(count, failure=Failure(reason, message, f"{silent:.0f}s", f"{budget:g}s"))
