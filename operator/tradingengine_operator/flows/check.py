"""What a check of a release is: a name, and one finding from what was seen. A new one is a class in `checks/`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from .observation import ReleaseObservation
from .policy import Policy
from .state import Candidate


class Word(StrEnum):
    """What a check found of the newest moment."""

    #: Fresh evidence, enough of it in this step, and all of it good.
    GOOD = "good"
    #: There is nothing to judge by this check, and there need not be.
    NOT_APPLICABLE = "not-applicable"
    #: A failing sample; counts once.
    FAILING = "failing"
    #: Proved beyond the limits of chance: it goes without another sample.
    PROVED = "proved"
    #: Failing, and so is the stable release about as much: it is held, for its budget.
    BOTH_FAILING = "both-failing"
    #: Something is wrong, or nothing came in, and it is too early to say more.
    OPEN = "open"
    #: This process has counted nothing yet, and has not looked for long: no evidence, and none that is missing.
    EARLY = "early"
    #: Good, but this step was judged on too few requests to end.
    FEW = "few"
    #: The weight brings too few requests for any to come at all times: it is held, and said.
    LOW_TRAFFIC = "low-traffic"
    #: Evidence is missing that should be there: it is held, for its budget.
    NO_DATA = "no-data"
    #: The metrics server does not answer: it is held, for its budget.
    NO_SERVER = "no-server"
    #: The check itself cannot be judged: a person has to mend it, and nothing is promoted until then.
    BROKEN = "broken"


#: Words that say that the release was judged at this moment, and not only looked at.
JUDGED = frozenset({Word.GOOD, Word.NOT_APPLICABLE, Word.FAILING, Word.PROVED, Word.OPEN, Word.FEW})
#: Words with which a step may end.
PASSES = frozenset({Word.GOOD, Word.NOT_APPLICABLE})


@dataclass(frozen=True)
class Finding:
    """What one check found: a word, value and limit where there are any, and the query that shows it.

    `message` has the figures of the moment; `holding` says the same without them, since a status that changed each
    second would be written each second.
    """

    word: Word
    at: datetime
    message: str = ""
    holding: str = ""
    value: str | None = None
    limit: str | None = None
    query: str | None = None
    #: For how many seconds evidence is missing already.
    missing: float = 0.0
    #: That the weight brings too few requests, in words: said whatever was found of them.
    low: str = ""


class Check(Protocol):
    """One check of a release that has weight. It remembers nothing: what counts over time stands in the candidate."""

    @property
    def name(self) -> str:
        """Its name in `spec.rollout.checks`, or of its own when it is always on."""

    @property
    def reason(self) -> str:
        """Reason of a withdrawal by it, one word."""

    @property
    def failure_limit(self) -> int:
        """How many failing samples without a good one between them withdraw."""

    @property
    def lasting(self) -> bool:
        """Whether a failing sample counts for so long that an operator that takes over must know it: it is stored."""

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """Its finding from the newest look."""
