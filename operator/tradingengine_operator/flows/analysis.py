"""Analysis of a release that has weight: hard signals withdraw it at once, soft ones after their limit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from tradingengine_operator.samples import Kind, Sample

from .observation import Policy, ReleaseObservation, SlotObservation
from .state import Candidate

#: Samples closer together than this are one sample, since wake-ups may follow each other fast.
SAMPLE_SPACING = timedelta(seconds=0.9)


@dataclass(frozen=True)
class Failure:
    """Why a release must go: a reason of one word, value and limit in plain words."""

    reason: str
    message: str
    value: str | None = None
    limit: str | None = None


@dataclass(frozen=True)
class Analysis:
    """The candidate with its counters moved on; whether it may advance now; or why it must go."""

    candidate: Candidate
    good: bool
    failure: Failure | None = None


def analyse(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Analysis:
    """Judges a candidate that has weight. Counters change only with the verdict: a steady good state writes nothing."""
    slot = seen.slots[candidate.slot]
    failure = hard_failure(candidate, slot)
    if failure is not None:
        return Analysis(candidate, good=False, failure=failure)
    candidate, failure = _analyse_readiness(candidate, slot, policy, now)
    if failure is not None:
        return Analysis(candidate, good=False, failure=failure)
    if policy.error_rate_disabled:
        return Analysis(candidate, good=slot.complete)
    judged = _analyse_errors(candidate, seen, policy, now)
    return replace(judged, good=judged.good and slot.complete)


def hard_failure(candidate: Candidate, slot: SlotObservation) -> Failure | None:
    """No ready endpoint, a restart, or a kill for lack of memory, while people are sent there."""
    if slot.oom_killed:
        return Failure("OutOfMemory", f"a container of {slot.oom_killed} was killed for lack of memory", "1", "0")
    grown = sum(max(0, count - candidate.restarts.get(uid, 0)) for uid, count in slot.restarts.items())
    if grown:
        return Failure("ContainerRestarted", f"{grown} container restarts, the limit is 0", str(grown), "0")
    if slot.ready == 0:
        return Failure("NoReadyEndpoint", "0 ready pods behind a weight above 0, at least 1 is needed", "0", "1")
    return None


def _analyse_readiness(
    candidate: Candidate, slot: SlotObservation, policy: Policy, now: datetime
) -> tuple[Candidate, Failure | None]:
    if slot.ready + slot.starting >= slot.wanted:
        return replace(candidate, unready_since=None), None
    if candidate.unready_since is None:
        return replace(candidate, unready_since=now), None
    if (now - candidate.unready_since).total_seconds() < policy.unready_budget:
        return candidate, None
    message = f"{slot.ready} of {slot.wanted} pods ready for {policy.unready_budget:g} s"
    return candidate, Failure("TooFewReady", message, str(slot.ready), str(slot.wanted))


def _analyse_errors(candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Analysis:
    sample = seen.canary_errors
    if sample is None or sample.kind is not Kind.VALUE or sample.value is None:
        return _without_data(candidate, sample, policy, now)
    if sample.value <= policy.error_rate:
        return Analysis(replace(candidate, failures=0, sampled_at=None, no_data_since=None), good=True)
    if _exceeds(seen.stable_errors, policy.error_rate):
        return Analysis(replace(candidate, no_data_since=None), good=False)
    return _failed_sample(replace(candidate, no_data_since=None), sample.at, sample.value, policy)


def _failed_sample(candidate: Candidate, at: datetime, value: Decimal, policy: Policy) -> Analysis:
    if candidate.sampled_at is not None and at - candidate.sampled_at < SAMPLE_SPACING:
        return Analysis(candidate, good=False)
    counted = replace(candidate, failures=candidate.failures + 1, sampled_at=at)
    if counted.failures < policy.failure_limit:
        return Analysis(counted, good=False)
    shown, limit = f"{value:.4f}", str(policy.error_rate)
    message = f"error rate {shown} above the limit {limit} in {counted.failures} samples in a row"
    return Analysis(counted, good=False, failure=Failure("ErrorRate", message, shown, limit))


def _without_data(candidate: Candidate, sample: Sample | None, policy: Policy, now: datetime) -> Analysis:
    if candidate.no_data_since is None:
        return Analysis(replace(candidate, no_data_since=now), good=False)
    silent = (now - candidate.no_data_since).total_seconds()
    if silent < policy.no_data_budget:
        return Analysis(candidate, good=False)
    no_server = sample is not None and sample.kind is Kind.NO_SERVER
    cause = "the metrics server did not answer" if no_server else "no request was counted"
    message = f"{cause} for {silent:.0f} s, the limit is {policy.no_data_budget:g} s"
    reason = "MetricsUnavailable" if no_server else "NoData"
    failure = Failure(reason, message, f"{silent:.0f}s", f"{policy.no_data_budget:g}s")
    return Analysis(candidate, good=False, failure=failure)


def _exceeds(sample: Sample | None, limit: Decimal) -> bool:
    return sample is not None and sample.value is not None and sample.value > limit
