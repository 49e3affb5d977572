"""Sessions by date: hours that changed, holidays, special sessions, and what lies past the end of the data."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.calendar import Calendar, load_calendar
from tradingengine.domain.clock import IST
from tradingengine.domain.errors import DomainError
from tradingengine.domain.instruments import Segment

pytestmark = pytest.mark.unit

CALENDAR = load_calendar()


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("segment", "at", "state", "until"),
    [
        (Segment.NSE_EQ, "2021-06-08T09:15", "open", "2021-06-08T15:30"),
        (Segment.NSE_EQ, "2021-06-08T09:14:59", "preopen", "2021-06-08T09:15"),
        (Segment.NSE_EQ, "2021-06-08T15:30", "closed", "2021-06-08T15:40"),
        (Segment.NSE_EQ, "2026-07-31T15:29", "open", "2026-07-31T15:30"),
        (Segment.NSE_EQ, "2026-08-03T15:20", "closed", "2026-08-03T15:35"),
        (Segment.NSE_FO, "2026-08-03T15:39", "open", "2026-08-03T15:40"),
        (Segment.NSE_FO, "2026-07-31T15:30", "closed", "2026-08-03T09:00"),
        (Segment.NSE_INDEX, "2026-01-05T12:00", "open", "2026-01-05T15:30"),
        (Segment.NSE_EQ, "2026-01-26T12:00", "closed", "2026-01-27T09:00"),
        (Segment.NSE_EQ, "2024-05-18T10:30", "closed", "2024-05-18T11:30"),
        (Segment.NSE_EQ, "2024-05-18T11:30", "open", "2024-05-18T12:30"),
        (Segment.NSE_EQ, "2024-11-01T12:00", "closed", "2024-11-01T18:00"),
        (Segment.NSE_EQ, "2025-02-01T12:00", "open", "2025-02-01T15:30"),
        (Segment.NSE_EQ, "2026-11-21T12:00", "closed", "2026-11-23T09:00"),
        (Segment.MCX, "2026-07-01T23:29", "open", "2026-07-01T23:30"),
        (Segment.MCX, "2026-12-01T23:45", "open", "2026-12-01T23:55"),
        (Segment.MCX, "2026-03-03T12:00", "closed", "2026-03-03T17:00"),
        (Segment.MCX, "2026-01-26T18:00", "closed", "2026-01-27T09:00"),
    ],
)
def test_the_state_of_a_segment(segment: Segment, at: str, state: str, until: str) -> None:
    found = CALENDAR.state(segment, ist(at))
    assert (found.state, found.until) == (state, ist(until).astimezone(UTC))
    assert CALENDAR.is_open(segment, ist(at)) == (state == "open")
    assert not found.assumed or not CALENDAR.covers(segment, ist(at).date())


def test_the_closing_auction_has_its_name() -> None:
    assert CALENDAR.state(Segment.NSE_EQ, ist("2026-08-03T15:20")).phase == "closing_auction"


def test_trading_days() -> None:
    assert CALENDAR.is_trading_day(Segment.NSE_EQ, date(2026, 1, 5))
    assert not CALENDAR.is_trading_day(Segment.NSE_EQ, date(2026, 1, 4))
    assert not CALENDAR.is_trading_day(Segment.NSE_EQ, date(2026, 12, 25))
    assert CALENDAR.next_open(Segment.NSE_EQ, ist("2026-01-23T16:00")) == ist("2026-01-27T09:15").astimezone(UTC)


def test_past_the_end_weekdays_are_assumed_to_trade() -> None:
    state = CALENDAR.state(Segment.NSE_EQ, ist("2031-01-01T12:00"))
    assert state.state == "open"
    assert state.assumed
    before = CALENDAR.state(Segment.NSE_EQ, ist("2005-01-03T12:00"))
    assert before.assumed
    assert not CALENDAR.covers(Segment.NSE_EQ, date(2028, 1, 3))


@given(st.sampled_from([Segment.NSE_EQ, Segment.NSE_FO, Segment.MCX]), st.integers(0, 366 * 3 * 24 * 60))
def test_the_state_holds_until_it_says(segment: Segment, minutes: int) -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    state = CALENDAR.state(segment, at)
    assert state.until is not None
    assert state.until > at
    assert CALENDAR.state(segment, state.until - timedelta(seconds=1)).phase == state.phase
    assert CALENDAR.state(segment, state.until).phase != state.phase or state.phase == "open"


def write(folder: Path, **changes: Any) -> Path:
    document: dict[str, Any] = {
        "segment": "NSE_EQ",
        "covers": {"from": "2026-01-01", "to": "2026-12-31"},
        "periods": [
            {"from": "2026-01-01", "to": "2026-12-31", "phases": [{"phase": "open", "start": "09:15", "end": "15:30"}]}
        ],
        "days": [],
    }
    (folder / "NSE_EQ.json").write_text(
        json.dumps(document | changes).replace("09:15", "09:15:00").replace("15:30", "15:30:00")
    )
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"periods": []}, "at least one period"),
        ({"days": [{"date": "someday", "name": "x"}]}, r"NSE_EQ.json.*days"),
        (
            {
                "days": [
                    {"date": "2026-01-05", "name": "x", "phases": [{"phase": "open", "start": "15:30", "end": "09:15"}]}
                ]
            },
            "ends before it starts",
        ),
        (
            {
                "days": [
                    {
                        "date": "2026-01-05",
                        "name": "x",
                        "phases": [{"phase": p, "start": "09:15", "end": "15:30"} for p in ("open", "late")],
                    }
                ]
            },
            "overlap",
        ),
        (
            {
                "periods": [
                    {"from": "2026-01-01", "to": "2026-01-31", "phases": []},
                    {"from": "2026-03-01", "to": "2026-03-31", "phases": []},
                ]
            },
            "does not follow on",
        ),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        load_calendar(write(tmp_path, **changes))


def test_missing_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="no trading calendar in"):
        load_calendar(tmp_path)
    calendar = load_calendar(write(tmp_path))
    assert calendar.segments == (Segment.NSE_EQ,)
    with pytest.raises(DomainError, match="no trading calendar for segment MCX"):
        calendar.state(Segment.MCX, ist("2026-01-05T12:00"))


def test_a_calendar_without_a_next_session_says_so(tmp_path: Path) -> None:
    days = [{"date": str(date(2026, 1, 5) + timedelta(days=n)), "name": "closed"} for n in range(40)]
    calendar = load_calendar(write(tmp_path, days=days))
    assert calendar.state(Segment.NSE_EQ, ist("2026-01-05T12:00")).until is None
    assert calendar.next_open(Segment.NSE_EQ, ist("2026-01-05T12:00")) is None


def test_calendars_are_made_of_their_parts() -> None:
    assert Calendar([]).segments == ()
