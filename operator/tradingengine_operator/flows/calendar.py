"""Trading hours by date and segment, as `contract/calendar` has them; no hour of trading is a constant in code.

A day of a segment is taken as trading from its first phase to its last one: pre-open, the closing auction and the
session after the close are market hours as much as continuous trading, and so are the gaps between them. What is not
certain counts as trading: past the dates that a file covers every weekday, and on a day that is marked provisional all
that may become of it, since nobody takes a release back in time when a market opens that was thought to be closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tradingengine_operator.errors import CalendarError

#: India Standard Time has no summer time.
IST = timezone(timedelta(hours=5, minutes=30), "IST")
_SUFFIX = ".json"
_WEEKEND = 5


class _Part(BaseModel):
    """A part of a file; what only the programs read is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Phase(_Part):
    """One stretch of a day, IST."""

    phase: str
    start: time
    end: time

    @model_validator(mode="after")
    def _forward(self) -> Phase:
        if self.start >= self.end:
            raise ValueError("a phase ends before it starts")
        return self


class Span(_Part):
    """Dates, both ends included."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")


class Period(Span):
    """The usual phases of a weekday in a range of dates."""

    phases: tuple[Phase, ...] = Field(min_length=1)


class Day(_Part):
    """A day that differs: without phases a holiday, with phases a special session, weekends too."""

    day: date = Field(alias="date")
    phases: tuple[Phase, ...] = ()
    provisional: bool = False


class SegmentDays(_Part):
    """One file of `contract/calendar`."""

    segment: str
    covers: Span
    periods: tuple[Period, ...] = Field(min_length=1)
    days: tuple[Day, ...] = ()


class OwnDays(_Part):
    """What a namespace says of a segment: dates that win over the file's, and hours of ranges of dates that do."""

    segment: str
    periods: tuple[Period, ...] = ()
    days: tuple[Day, ...] = ()


_File = TypeVar("_File", SegmentDays, OwnDays)


@dataclass(frozen=True)
class Session:
    """A stretch in which a market is taken as open; times in UTC."""

    opens: datetime
    closes: datetime
    segments: tuple[str, ...]


@dataclass(frozen=True)
class MarketCalendar:
    """The files of `contract/calendar`, and what the namespace says beside them."""

    files: Mapping[str, SegmentDays] = field(default_factory=dict)
    own: Mapping[str, OwnDays] = field(default_factory=dict)

    def knows(self, segments: Iterable[str]) -> bool:
        """Whether every one of these segments has a calendar."""
        return all(segment in self.files for segment in segments)

    def sessions(self, segments: Iterable[str], since: datetime, days: int) -> list[Session]:
        """Stretches in which one of these segments trades, in order and apart, of so many days from that of `since`.

        One that ends before `since` is left out; one that is under way then is whole.
        """
        first = since.astimezone(IST).date()
        found = sorted(
            (
                session
                for segment in segments
                for offset in range(days)
                for session in self._of(segment, first + timedelta(days=offset))
                if session.closes > since
            ),
            key=lambda session: session.opens,
        )
        merged: list[Session] = []
        for session in found:
            if merged and session.opens <= merged[-1].closes:
                last = merged.pop()
                names = tuple(dict.fromkeys((*last.segments, *session.segments)))
                session = Session(last.opens, max(last.closes, session.closes), names)
            merged.append(session)
        return merged

    def _of(self, segment: str, day: date) -> Iterator[Session]:
        hours = self._hours(segment, day)
        if hours is not None:
            opens, closes = hours
            end = _midnight(day) if closes == time.max else datetime.combine(day, closes, IST)
            yield Session(datetime.combine(day, opens, IST).astimezone(UTC), end.astimezone(UTC), (segment,))

    def _hours(self, segment: str, day: date) -> tuple[time, time] | None:
        """From when to when a segment is taken as trading on a date, None when it is not; `time.max` is midnight."""
        own, file = self.own.get(segment), self.files[segment]
        special = _dated(own.days if own is not None else (), day) or _dated(file.days, day)
        usual = _usual(own, file, day).phases
        if special is None:
            return _ends(usual) if day.weekday() < _WEEKEND else None
        if not special.provisional:
            return _ends(special.phases) if special.phases else None
        # Its hours may come at any time of a trading day, or, as on Diwali, of its evening.
        return _ends((*usual, *special.phases))[0], time.max


def read_calendar(files: Mapping[str, str], own: Mapping[str, str]) -> MarketCalendar:
    """The calendar of texts by file name, `NSE_EQ.json`, and of a namespace's own; CalendarError names the file."""
    return MarketCalendar(_parsed(SegmentDays, files, "file "), _parsed(OwnDays, own, "key "))


def _parsed(kind: type[_File], texts: Mapping[str, str], where: str) -> dict[str, _File]:
    found: dict[str, _File] = {}
    for name, text in sorted(texts.items()):
        segment = name.removesuffix(_SUFFIX)
        try:
            entry = kind.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise CalendarError(f"{where}{name}: {place or 'it'}: {first['msg']}"[:300]) from error
        if entry.segment != segment or not name.endswith(_SUFFIX):
            raise CalendarError(f"{where}{name}: it is about segment {entry.segment[:32]}, whose name it does not have")
        found[segment] = entry
    return found


def _dated(days: Iterable[Day], wanted: date) -> Day | None:
    return next((entry for entry in days if entry.day == wanted), None)


def _ranged(periods: Iterable[Period], wanted: date) -> Period | None:
    return next((entry for entry in periods if entry.first <= wanted <= entry.last), None)


def _usual(own: OwnDays | None, file: SegmentDays, day: date) -> Period:
    found = (_ranged(own.periods, day) if own is not None else None) or _ranged(file.periods, day)
    return found or (file.periods[0] if day < file.periods[0].first else file.periods[-1])


def _midnight(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, IST)


def _ends(phases: tuple[Phase, ...]) -> tuple[time, time]:
    """Begin of the first and end of the last of some phases, of which there is at least one."""
    return min(phase.start for phase in phases), max(phase.end for phase in phases)
