"""What is noted of a release after its record was written, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tradingengine_operator.flows.notes import Note, merged_images, outcomes, parse_note
from tradingengine_operator.flows.state import Pin, Placed, ReleaseState, Schema, Verdict

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ENDED = NOW - timedelta(minutes=5)
SERVING = ReleaseState(serial=9, last=5, stable=Placed("a", 5), finished_at=ENDED)
PROMOTED = Note({"outcome": "Promoted", "at": "2026-11-21T08:55:00.000Z"})


def words(state: ReleaseState, known: dict[int, Note]) -> dict[int, str]:
    """Outcomes that are due."""
    return {number: str(entry["outcome"]) for number, entry in outcomes(state, known, NOW).items()}


def test_what_serves_was_promoted_when_it_began_to_and_it_is_noted_once() -> None:
    assert outcomes(SERVING, {5: Note()}, NOW) == {5: dict(PROMOTED.outcome)}
    assert outcomes(SERVING, {5: PROMOTED}, NOW) == {}
    assert outcomes(SERVING, {}, NOW) == {}, "a record that is not there cannot be noted on"


def test_a_withdrawal_is_noted_with_reason_value_and_limit() -> None:
    verdict = Verdict(
        6, "h6", "ErrorRate", "too many errors", NOW, value="0.25", limit="0.01", check="error-rate", query="failed{}"
    )
    state = ReleaseState(serial=10, last=6, stable=Placed("a", 5), withdrawn=verdict)
    due = outcomes(state, {5: PROMOTED, 6: Note()}, NOW)
    assert due == {
        6: {
            "outcome": "Withdrawn",
            "at": "2026-11-21T09:00:00.000Z",
            "reason": "ErrorRate",
            "message": "too many errors",
            "value": "0.25",
            "limit": "0.01",
            "check": "error-rate",
            "query": "failed{}",
        }
    }
    assert outcomes(state, {5: PROMOTED, 6: Note(due[6])}, NOW) == {}


def test_the_release_that_was_left_by_a_rollback_is_noted_once_the_other_serves() -> None:
    pin = Pin(3, "h3", "w3", "w5", NOW, "orders look odd", left=5)
    under_way = ReleaseState(serial=10, last=5, stable=Placed("a", 5), pin=pin)
    known = {3: PROMOTED, 5: PROMOTED}
    assert words(under_way, known) == {}
    done = ReleaseState(serial=12, last=5, stable=Placed("b", 3), pin=pin, finished_at=ENDED)
    assert outcomes(done, known, NOW)[5]["message"] == "orders look odd"
    assert words(done, known) == {5: "RolledBack"}


def test_a_release_that_gave_way_to_another_is_noted_and_one_of_the_future_is_not() -> None:
    known = {3: PROMOTED, 4: Note(), 5: PROMOTED, 6: Note()}
    assert words(SERVING, known) == {4: "Superseded"}


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null"])
def test_an_annotation_that_cannot_be_read_counts_as_not_there(text: str | None) -> None:
    assert parse_note(text, text, text) == Note()


def test_annotations_are_read_as_they_are_written() -> None:
    read = parse_note('{"outcome": "Promoted"}', '{"contract": "0003", "revision": "0004"}', '{"api": ["x@sha256:1"]}')
    assert read == Note({"outcome": "Promoted"}, Schema("0004", "0003"), {"api": ("x@sha256:1",)})


def test_a_tag_that_was_moved_shows_as_a_second_image_and_the_list_is_bounded() -> None:
    first = merged_images({}, [("api", "a@1"), ("api", "a@1"), ("edge", ""), ("prober", "p@1")], ("api", "edge"))
    assert first == {"api": ("a@1",)}
    second: dict[str, Any] = merged_images(first, [("api", f"a@{n}") for n in range(2, 9)], ("api",))
    assert second == {"api": ("a@1", "a@2", "a@3", "a@4")}
