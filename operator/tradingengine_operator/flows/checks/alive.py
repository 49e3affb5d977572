"""The check that is always on: pods of the new release answer now, and what is known of them is fresh.

A pod that hangs counts no request, good or bad. It is known by the control API, which every pod answers in its event
loop; by a scrape that fails, on which nothing is promoted; and by requests that are overdue (`latency-p95`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tradingengine_operator.api.checks import ALWAYS_ON
from tradingengine_operator.builders import names
from tradingengine_operator.flows.check import Finding, Word
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.state import Candidate

#: A step ends only on samples younger than this.
FRESH_SECONDS = 3.0


@dataclass(frozen=True)
class Alive:
    """The check, with nothing of its own."""

    name: str = ALWAYS_ON
    reason: str = "Unresponsive"
    failure_limit: int = 2
    lasting: bool = False

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """Whether every ready pod answers, and every component was scraped in the last seconds."""
        look = seen.look
        if look is None:
            return Finding(Word.OPEN, now)
        if look.mute:
            return self._mute(look.mute, look.stable_mute, look.at)
        if look.silent:
            silent = "the metrics server did not answer"
            return Finding(Word.NO_SERVER, look.at, f"{silent} ({look.silent})", silent)
        if not policy.enabled:
            return Finding(Word.GOOD, look.at)
        if look.gateway_silent:
            return Finding(Word.NO_SERVER, look.at, look.gateway_silent, look.gateway_silent)
        old = [part for part in names.SLOT_COMPONENTS if not _is_fresh(look.ages.get(part))]
        if not old:
            return Finding(Word.GOOD, look.at)
        words = f"no sample of the {' and '.join(old)} is younger than {FRESH_SECONDS:g} s"
        return Finding(Word.NO_DATA, look.at, words, words)

    def _mute(self, mute: tuple[str, ...], of_stable: tuple[str, ...], at: datetime) -> Finding:
        words = f"{len(mute)} ready pods do not answer: {'; '.join(mute)}"
        holding = "ready pods do not answer"
        word = Word.BOTH_FAILING if of_stable else Word.FAILING
        return Finding(word, at, words, holding, str(len(mute)), "0")


def _is_fresh(age: float | None) -> bool:
    return age is not None and age < FRESH_SECONDS
