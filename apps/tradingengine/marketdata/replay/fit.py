"""Whether recorded times fit the hours of the calendar, or were written in another time zone than they say.

Whoever plays shifted times would see a fraction of the day and not know why. But a file of the opening call, of the
minutes after the close or of a night says nothing by itself: a day is judged over all files that hold its symbols, the
calendar's every phase counts, and times are refused only where a shift brings nearly all of them in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from tradingengine.domain.calendar import Calendar
from tradingengine.domain.instruments import Segment
from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay.checks import DAY_MINUTES, DayKey
from tradingengine.marketdata.replay.sessions import EPOCH, clock, day_bits, session_bits

IST_MINUTES = 330
_SHIFT_STEP = 15
_FITS = 0.9  # share of the minutes that a shift must bring into the calendar's hours to be believed

_Day: TypeAlias = Mapping[str, Mapping[str, int]]
"""File -> ticker -> minutes of the day as bits."""
_Fits: TypeAlias = Mapping[int, tuple[int, int]]
"""Shift in minutes -> how many minutes it brings into continuous trading, and into all phases."""


@dataclass(frozen=True, slots=True)
class _Odd:
    """A day on which a file's times are shifted: the minutes that say so, of how many files they are, and the way."""

    number: int
    bits: Counter[int]
    files: int
    fits: _Fits


class _Hours:
    """The calendar's minutes by the number of the day, worked out once."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._known: dict[int, tuple[int, int]] = {}

    def of(self, number: int) -> tuple[int, int]:
        """Bits of continuous trading, and bits from the first phase to the last."""
        if number not in self._known:
            day = EPOCH + timedelta(days=number)
            self._known[number] = session_bits(self._calendar, day), day_bits(self._calendar, day)
        return self._known[number]

    def around(self, number: int) -> tuple[int, int]:
        """The same of the day before, the day and the day after, as numbers of 3 * 1440 bits."""
        days = [self.of(number + offset) for offset in (-1, 0, 1)]
        session, whole = (sum(day[at] << (place * DAY_MINUTES) for place, day in enumerate(days)) for at in (0, 1))
        return session, whole

    def certain(self, number: int) -> bool:
        """Whether the calendar is sure of the day."""
        return self._calendar.is_certain(Segment.NSE_EQ, EPOCH + timedelta(days=number))


def check_fit(calendar: Calendar, files: Mapping[str, Mapping[DayKey, int]]) -> dict[str, Defect]:
    """The defect of each file whose times are shifted; `files` are the minutes of each file of a folder.

    Of days of which the calendar is not sure (before and after the years that it covers, or special sessions whose
    hours were not yet published) single ones may differ, most of a year may not. A day without a session is left out:
    it is played in its own hours.
    """
    hours, days = _Hours(calendar), _by_day(files)
    odd: dict[str, list[_Odd]] = {}
    for number, held in sorted(days.items()):
        if not hours.of(number)[0]:
            continue
        for group in _groups(held):
            for file, one in _shifted(hours, number, {file: held[file] for file in group}):
                odd.setdefault(file, []).append(one)
    doubted = _most(hours, days, {one.number for found in odd.values() for one in found})
    defects = {}
    for file, found in odd.items():
        count = len({number for number, _ in files[file]})
        sure = [one for one in found if hours.certain(one.number) or _year(one.number) in doubted]
        if sure:
            defects[file] = _misfit(file, hours, count, sure)
    return defects


def _by_day(files: Mapping[str, Mapping[DayKey, int]]) -> dict[int, dict[str, dict[str, int]]]:
    days: dict[int, dict[str, dict[str, int]]] = {}
    for file, minutes in files.items():
        for (number, ticker), bits in minutes.items():
            days.setdefault(number, {}).setdefault(file, {})[ticker] = bits
    return days


def _year(number: int) -> int:
    return (EPOCH + timedelta(days=number)).year


def _most(hours: _Hours, days: Iterable[int], odd: set[int]) -> set[int]:
    """The years of which most recorded days are odd, among those of which the calendar is not sure."""
    recorded = Counter(_year(number) for number in days)
    unsure = Counter(_year(number) for number in odd if not hours.certain(number))
    return {year for year, count in unsure.items() if 2 * count > recorded[year]}


def _groups(held: _Day) -> list[list[str]]:
    """The files of a day that share tickers, directly or by others between them: the parts of one recording."""
    parent = {file: file for file in held}
    first: dict[str, str] = {}

    def root(file: str) -> str:
        while parent[file] != file:
            parent[file] = file = parent[parent[file]]
        return file

    for file, tickers in held.items():
        for ticker in tickers:
            parent[root(file)] = root(first.setdefault(ticker, file))
    groups: dict[str, list[str]] = {}
    for file in held:
        groups.setdefault(root(file), []).append(file)
    return list(groups.values())


def _shifted(hours: _Hours, number: int, held: _Day) -> Iterator[tuple[str, _Odd]]:
    """The files of one group whose times are shifted on a day: all of them, or those that lie outside by themselves."""
    together = Counter(_united(held.values()).values())
    if _outside(hours, number, together):
        fits = _fits(hours, number, together)
        if fits:
            yield from ((file, _Odd(number, together, len(held), fits)) for file in held)
            return
    alone = [file for file, tickers in held.items() if _outside(hours, number, Counter(tickers.values()))]
    fits = _gaps_filled(hours, number, held, alone) if len(alone) < len(held) else {}
    if fits:
        yield from ((file, _Odd(number, Counter(held[file].values()), 1, fits)) for file in alone)


def _united(files: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The minutes of each ticker in several files together."""
    found: dict[str, int] = {}
    for tickers in files:
        for ticker, bits in tickers.items():
            found[ticker] = found.get(ticker, 0) | bits
    return found


