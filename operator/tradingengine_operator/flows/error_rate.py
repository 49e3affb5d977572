"""The check `error-rate`: the share of requests that a component answers with 5xx, beside the stable release's.

Windows are disjoint where it counts: none reaches back before the last failing sample, so one bad answer counts once.
A component that clients do not ask is judged by the operator's own requests to its pods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from tradingengine_operator.builders import names
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.samples import Counts, Kind, OwnAnswer, Sample

from .check import Finding, Word
from .observation import ReleaseObservation
from .policy import Policy
from .state import Candidate

#: A window is this long, or as long as the last failing sample is past; a mended fault is forgotten after it.
WINDOW_SECONDS = 10.0
#: Longer ones, for a component that had too few requests in it.
LONGER_SECONDS = (30.0, 60.0, 120.0, 300.0)
#: A shorter one holds less than the second in which the metrics server asks each pod once.
SHORTEST_SECONDS = 0.9
#: So many requests that should have come and did not are no accident of little traffic.
DUE_REQUESTS = 10
#: A release fails on its own account above the limit, twice the stable release's share, or that and a fifth.
TIMES_STABLE, ABOVE_STABLE = 2, Decimal("0.2")


def windows(candidate: Candidate, now: datetime) -> tuple[float, ...]:
    """Windows to ask for, in seconds before now; none while the last failing sample is too fresh."""
    if candidate.sampled_at is None:
        return (WINDOW_SECONDS, *LONGER_SECONDS)
    past = (now - candidate.sampled_at).total_seconds()
    if past < 0:  # the clock was set back: nothing is known of that time
        return (SHORTEST_SECONDS,)
    if past < SHORTEST_SECONDS:
        return ()
    return (min(past, WINDOW_SECONDS), *(length for length in LONGER_SECONDS if length <= past))


@dataclass(frozen=True)
class ErrorRate:
    """The check, with nothing of its own."""

    name: str = "error-rate"
    reason: str = "ErrorRate"

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """The worst of its components; no component is hidden by another's good figures."""
        sample = seen.canary
        if sample is None:
            return Finding(Word.OPEN, now)
        if sample.kind is Kind.NO_SERVER:
            silent = "the metrics server did not answer"
            return Finding(Word.NO_SERVER, sample.at, f"{silent} ({sample.detail})", silent)
        findings = [_of_component(component, candidate, seen, sample, policy) for component in names.SLOT_COMPONENTS]
        asked = [sample.enough(component, policy.min_samples) for component in names.SLOT_COMPONENTS]
        if not any(asked) and all(found.word is Word.GOOD for found in findings):
            return _without_clients(candidate, seen, sample, policy)
        return min(findings, key=lambda found: _WORST_FIRST.index(found.word))


_WORST_FIRST = (
    Word.FAILING,
    Word.BOTH_FAILING,
    Word.NO_DATA,
    Word.OPEN,
    Word.GOOD,
)


def _of_component(
    component: names.SlotComponent, candidate: Candidate, seen: ReleaseObservation, sample: Sample, policy: Policy
) -> Finding:
    found = sample.enough(component, policy.min_samples)
    if found is None:
        return _by_own_request(component, seen, sample.at)
    length, counts = found
    limit = policy.error_rate
    if counts.share <= limit:
        # After a failing sample only a whole good window says that the fault is gone.
        whole = candidate.failures == 0 or length >= WINDOW_SECONDS
        return Finding(Word.GOOD if whole else Word.OPEN, sample.at)
    said = f"{counts.share:.4f}"
    counted = f"{counts.failed} of {counts.requests} requests in {length:.1f} s"
    message = f"error rate of the {component} {said} above the limit {limit} ({counted})"
    holding = f"error rate of the {component} above the limit {limit}"
    finding = Finding(Word.FAILING, sample.at, message, holding, said, str(limit))
    stable = _stable_share(component, seen, length, policy)
    if stable is not None and stable > limit and counts.share <= min(stable * TIMES_STABLE, stable + ABOVE_STABLE):
        return replace(finding, word=Word.BOTH_FAILING)
    return finding


def _stable_share(component: str, seen: ReleaseObservation, length: float, policy: Policy) -> Decimal | None:
    """Share of failed requests of the stable release in the same window, None when it had too few."""
    if seen.stable is None or seen.stable.kind is Kind.NO_SERVER:
        return None
    counts: Counts | None = seen.stable.windows.get(length, {}).get(component)
    return counts.share if counts is not None and counts.requests >= policy.min_samples else None


def _by_own_request(component: names.SlotComponent, seen: ReleaseObservation, at: datetime) -> Finding:
    """A component that too few clients asked. It is no evidence for people, but that its pods answer pages at all."""
    own = seen.own_answers.get(component)
    if own is None or own.status is None:
        silent = f"the {component} answered neither clients nor the operator's own request to port {names.HTTP_PORT}"
        return Finding(Word.NO_DATA, at, f"{silent} ({own.detail})" if own is not None else silent, silent)
    if not own.failed:
        return Finding(Word.GOOD, at)
    message = f"the {component} answered the operator's own request with {own.status}"
    finding = Finding(Word.FAILING, at, message, message, str(own.status), "499")
    stable: OwnAnswer | None = seen.stable_own_answers.get(component)
    if stable is not None and stable.failed:
        return replace(finding, word=Word.BOTH_FAILING)
    return finding


def _without_clients(candidate: Candidate, seen: ReleaseObservation, sample: Sample, policy: Policy) -> Finding:
    """No component was asked enough: does the weight explain it, or should requests have come?"""
    length, counted = sample.requests()
    of_stable = seen.stable.requests() if seen.stable is not None else (0.0, 0)
    share = candidate.weight / FULL
    due = of_stable[1] * share / (1 - share) * policy.no_data_budget / of_stable[0] if share < 1 and of_stable[0] else 0
    if 0 < due < DUE_REQUESTS:
        message = (
            f"a weight of {candidate.weight / 10:g} % brings fewer than minSamples ({policy.min_samples}) requests"
            f" in {LONGER_SECONDS[-1]:.0f} s: the release is held until it has been judged. Wait, or raise the weight"
        )
        return Finding(Word.LOW_TRAFFIC, sample.at, message, message)
    about = f", about {due:.0f} were due in {policy.no_data_budget:g} s"
    expected = about if due else ", of the stable release neither"
    few = "no request was counted" if not counted else f"{counted} requests were counted in {length:g} s"
    return Finding(Word.NO_DATA, sample.at, few + expected, "too few requests were counted")
