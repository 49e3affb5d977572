"""Built-in checks: a share of requests that may be bad, by a sequential test against the stable release.

Each component and source is judged apart, and the worst one counts: a busy good one hides no quiet broken one. Beside
the test stands a rule for gross faults, which counts failing samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

from tradingengine_operator.api import BUILT_IN
from tradingengine_operator.builders import names
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.check import Finding, Word
from tradingengine_operator.flows.look import CLIENT, GATEWAY, SOURCES, Look, Second
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.policy import CheckPolicy, Policy
from tradingengine_operator.flows.sequential import Evidence
from tradingengine_operator.flows.state import Candidate
from tradingengine_operator.samples import OwnAnswer, Trials

from .alive import FRESH_SECONDS

#: A second with so many answers is a sample, and a failing one when so many of them are bad.
GROSS_ANSWERS, GROSS_SHARE = 5, 0.5
#: A release fails on its own account above twice the stable release's share, or that and a fifth.
TIMES_STABLE, ABOVE_STABLE = 2.0, 0.2
#: Checks of how soon answers come. Where the stable release is late with so many of its own, the machine has too little
#: to give, and new pods feel it the most: that is no fault of theirs.
_OF_TIME, WIDESPREAD = frozenset({"latency-p95", "order-latency", "probes"}), 0.1
#: So many requests that should have come within the budget and did not are none either.
DUE_REQUESTS = 10
#: No request for so many times as long as there is between two on average: one of 150 such times comes by chance.
GAPS = 5.0
#: After so many seconds it is known how many requests the stable release gets.
KNOWN_SECONDS = 10.0
#: What is lacking is said in parts of what is needed, so that the words seldom change.
LACKING_PARTS = 5
_WORST_FIRST = (
    Word.PROVED,
    Word.FAILING,
    Word.BOTH_FAILING,
    Word.NO_DATA,
    Word.LOW_TRAFFIC,
    Word.EARLY,
    Word.OPEN,
    Word.FEW,
    Word.GOOD,
    Word.NOT_APPLICABLE,
)
_OF_SLOT = 'service=~"httproute-$namespace-$engine-.+-$slot-[0-9]+@kubernetesgateway"'
#: What a person asks of the Gateway's own metrics to see what a check saw there.
GATEWAY_QUERIES = {
    "error-rate": f'traefik_service_requests_total{{{_OF_SLOT},code=~"5.."}}',
    "latency-p95": f"traefik_service_request_duration_seconds_bucket{{{_OF_SLOT}}}",
}
_NAMES = {
    "error-rate": ("ErrorRate", "error rate", "answered 5xx"),
    "latency-p95": ("Latency", "share of slow answers", "slower than {bound}"),
    "order-reject-rate": ("OrderRejectRate", "share of refused orders", "refused"),
    "order-latency": ("OrderLatency", "share of slow orders", "slower than {bound}"),
    "websocket-drops": ("WebSocketDrops", "WebSockets that break in a second", "broken"),
    "probes": ("Probes", "share of bad probes", "late, wrong or not answered"),
}
#: Who or what asked, in words.
_OF = {
    CLIENT: " to clients",
    GATEWAY: " through the Gateway",
    "": "",
    "request": " for pages",
    "order": " as dry runs",
    "socket": " on a WebSocket",
}


@dataclass(frozen=True)
class ShareCheck:
    """One built-in check."""

    policy: CheckPolicy
    lasting: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.policy.name

    @property
    def reason(self) -> str:
        """Reason of a withdrawal."""
        return _NAMES[self.name][0]

    @property
    def failure_limit(self) -> int:
        """As it was specified."""
        return self.policy.failure_limit

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """The worst of its components and sources."""
        look = seen.look
        if look is None or look.silent:
            return Finding(Word.OPEN, now)
        findings = [
            self._of_kind(look, kind, evidence, look.seconds.get(kind, Second()))
            for kind, evidence in look.kinds(self.name).items()
        ]
        if self.policy.required:
            findings += [self._of_component(look, part) for part in names.SLOT_COMPONENTS]
            findings.append(self._of_clients(look, candidate, policy))
        worst = min(findings, key=lambda found: _WORST_FIRST.index(found.word), default=self._nothing(look))
        known = self.policy.required and look.watched >= KNOWN_SECONDS and self._lacks(look)
        return replace(worst, low=_low(look, candidate, policy)) if known else worst

    def _lacks(self, look: Look) -> bool:
        """Whether this step needs more requests of some component."""
        return any(look.counted(self.name, part) < self.policy.min_samples for part in names.SLOT_COMPONENTS)

    def _nothing(self, look: Look) -> Finding:
        return Finding(Word.NOT_APPLICABLE, look.at)

    def _of_kind(self, look: Look, kind: str, evidence: Evidence, second: Second) -> Finding:
        if not self.policy.required and min(evidence.seen, evidence.beside) < self.policy.min_samples:
            return Finding(Word.NOT_APPLICABLE, look.at)
        both = self._both(evidence.canary.share, evidence.stable.share)
        if self._is_proved(evidence):
            return self._bad(Word.BOTH_FAILING if both else Word.PROVED, kind, evidence, second, look.at)
        canary, stable = second.canary, second.stable
        if _is_gross(canary):
            share = stable.bad / stable.all if stable.all else 0.0
            both = self._both(canary.bad / canary.all, max(share, evidence.stable.share) if self._of_time else share)
            return self._bad(Word.BOTH_FAILING if both else Word.FAILING, kind, evidence, second, look.at)
        suspect = evidence.canary.share > self.policy.share and evidence.canary.bad >= 1
        if suspect and both:
            return self._bad(Word.BOTH_FAILING, kind, evidence, second, look.at)
        return Finding(Word.OPEN if suspect else Word.GOOD, look.at)

    @property
    def _of_time(self) -> bool:
        return self.name in _OF_TIME

    def _both(self, share: float, stable: float) -> bool:
        """Whether the stable release fails as well, so that the new one is held and not withdrawn."""
        widespread = self._of_time and stable >= WIDESPREAD and stable > self.policy.share
        return widespread or _about_as_much(share, stable, self.policy.share)

    def _is_proved(self, evidence: Evidence) -> bool:
        worse = evidence.proved_worse and evidence.stands_above
        return worse if self.policy.against_stable else evidence.proved

    def _bad(self, word: Word, kind: str, evidence: Evidence, second: Second, at: datetime) -> Finding:
        _, component, source = kind.split("/")
        _, what, bad = _NAMES[self.name]
        bad = bad.format(bound=self.policy.said)
        limit = f"{self.policy.share:g}"
        share = second.canary.bad / second.canary.all if _is_gross(second.canary) else evidence.canary.share
        counted = f"{evidence.step.bad} of {evidence.step.all} in this step{_OF.get(source, ' to probes')} {bad}"
        beside = f"the stable release's is {evidence.stable.share:.4f}"
        about = f"{what} of the {component}"
        message = f"{about} {share:.4f} above the limit {limit} ({counted}; {beside})"
        query = GATEWAY_QUERIES[self.name] if source == GATEWAY else BUILT_IN[self.name].query
        return Finding(word, at, message, f"{about} above the limit {limit}", f"{share:.4f}", limit, query)

    def _of_component(self, look: Look, component: str) -> Finding:
        """Whether a component was asked a moment ago, and often enough in this step."""
        own = look.own_answers.get(component)
        if own is not None and self.name == "error-rate":
            found = self._by_own_request(look, component, own)
            if found.word is not Word.GOOD:
                return found
        idle = min(look.idle.get((component, source), FRESH_SECONDS) for source in SOURCES)
        if idle >= FRESH_SECONDS and (own is None or own.status is None):
            if look.watched < FRESH_SECONDS:
                return Finding(Word.EARLY, look.at)
            silent = f"no request to the {component} was counted for {FRESH_SECONDS:g} s"
            return Finding(Word.NO_DATA, look.at, silent, silent, missing=min(idle, look.watched))
        lacking = self.policy.min_samples - look.counted(self.name, component)
        if lacking <= 0:
            return Finding(Word.GOOD, look.at)
        part = max(1, self.policy.min_samples // LACKING_PARTS)
        words = (
            f"this step has to be judged on {self.policy.min_samples} requests of the {component} (minSamples of"
            f" {self.name}), at most {ceil(lacking / part) * part} are lacking: it ends when they came. Wait, or raise"
            " the weight"
        )
        return Finding(Word.FEW, look.at, words, words)

    def _by_own_request(self, look: Look, component: str, own: OwnAnswer) -> Finding:
        """A component that nobody asks. It is no evidence for people, but that its pods answer pages at all."""
        if own.status is None:
            silent = (
                f"the {component} answered neither clients nor the operator's own request to port {names.HTTP_PORT}"
            )
            return Finding(Word.NO_DATA, look.at, f"{silent} ({own.detail})" if own.detail else silent, silent)
        if not own.failed:
            return Finding(Word.GOOD, look.at)
        message = f"the {component} answered the operator's own request with {own.status}"
        finding = Finding(Word.FAILING, look.at, message, message, str(own.status), "499")
        stable = look.stable_own_answers.get(component)
        return replace(finding, word=Word.BOTH_FAILING) if stable is not None and stable.failed else finding

    def _of_clients(self, look: Look, candidate: Candidate, policy: Policy) -> Finding:
        """Clients, or the prober, asked some component a moment ago; own requests alone promote nothing."""
        idle = min(look.idle.get((part, CLIENT), FRESH_SECONDS) for part in names.SLOT_COMPONENTS)
        if look.probed:
            return Finding(Word.GOOD, look.at)
        if idle < FRESH_SECONDS:
            asked = any(found.step.all for kind, found in look.kinds(self.name).items() if kind.endswith(CLIENT))
            words = "no client has asked the new release in this step yet"
            return Finding(Word.GOOD if asked else Word.FEW, look.at, words, words)
        if look.watched < FRESH_SECONDS:
            return Finding(Word.EARLY, look.at)
        low, due = _low(look, candidate, policy), _due(look, candidate, policy)
        if idle < _patience(due, policy):
            return Finding(Word.OPEN, look.at)
        if low:
            return Finding(Word.LOW_TRAFFIC, look.at, low, low)
        expected = (
            f", about {due:.0f} were due in {policy.no_data_budget:g} s" if due else ", of the stable release neither"
        )
        words = "too few requests were counted"
        missing = min(idle, look.watched)
        return Finding(Word.NO_DATA, look.at, f"no request was counted{expected}", words, missing=missing)


def _low(look: Look, candidate: Candidate, policy: Policy) -> str:
    """That the weight brings too few requests for some to come at all times; empty when it brings enough."""
    if look.probed or not 0 < _due(look, candidate, policy) < DUE_REQUESTS:
        return ""
    return (
        f"a weight of {candidate.weight / 10:g} % brings fewer than {DUE_REQUESTS} requests in"
        f" {policy.no_data_budget:g} s: the release is held until it has been judged. Wait, or raise the weight"
    )


def _due(look: Look, candidate: Candidate, policy: Policy) -> float:
    """Requests of clients that its weight should bring within the budget, by what the stable release gets."""
    share = candidate.weight / FULL
    return look.stable_rate * share / (1 - share) * policy.no_data_budget if share < 1 else 0.0


def _patience(due: float, policy: Policy) -> float:
    """For how many seconds no request may come by chance, when so many are due within the budget."""
    gap = policy.no_data_budget / due if due else 0.0
    return min(policy.no_data_budget / 2, max(FRESH_SECONDS, GAPS * gap))


def _is_gross(trials: Trials) -> bool:
    return trials.all >= GROSS_ANSWERS and trials.bad >= trials.all * GROSS_SHARE


def _about_as_much(share: float, stable: float, limit: float) -> bool:
    """Whether the stable release is above the limit too, and about as far."""
    return stable > limit and share <= min(stable * TIMES_STABLE, stable + ABOVE_STABLE)
