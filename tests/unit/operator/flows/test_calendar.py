"""Trading hours by date, as the operator reads them: as the programs do, and on the safe side of what is open."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from tradingengine.domain.calendar import load_calendar
from tradingengine.domain.instruments import Segment
from tradingengine_operator.errors import CalendarError
from tradingengine_operator.flows.calendar import IST, MarketCalendar, read_calendar
from tradingengine_operator.runtime.release.market import contract_calendar, contract_folder

pytestmark = pytest.mark.unit
CASH = ("NSE_EQ",)


def moment(text: str) -> datetime:
    """A moment in India."""
    return datetime.fromisoformat(text).replace(tzinfo=IST)


def hours(calendar: MarketCalendar, day: str, *segments: str) -> list[tuple[str, str]]:
    """Sessions of one date, in India."""
    found = calendar.sessions(segments or CASH, moment(f"{day}T00:00"), 1)
    return [(f"{entry.opens.astimezone(IST):%H:%M}", f"{entry.closes.astimezone(IST):%d %H:%M}"[3:]) for entry in found]


def own(**days: Any) -> MarketCalendar:
    """The contract's calendar with days that a namespace says of NSE_EQ."""
    said = {"segment": "NSE_EQ", **days}
    return MarketCalendar(contract_calendar().files, read_calendar({}, {"NSE_EQ.json": json.dumps(said)}).own)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-07-31", [("09:00", "16:00")]),  # before the closing auction came
        ("2026-08-03", [("09:00", "16:00")]),  # with pre-open, closing auction and the session after it
        ("2026-12-05", []),  # a Saturday
        ("2026-01-26", []),  # a holiday
        ("2020-02-01", [("09:00", "15:30")]),  # a Saturday with the budget's session
        ("2026-11-08", [("09:00", "00:00")]),  # Muhurat: whether and when is not certain yet
        ("2019-10-27", [("09:00", "00:00")]),
        ("2028-01-26", [("09:00", "16:00")]),  # past the file's dates no holiday is known
    ],
)
def test_hours_of_shares(day: str, expected: list[tuple[str, str]]) -> None:
    assert hours(contract_calendar(), day) == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-10-30", [("09:00", "23:30")]),
        ("2026-11-02", [("09:00", "23:55")]),  # New York's summer time is over
        ("2026-11-10", [("09:00", "00:00")]),  # a holiday with an evening session, not certain yet
    ],
)
def test_hours_of_commodities(day: str, expected: list[tuple[str, str]]) -> None:
    assert hours(contract_calendar(), day, "MCX") == expected


def test_segments_together_are_open_while_one_of_them_is() -> None:
    sessions = contract_calendar().sessions(("NSE_EQ", "NSE_FO", "MCX"), moment("2026-11-02T12:00"), 2)
    assert [(entry.opens, entry.closes) for entry in sessions] == [
        (moment(f"{day}T09:00"), moment(f"{day}T23:55")) for day in ("2026-11-02", "2026-11-03")
    ]
    assert set(sessions[0].segments) == {"NSE_EQ", "NSE_FO", "MCX"}


def test_a_date_of_the_namespace_wins() -> None:
    muhurat = {"date": "2026-11-08", "phases": [{"phase": "open", "start": "18:00:00", "end": "19:00:00"}]}
    assert hours(own(days=[muhurat]), "2026-11-08") == [("18:00", "19:00")]
    assert hours(own(days=[{"date": "2026-12-01"}]), "2026-12-01") == [], "a holiday that came late"
    assert hours(own(days=[{"date": "2026-12-01"}]), "2026-12-02") == [("09:00", "16:00")]


def test_hours_of_the_namespace_win_in_their_range_and_leave_holidays_alone() -> None:
    phases = [{"phase": "open", "start": "09:15:00", "end": "17:00:00"}]
    calendar = own(periods=[{"from": "2026-01-01", "to": "2026-12-31", "phases": phases}])
    assert hours(calendar, "2026-12-01") == [("09:15", "17:00")]
    assert hours(calendar, "2026-01-26") == []
    assert hours(calendar, "2027-12-01") == [("09:00", "16:00")]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("NSE_EQ.json", "{", "key NSE_EQ.json: it: Invalid JSON"),
        ("NSE_EQ.json", "{}", "segment: Field required"),
        ("MCX.json", '{"segment": "NSE_EQ"}', "it is about segment NSE_EQ"),
        ("NSE_EQ", '{"segment": "NSE_EQ"}', "it is about segment NSE_EQ"),
        ("NSE_EQ.json", '{"segment": "NSE_EQ", "days": [{"date": "2026-13-01"}]}', "days.0.date: "),
        (
            "NSE_EQ.json",
            '{"segment": "NSE_EQ", "days": [{"date": "2026-12-01", "phases": '
            '[{"phase": "open", "start": "10:00:00", "end": "09:00:00"}]}]}',
            "a phase ends before it starts",
        ),
    ],
)
def test_what_cannot_be_read_is_named(name: str, text: str, words: str) -> None:
    with pytest.raises(CalendarError) as caught:
        read_calendar({}, {name: text})
    assert words in caught.value.message


def test_the_programs_and_the_operator_read_the_same_of_every_certain_day() -> None:
    programs, operator = load_calendar(), contract_calendar()
    assert set(operator.files) == {"NSE_EQ", "NSE_FO", "MCX"}
    compared = 0
    for name in operator.files:
        segment = Segment(name)
        for offset in range(3285):
            day = datetime(2019, 1, 1, tzinfo=UTC).date() + timedelta(days=offset)
            if not programs.is_certain(segment, day):
                continue
            phases = programs.phases(segment, day)
            sessions = operator.sessions((name,), datetime.combine(day, time.min, IST), 1)
            expected = [(phases[0].start, phases[-1].end)] if phases else []
            assert [
                (entry.opens.astimezone(IST).time(), entry.closes.astimezone(IST).time()) for entry in sessions
            ] == expected, f"{name} {day}"
            compared += 1
    assert compared > 4000


def test_the_contracts_folder_is_found_beside_the_package() -> None:
    assert contract_folder() == Path(__file__).parents[4] / "contract"