def _total(bits: Counter[int]) -> int:
    return sum(one.bit_count() * count for one, count in bits.items())


def _inside(bits: Counter[int], hours: int, shift: int = 0) -> int:
    """Of minutes moved by `shift` those within `hours`, which begin a day before (3 * 1440 bits)."""
    return sum(((one << (DAY_MINUTES + shift)) & hours).bit_count() * count for one, count in bits.items())


def _outside(hours: _Hours, number: int, bits: Counter[int]) -> bool:
    """Whether most of the minutes lie outside all phases of the day."""
    return 2 * _inside(bits, hours.of(number)[1] << DAY_MINUTES) < _total(bits)


def _fits(hours: _Hours, number: int, bits: Counter[int]) -> _Fits:
    """The shifts that bring nearly all minutes into the phases of the day or its neighbours."""
    session, whole = hours.around(number)
    enough = _FITS * _total(bits)
    widest = max(hours.of(number + offset)[1].bit_count() for offset in (-1, 0, 1))
    if sum(min(one.bit_count(), widest) * count for one, count in bits.items()) < enough:
        return {}  # a recorder that runs day and night: no shift can
    shifts = range(-DAY_MINUTES + _SHIFT_STEP, DAY_MINUTES, _SHIFT_STEP)
    brought = {shift: _inside(bits, whole, shift) for shift in shifts}
    return {shift: (_inside(bits, session, shift), all_) for shift, all_ in brought.items() if all_ >= enough}


def _gaps_filled(hours: _Hours, number: int, held: _Day, alone: list[str]) -> _Fits:
    """The usual mistake by which the files that lie outside would fill what the others lack; empty when none does.

    Files of a night beside those of the day would fall on minutes that are there already: they are what they say.
    """
    others = _united(tickers for file, tickers in held.items() if file not in set(alone))
    session, whole = hours.of(number)
    own = _united(held[file] for file in alone)
    enough = _FITS * sum(bits.bit_count() for bits in own.values())
    for shift in (-IST_MINUTES, IST_MINUTES):
        moved = {ticker: bits << shift if shift > 0 else bits >> -shift for ticker, bits in own.items()}
        free = {ticker: bits & ~others.get(ticker, 0) for ticker, bits in moved.items()}
        filled = sum((bits & whole).bit_count() for bits in free.values())
        if own and filled >= enough:
            return {shift: (sum((bits & session).bit_count() for bits in free.values()), filled)}
    return {}


def _misfit(name: str, hours: _Hours, days: int, odd: list[_Odd]) -> Defect:
    one = odd[0]
    session = hours.of(one.number)[0]
    count, union = _total(one.bits), 0
    for bits in one.bits:
        union |= bits
    outside = count - _inside(one.bits, session << DAY_MINUTES)
    together = f", those of {one.files} files together," if one.files > 1 else ""
    what = (
        f"{len(odd)} of {days} days {'does' if len(odd) == 1 else 'do'} not fit the session: on "
        f"{EPOCH + timedelta(days=one.number)} {outside} of {count} minutes{together} lie outside {_extent(session)} "
        f"IST (they run {_extent(union)})"
    )
    return Defect(name, "", what, _mend(_common(odd)))


def _extent(bits: int) -> str:
    return f"{clock((bits & -bits).bit_length() - 1)}-{clock(bits.bit_length() - 1)}"


def _common(odd: list[_Odd]) -> int | None:
    """The shift in minutes that fits every one of the days best, None when no one shift does."""
    shifts = set.intersection(*(set(one.fits) for one in odd))

    def score(shift: int) -> tuple[int, int, int]:
        session, whole = (sum(one.fits[shift][at] for one in odd) for at in (0, 1))
        return session, whole, -abs(abs(shift) - IST_MINUTES)

    return max(sorted(shifts), key=score, default=None)


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
