"""Analysis of a release that has weight: hard signals withdraw it at once, soft ones after their limit or budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from .check import JUDGED, Check, Finding, Word
from .error_rate import ErrorRate
from .observation import ReleaseObservation, SlotObservation
from .policy import Policy
from .state import Candidate, render_time

#: Checks in force, in the order in which their findings are taken.
CHECKS: tuple[Check, ...] = (ErrorRate(),)
#: Failing samples closer together than this are one.
SPACING_SECONDS = 0.9
#: Missing evidence is said after so long: the first visitors of a new weight take a moment to come and to be counted.
SAID_AFTER_SECONDS = 10.0


@dataclass(frozen=True)
class Failure:
    """Why a release must go: a reason of one word, value and limit in plain words."""

    reason: str
    message: str
    value: str | None = None
    limit: str | None = None


@dataclass(frozen=True)
class Held:
    """Why a release does not go on although nothing is proved against it; `failing` when something is."""

    reason: str
    message: str
    failing: bool = False


@dataclass(frozen=True)
class Analysis:
    """The candidate with its counters moved on; whether it may advance now; why it is held, or why it must go."""

    candidate: Candidate
    good: bool
    failure: Failure | None = None
    held: Held | None = None


def analyse(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Analysis:
    """Of a candidate that has weight. Counters change only with the verdict: a steady good state writes nothing."""
    slot = seen.slots[candidate.slot]
    failure = hard_failure(candidate, slot)
    if failure is not None:
        return Analysis(candidate, good=False, failure=failure)
    candidate, failure = _judge_readiness(candidate, slot, policy, now)
    if failure is not None:
        return Analysis(candidate, good=False, failure=failure)
    if policy.error_rate_disabled:
        return Analysis(candidate, good=slot.complete)
    for check in CHECKS:
        judged = _count(check, check.look(candidate, seen, policy, now), candidate, policy, now)
        candidate = judged.candidate
        if judged.failure is not None or not judged.good:
            return judged
    return Analysis(candidate, good=slot.complete)


def was_judged(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> bool:
    """Whether this moment counts as judged: every check had its evidence. Else the step's hold stands still."""
    if policy.error_rate_disabled:
        return True
    return all(check.look(candidate, seen, policy, now).word in JUDGED for check in CHECKS)


def hard_failure(candidate: Candidate, slot: SlotObservation) -> Failure | None:
    """A restart, a kill for lack of memory, or a component with no ready endpoint, while people are sent there.

    A component whose pods were taken away (a node was drained, a pod was deleted) and start anew is not at fault.
    """
    for uid, (pod, ends) in slot.oom_killed.items():
        if ends > candidate.restarts.get(uid, 0):  # not what happened before it had weight
            return Failure("OutOfMemory", f"a container of {pod} was killed for lack of memory", "1", "0")
    grown = sum(max(0, count - candidate.restarts.get(uid, 0)) for uid, count in slot.restarts.items())
    if grown:
        return Failure("ContainerRestarted", f"{grown} container restarts, the limit is 0", str(grown), "0")
    dead = [part for part, seen in slot.components.items() if not seen.ready and not seen.replaced]
    return _no_endpoint(dead) if dead or not slot.components else None


def _no_endpoint(components: list[str], since: str = "") -> Failure:
    whose = " and ".join(components) or "the release"
    message = f"{whose}: 0 ready pods behind a weight above 0{since}, at least 1 is needed"
    return Failure("NoReadyEndpoint", message, "0", "1")


def _judge_readiness(
    candidate: Candidate, slot: SlotObservation, policy: Policy, now: datetime
) -> tuple[Candidate, Failure | None]:
    """Too few ready pods, of what it had when it got its weight: that it is to have more by now is not its fault."""
    gone = [part for part, seen in slot.components.items() if not seen.ready]
    short = {
        part: seen
        for part, seen in slot.components.items()
        if seen.ready + seen.starting < min(seen.wanted, candidate.pods.get(part, seen.wanted))
    }
    if not gone and not short:
        return replace(candidate, unready_since=None), None
    if candidate.unready_since is None:
        return replace(candidate, unready_since=now), None
    waited = (now - candidate.unready_since).total_seconds()
    if gone and waited >= policy.replace_budget:
        return candidate, _no_endpoint(gone, f" for {waited:.0f} s")
    if gone or waited < policy.unready_budget:
        return candidate, None
    part, seen = next(iter(short.items()))
    needed = min(seen.wanted, candidate.pods.get(part, seen.wanted))
    message = f"{part}: {seen.ready} of {needed} pods ready for {policy.unready_budget:g} s"
    return candidate, Failure("TooFewReady", message, str(seen.ready), str(needed))


