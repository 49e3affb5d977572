"""Recorded minutes beside the sessions of the calendar: how many are held, and which are missing.

The minutes of a day are the bits of one number, bit 0 being 00:00 IST.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from tradingengine.domain.calendar import OPEN, Calendar, Phase
from tradingengine.domain.instruments import Segment
from tradingengine.marketdata.replay.checks import DayKey

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Held:
    """The minutes that a folder holds of one ticker and day; `session` is 0 on a day that the calendar has closed."""

    day: date
    ticker: str
    session: int
    held: int
    outside: int
    missing: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether no minute of the session is missing."""
        return self.held == self.session


def session_bits(calendar: Calendar, day: date) -> int:
    """The minutes of continuous trading of NSE's cash market; 0 on a day without."""
    return sum(_bits(phase) for phase in calendar.phases(Segment.NSE_EQ, day) if phase.phase == OPEN)


def day_bits(calendar: Calendar, day: date) -> int:
    """The minutes from the first phase of NSE's cash market to its last, with the pauses between; 0 on a day without.

    Recorders run from before the opening call until after the close.
    """
    bits = 0
    for phase in calendar.phases(Segment.NSE_EQ, day):
        bits |= _bits(phase)
    return ((1 << bits.bit_length()) - 1) & -(bits & -bits)


def _bits(phase: Phase) -> int:
    first = phase.start.hour * 60 + phase.start.minute
    last = phase.end.hour * 60 + phase.end.minute
    return ((1 << (last - first)) - 1) << first


def clock(minute: int) -> str:
    """A minute of the day as IST text: 555 -> `09:15`."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def stretches(bits: int) -> list[str]:
    """The minutes of a number in words: `12:30-15:29`, a single one as `12:30`."""
    found = []
    while bits:
        first = (bits & -bits).bit_length() - 1
        length = (~(bits >> first) & ((bits >> first) + 1)).bit_length() - 1
        found.append(clock(first) if length == 1 else f"{clock(first)}-{clock(first + length - 1)}")
        bits &= ~(((1 << length) - 1) << first)
    return found


def held_minutes(calendar: Calendar, minutes: Mapping[DayKey, int]) -> list[Held]:
    """What is held of each day and ticker, by day and then ticker."""
    sessions = {number: session_bits(calendar, EPOCH + timedelta(days=number)) for number, _ in minutes}
    result = []
    for (number, ticker), bits in sorted(minutes.items()):
        session = sessions[number]
        inside = bits & session
        result.append(
            Held(
                EPOCH + timedelta(days=number),
                ticker,
                session.bit_count(),
                inside.bit_count(),
                (bits & ~session).bit_count(),
                tuple(stretches(session & ~bits)),
            )
        )
    return result
