"""Checks of the user's own: a query that gives one number, with a limit, beside the stable release's number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from tradingengine_operator.flows.check import Finding, Word
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.policy import CheckPolicy, Policy
from tradingengine_operator.flows.state import Candidate
from tradingengine_operator.samples import OwnValue

#: Beyond the limit on its own account when its number is more than so many times the stable release's, or, where less
#: is worse, less than this part of it.
TIMES_STABLE = 2.0


@dataclass(frozen=True)
class OwnCheck:
    """A query of the user's."""

    policy: CheckPolicy
    lasting: bool = False
    reason: str = "CheckFailed"

    @property
    def name(self) -> str:
        """Its name."""
        return self.policy.name

    @property
    def failure_limit(self) -> int:
        """As it was specified."""
        return self.policy.failure_limit

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """Whether the number is within its limit."""
        look = seen.look
        if look is None or look.silent:
            return Finding(Word.OPEN, now)
        found = look.values.get(self.name, OwnValue())
        if found.trouble:
            words = f"check {self.name}: {found.trouble}"
            return Finding(Word.BROKEN, look.at, words, f"{words}. To mend: {found.mend}" if found.mend else words)
        if found.value is None:
            silent = f"check {self.name}: its query gave no series for release {candidate.release}"
            return Finding(Word.NO_DATA, look.at, silent, silent, query=self.policy.query)
        if not self._beyond(found.value):
            enough = look.counted(self.name, "") >= self.policy.min_samples
            return Finding(Word.GOOD if enough else Word.FEW, look.at, holding=self._few())
        return self._failing(found.value, look.stable_values.get(self.name, OwnValue()).value, look.at)

    def _few(self) -> str:
        return f"check {self.name}: this step has fewer than minSamples ({self.policy.min_samples}) values"

    def _beyond(self, value: float) -> bool:
        most, least = self.policy.most, self.policy.least
        return (most is not None and value > most) or (least is not None and value < least)

    def _failing(self, value: float, stable: float | None, at: datetime) -> Finding:
        word, limit = ("above", "max") if self.policy.most is not None else ("below", "min")
        beside = f", the stable release has {stable:g}" if stable is not None else ""
        holding = f"check {self.name} {word} its {limit} {self.policy.said}"
        message = f"check {self.name}: {value:g} is {word} its {limit} {self.policy.said}{beside}"
        finding = Finding(Word.FAILING, at, message, holding, f"{value:g}", self.policy.said, self.policy.query)
        if stable is None:
            return finding
        if self._as_bad(value, stable):
            return replace(finding, word=Word.BOTH_FAILING)
        return finding

    def _as_bad(self, value: float, stable: float) -> bool:
        """Whether the stable release is beyond the limit too, about as far, or with `against: stable` no less far."""
        if not self._beyond(stable):
            return False
        worse = value > stable if self.policy.most is not None else value < stable
        if not worse or self.policy.against_stable:
            return not worse
        # Towards nothing, so many times as far is a half: a release that fills no order at all is not as bad as one
        # that fills almost enough of them.
        grows = (stable > 0) == (self.policy.most is not None)
        far = TIMES_STABLE - 1 if grows else 1 - 1 / TIMES_STABLE
        return abs(value - stable) <= abs(stable) * far
