"""The prober's wrong answers. What is asked and what must come stands in a table, so chance has no part in them.

A fault may show in one row of the table alone, once in a round: good answers to other rows forget nothing before that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tradingengine_operator.api import BUILT_IN
from tradingengine_operator.flows.check import Finding, Word
from tradingengine_operator.flows.look import WRONG, Look
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.policy import CheckPolicy, Policy
from tradingengine_operator.flows.state import Candidate, CheckCount

#: So long two rounds of the table of orders last; after so long without a wrong answer it is as if none had come.
ROUND_SECONDS = 30.0
#: The stable release gave a bad answer lately when so much of one still counts.
LATELY = 0.5
_WHAT = {"request": "a page or document", "order": "a dry-run order", "socket": "the WebSocket"}


@dataclass(frozen=True)
class VerdictCheck:
    """Wrong answers to the prober; whether a bad answer could be chance is asked of `probes`."""

    policy: CheckPolicy
    #: No check of the user's can have this name.
    name: str = "probes/wrong"
    reason: str = "WrongAnswer"
    lasting: bool = True

    @property
    def failure_limit(self) -> int:
        """That of the check `probes`."""
        return self.policy.failure_limit

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """A look with a wrong answer is a failing sample, and a good one only after a round without any."""
        look = seen.look
        if look is None or look.silent:
            return Finding(Word.OPEN, now)
        wrong = [kind for kind, second in look.seconds.items() if kind.startswith(f"{WRONG}/") and second.canary.bad]
        if wrong:
            return self._wrong(look, wrong[0])
        last = candidate.checks.get(self.name, CheckCount()).failed_at
        lately = last is not None and 0 <= (look.at - last).total_seconds() < ROUND_SECONDS
        return Finding(Word.OPEN if lately else Word.NOT_APPLICABLE, look.at)

    def _wrong(self, look: Look, kind: str) -> Finding:
        _, component, what = kind.split("/")
        known = look.evidence.get(f"{self.policy.name}/{component}/{what}")
        if known is not None and known.stable.bad >= LATELY:
            return Finding(Word.OPEN, look.at)  # both do: the share decides whether this one is worse
        words = (
            f"the {component} gave the prober a wrong answer to {_WHAT.get(what, what)}, and the stable release none"
        )
        count = str(look.seconds[kind].canary.bad)
        shown = BUILT_IN[self.policy.name].query
        return Finding(Word.FAILING, look.at, words, words, count, "0", shown)
