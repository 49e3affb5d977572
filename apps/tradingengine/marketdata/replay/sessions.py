"""Recorded minutes beside the sessions of the calendar: how many are held, which are missing, and whether times fit.

The minutes of a day are the bits of one number, bit 0 being 00:00 IST. A recording whose minutes mostly lie outside the
session was written in another time zone than it says; whoever plays it would see a fraction of it and not know why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from tradingengine.domain.calendar import OPEN, Calendar, Phase
from tradingengine.domain.instruments import Segment
from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay.checks import DAY_MINUTES, DayKey

EPOCH = date(1970, 1, 1)
IST_MINUTES = 330
_SHIFT_STEP = 15
_FITS = 0.9  # share of the minutes that a shift must bring into the session to be named


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


def check_fit(name: str, calendar: Calendar, minutes: Mapping[DayKey, int]) -> list[Defect]:
    """A defect when the minutes of a file do not fit the sessions of its days.

    Counted are days of which the calendar is sure. Of the others (before and after the years that it covers, or special
    sessions whose hours were not yet published) single ones may differ, most may not. A day without a session is
    left out: it is played in its own hours.
    """
    by_day: dict[int, list[int]] = {}
    for (number, _), bits in minutes.items():
        by_day.setdefault(number, []).append(bits)
    sure: list[int] = []
    unsure: list[int] = []
    for number, held in sorted(by_day.items()):
        session = session_bits(calendar, EPOCH + timedelta(days=number))
        inside = sum((bits & session).bit_count() for bits in held)
        if session and 2 * inside < sum(bits.bit_count() for bits in held):
            certain = calendar.is_certain(Segment.NSE_EQ, EPOCH + timedelta(days=number))
            (sure if certain else unsure).append(number)
    odd = sorted(sure + (unsure if 2 * len(unsure) > len(by_day) else []))
    if not odd:
        return []
    return [_misfit(name, calendar, len(by_day), {number: by_day[number] for number in odd})]


def _misfit(name: str, calendar: Calendar, days: int, odd: Mapping[int, list[int]]) -> Defect:
    number, held = next(iter(odd.items()))
    session = session_bits(calendar, EPOCH + timedelta(days=number))
    count, outside = sum(bits.bit_count() for bits in held), sum((bits & ~session).bit_count() for bits in held)
    union = 0
    for bits in held:
        union |= bits
    hours, own = _extent(session), _extent(union)
    what = (
        f"{len(odd)} of {days} days {'does' if len(odd) == 1 else 'do'} not fit the session: on "
        f"{EPOCH + timedelta(days=number)} {outside} of {count} minutes lie outside {hours} IST (they run {own})"
    )
    return Defect(name, "", what, _mend(_shift(calendar, odd)))


def _extent(bits: int) -> str:
    return f"{clock((bits & -bits).bit_length() - 1)}-{clock(bits.bit_length() - 1)}"


def _shift(calendar: Calendar, odd: Mapping[int, list[int]]) -> int | None:
    """The minutes by which the records must be moved to fit, None when no one shift does."""
    sessions = {n + o: session_bits(calendar, EPOCH + timedelta(days=n + o)) for n in odd for o in (-1, 0, 1)}
    total = sum(bits.bit_count() for held in odd.values() for bits in held)
    shifts: Iterable[int] = range(-DAY_MINUTES + _SHIFT_STEP, DAY_MINUTES, _SHIFT_STEP)
    scores = {shift: _inside(odd, sessions, shift) for shift in shifts}
    best = max(scores, key=lambda shift: (scores[shift], -abs(abs(shift) - IST_MINUTES)))
    return best if scores[best] >= _FITS * total else None


def _inside(odd: Mapping[int, list[int]], sessions: Mapping[int, int], shift: int) -> int:
    found = 0
    for number, held in odd.items():
        # The three days around as one number of 3 * 1440 bits.
        around = sum(sessions[number + offset] << ((offset + 1) * DAY_MINUTES) for offset in (-1, 0, 1))
        found += sum(((bits << (DAY_MINUTES + shift)) & around).bit_count() for bits in held)
    return found


def _mend(shift: int | None) -> str:
    if shift is None:
        return "ts is the start of the minute in epoch seconds UTC: check the time zone that it was written in"
    if shift == -IST_MINUTES:
        return (
            "The times look like IST written as if it were UTC: subtract 19800 from ts, or say the zone when writing, "
            "df['ts'].dt.tz_localize('Asia/Kolkata')"
        )
    if shift == IST_MINUTES:
        return "The times look like UTC taken for IST, and so moved twice: add 19800 to ts"
    sign, hours = "+" if shift > 0 else "-", f"{abs(shift) // 60}:{abs(shift) % 60:02d}"
    return f"Moved by {sign}{hours} hours they would fit: add {shift * 60} to ts, or write it with its time zone"
