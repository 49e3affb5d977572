"""What a check of a release is: a name, and one finding from what was seen. A new check is a class like `ErrorRate`."""

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

    #: Every component has fresh evidence, and all of it is good.
    GOOD = "good"
    #: Above the limit; counts once.
    FAILING = "failing"
    #: Above the limit, and so is the stable release by as much: it is held, for its budget.
    BOTH_FAILING = "both-failing"
    #: Not enough new evidence since the last failing sample to say anything.
    OPEN = "open"
    #: The weight brings too few requests for a sample: it is held, and said.
    LOW_TRAFFIC = "low-traffic"
    #: Evidence is missing that should be there: it is held, for its budget.
    NO_DATA = "no-data"
    #: The metrics server does not answer: it is held, for its budget.
    NO_SERVER = "no-server"


#: Words that say that the release was judged at this moment, and not only looked at.
JUDGED = frozenset({Word.GOOD, Word.FAILING, Word.OPEN})


@dataclass(frozen=True)
class Finding:
    """What one check found: a word, and value and limit where there are any.

    `message` has the figures of the moment; `holding` says the same without them, since a status that changed each
    second would be written each second.
    """

    word: Word
    at: datetime
    message: str = ""
    holding: str = ""
    value: str | None = None
    limit: str | None = None


class Check(Protocol):
    """One check of a release that has weight. It remembers nothing: what counts over time stands in the candidate."""

    @property
    def name(self) -> str:
        """Its name in `spec.rollout.checks`."""

    @property
    def reason(self) -> str:
        """Reason of a withdrawal by it, one word."""

    def look(self, candidate: Candidate, seen: ReleaseObservation, policy: Policy, now: datetime) -> Finding:
        """Its finding from the newest samples. They never reach back before `candidate.sampled_at`."""
