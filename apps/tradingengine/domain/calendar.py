"""Trading sessions by date and segment, read from `contract/calendar/*.json`; no trading hour is a constant in code.

A file says which dates it covers. Inside them holidays and special sessions are facts (or marked provisional); outside
them the hours of the nearest period apply on weekdays without any holiday, and `SessionState.assumed` is True, so that
callers can warn. docs of the format: `contract/calendar/README.md`.
"""

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import msgspec

from tradingengine.domain.clock import IST
from tradingengine.domain.errors import DomainError
from tradingengine.domain.instruments import Segment

OPEN: Final = "open"
PREOPEN: Final = "preopen"
CLOSED: Final = "closed"
_SEARCH_DAYS: Final = 30


class Phase(msgspec.Struct, frozen=True):
    """One stretch of a day, IST: `open` is continuous trading; others (`preopen`, `closing_auction`) are not."""

    phase: str
    start: time
    end: time


class Period(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The usual phases of a weekday in a range of dates, both ends included."""

    first: date
    last: date
    phases: tuple[Phase, ...]


class DatedDay(msgspec.Struct, frozen=True):
    """A day that differs: without phases a holiday, with phases a special session (weekends too)."""

    date: date
    name: str
    phases: tuple[Phase, ...] = ()
    provisional: bool = False


class Coverage(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The dates whose holidays the file knows."""

    first: date
    last: date


class SegmentCalendar(msgspec.Struct, frozen=True):
    """One file of `contract/calendar`."""

    segment: Segment
    covers: Coverage
    periods: tuple[Period, ...]
    days: tuple[DatedDay, ...]
    note: str = ""


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """A segment at one market time.

    `state` is `open`, `preopen` or `closed`; `phase` names the stretch (`closed` between them); `until` is the market
    time (UTC) of the next change of `phase`, None when none is near; `assumed` as in the module's text.
    """

    segment: Segment
    state: str
    phase: str
    until: datetime | None
    assumed: bool


class Calendar:
    """Sessions of several segments."""

    def __init__(self, segments: Iterable[SegmentCalendar]) -> None:
        """One calendar per segment; DomainError when one has no periods or phases that overlap."""
        self._segments: dict[Segment, SegmentCalendar] = {}
        self._days: dict[Segment, Mapping[date, DatedDay]] = {}
        for calendar in segments:
            _check(calendar)
            self._segments[calendar.segment] = calendar
            self._days[calendar.segment] = {day.date: day for day in calendar.days}

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that are known."""
        return tuple(self._segments)

    def _of(self, segment: Segment) -> SegmentCalendar:
        calendar = self._segments.get(segment.calendar)
        if calendar is None:
            raise DomainError(f"no trading calendar for segment {segment}: add contract/calendar/{segment}.json")
        return calendar

    def covers(self, segment: Segment, day: date) -> bool:
        """Whether holidays of that date are known (else weekdays are assumed to trade)."""
        coverage = self._of(segment).covers
        return coverage.first <= day <= coverage.last

    def is_certain(self, segment: Segment, day: date) -> bool:
        """Whether the hours of that date are facts: inside the years that the file covers, and not provisional."""
        special = self._days[segment.calendar].get(day)
        return self.covers(segment, day) and not (special is not None and special.provisional)

    def phases(self, segment: Segment, day: date) -> tuple[Phase, ...]:
        """The stretches of one IST date, in order; empty on a holiday or an ordinary weekend."""
        calendar = self._of(segment)
        special = self._days[calendar.segment].get(day)
        if special is not None:
            return special.phases
        return () if day.weekday() >= 5 else _period(calendar, day).phases

    def is_trading_day(self, segment: Segment, day: date) -> bool:
        """Whether the segment trades at all on that IST date."""
        return any(phase.phase == OPEN for phase in self.phases(segment, day))

    def state(self, segment: Segment, at: datetime) -> SessionState:
        """The segment at market time `at` (aware)."""
        local = at.astimezone(IST)
        for phase in self.phases(segment, local.date()):
            start, end = _at(local.date(), phase.start), _at(local.date(), phase.end)
            if start <= at < end:
                return self._state(segment, local.date(), phase.phase, end)
        return self._state(segment, local.date(), CLOSED, self._next_start(segment, at))

    def _state(self, segment: Segment, day: date, phase: str, until: datetime | None) -> SessionState:
        state = phase if phase in (OPEN, PREOPEN) else CLOSED
        assumed = not self.covers(segment, day)
        return SessionState(segment=segment, state=state, phase=phase, until=until, assumed=assumed)

    def is_open(self, segment: Segment, at: datetime) -> bool:
        """Whether continuous trading is on at market time `at`."""
        return self.state(segment, at).state == OPEN

    def _next_start(self, segment: Segment, at: datetime, only: str | None = None) -> datetime | None:
        day = at.astimezone(IST).date()
        for offset in range(_SEARCH_DAYS):
            for phase in self.phases(segment, day + timedelta(days=offset)):
                start = _at(day + timedelta(days=offset), phase.start)
                if start > at and (only is None or phase.phase == only):
                    return start
        return None

    def next_open(self, segment: Segment, at: datetime) -> datetime | None:
        """The next start of continuous trading after `at` (UTC); None when there is none within 30 days."""
        return self._next_start(segment, at, only=OPEN)


def _period(calendar: SegmentCalendar, day: date) -> Period:
    for period in calendar.periods:
        if period.first <= day <= period.last:
            return period
    return calendar.periods[0] if day < calendar.periods[0].first else calendar.periods[-1]


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=IST).astimezone(UTC)


def _check(calendar: SegmentCalendar) -> None:
    name = calendar.segment
    if not calendar.periods:
        raise DomainError(f"calendar {name}: at least one period is needed")
    for before, after in zip(calendar.periods, calendar.periods[1:], strict=False):
        if after.first != before.last + timedelta(days=1):
            raise DomainError(f"calendar {name}: the period from {after.first} does not follow on {before.last}")
    groups = [period.phases for period in calendar.periods] + [day.phases for day in calendar.days]
    for phases in groups:
        if any(phase.start >= phase.end for phase in phases):
            raise DomainError(f"calendar {name}: a phase ends before it starts")
        if any(a.end > b.start for a, b in itertools.pairwise(phases)):
            raise DomainError(f"calendar {name}: phases overlap or are out of order")


def load_calendar(folder: Path | None = None) -> Calendar:
    """The calendar of all `*.json` in a folder (default: `contract/calendar` beside the source).

    Raises DomainError with the file's name when one is missing, not JSON, or breaks the format.
    """
    folder = folder or contract_folder() / "calendar"
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DomainError(f"no trading calendar in {folder}")
    calendars = []
    for file in files:
        try:
            calendars.append(msgspec.json.decode(file.read_bytes(), type=SegmentCalendar))
        except (msgspec.DecodeError, OSError) as error:
            raise DomainError(f"calendar {file.name}: {error}") from error
    return Calendar(calendars)


def contract_folder() -> Path:
    """The folder `contract/`: inside the package of a wheel, beside it in an image, or at the clone's root."""
    for parent in Path(__file__).resolve().parents[1:4]:
        if (parent / "contract" / "calendar").is_dir():
            return parent / "contract"
    raise DomainError("the folder contract/ is missing: it belongs into the package's folder, beside it or one above")