def _count(check: Check, finding: Finding, candidate: Candidate, policy: Policy, now: datetime) -> Analysis:
    """What a finding does to the candidate's counters, and whether a limit or budget is passed."""
    clear = replace(candidate, no_data_since=None, low_since=None, both_since=None)
    match finding.word:
        case Word.GOOD:
            return Analysis(replace(clear, failures=0), good=True)
        case Word.OPEN:
            return Analysis(clear, good=False)
        case Word.FAILING:
            return _failing(check, finding, clear, policy)
        case Word.BOTH_FAILING:
            since = candidate.both_since or now
            return _both_failing(finding, replace(clear, both_since=since), since, policy, now)
        case Word.LOW_TRAFFIC:
            since = candidate.low_since or now
            said = (now - since).total_seconds() >= SAID_AFTER_SECONDS
            held = Held("LowTraffic", f"{finding.holding}; so since {render_time(since)}") if said else None
            return Analysis(replace(clear, low_since=since), good=False, held=held)
        case Word.NO_DATA | Word.NO_SERVER:
            return _silent(finding, replace(clear, no_data_since=candidate.no_data_since), policy, now)


def _failing(check: Check, finding: Finding, candidate: Candidate, policy: Policy) -> Analysis:
    last = candidate.sampled_at
    if last is not None and 0 <= (finding.at - last).total_seconds() < SPACING_SECONDS:
        return Analysis(candidate, good=False)
    counted = replace(candidate, failures=candidate.failures + 1, sampled_at=finding.at)
    if counted.failures < policy.failure_limit:
        return Analysis(counted, good=False)
    times = "1 sample" if counted.failures == 1 else f"{counted.failures} samples without a good one between them"
    failure = Failure(check.reason, f"{finding.message}, in {times}", finding.value, finding.limit)
    return Analysis(counted, good=False, failure=failure)


def _both_failing(finding: Finding, candidate: Candidate, since: datetime, policy: Policy, now: datetime) -> Analysis:
    budget = policy.hold_budget
    if (now - since).total_seconds() < budget:
        both = f"{finding.holding}, and of the stable release too"
        message = f"{both}: held since {render_time(since)}, {budget:g} s at most"
        return Analysis(candidate, good=False, held=Held("BothFailing", message, failing=True))
    message = f"{finding.message}; the stable release failed as well, so that it was held for {budget:g} s"
    failure = Failure("BothFailing", message, finding.value, finding.limit)
    return Analysis(candidate, good=False, failure=failure)


def _silent(finding: Finding, candidate: Candidate, policy: Policy, now: datetime) -> Analysis:
    """Evidence is missing. Its budget begins when people were first sent there: the Gateway has accepted a weight."""
    if candidate.step_started_at is None and candidate.step == 0:
        return Analysis(candidate, good=False)
    reason = "MetricsUnavailable" if finding.word is Word.NO_SERVER else "NoData"
    since = candidate.no_data_since or now
    silent, budget = (now - since).total_seconds(), policy.no_data_budget
    candidate = replace(candidate, no_data_since=since)
    if silent < budget:
        message = f"{finding.holding}: held since {render_time(since)}, {budget:g} s at most"
        held = Held(reason, message) if silent >= SAID_AFTER_SECONDS else None
        return Analysis(candidate, good=False, held=held)
    message = f"{finding.message}, for {silent:.0f} s; the limit is {budget:g} s"
    return Analysis(candidate, good=False, failure=Failure(reason, message, f"{silent:.0f}s", f"{budget:g}s"))
