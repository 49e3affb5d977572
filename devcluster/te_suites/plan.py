"""Which suites are due, in which order, and which of them there is time for. Pure: no clock, no file, no process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from te_suites.catalogue import Suite
from te_suites.notes import Note

LIMIT_MINUTES = 80.0
"""No suite begins that is expected to end after this minute of a check."""
LONGEST_MINUTES = 25.0
"""No suite takes longer on warm caches; one that never passed is expected to take this."""


@dataclass(frozen=True)
class Standing:
    """A suite, whether it is due, and what it is expected to take; minutes of an undisturbed machine."""

    suite: Suite
    due: bool
    minutes: float
    tool_minutes: float = 0.0
    passed_at: str = ""

    @property
    def whole(self) -> float:
        """Minutes with the tools that have to be built first."""
        return self.minutes + self.tool_minutes


def standing(suite: Suite, digest: str, notes: Sequence[Note], tool_minutes: float) -> Standing:
    """Due unless one note is of these very inputs; the newest note says how long it takes."""
    newest = max(notes, key=lambda note: note.passed_at, default=None)
    return Standing(
        suite,
        due=all(note.digest != digest for note in notes),
        minutes=newest.minutes if newest else LONGEST_MINUTES,
        tool_minutes=tool_minutes,
        passed_at=newest.passed_at if newest else "",
    )


def in_order(standings: Iterable[Standing]) -> list[Standing]:
    """Those that are due and that a check may begin by itself, the longest first."""
    wanted = [each for each in standings if each.due and not each.suite.by_hand]
    return sorted(wanted, key=lambda each: (-each.whole, each.suite.name))


def stretch(took_minutes: float, expected_minutes: float) -> float:
    """How much slower this run is than the one whose minutes were noted; never less than 1."""
    return max(1.0, took_minutes / expected_minutes) if expected_minutes > 0 else 1.0


def fits(standing: Standing, elapsed_minutes: float, factor: float, limit: float = LIMIT_MINUTES) -> bool:
    """True when it would end in time, if everything goes on being as slow as it was."""
    return elapsed_minutes + standing.whole * factor <= limit
