"""What `kubectl tradingengine` shows: texts by golden files, and what a text cannot show."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tradingengine_operator.plugin.history import history, render_history
from tradingengine_operator.plugin.picture import not_healthy, picture
from tradingengine_operator.plugin.terminal import Cell, Style, Table, duration
from tradingengine_operator.plugin.tree import render_status
from tradingengine_operator.plugin.world import parse_samples

from .worlds import PAGE, condition, engine, pods, record, releasing, route, world

pytestmark = pytest.mark.unit
GOLDEN = Path(__file__).parent / "golden"
PLAIN = Style()


def hold_golden(name: str, text: str) -> None:
    """Compare with a golden file; after a wanted change: UPDATE_GOLDEN=1 pytest here, then read the difference."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def mid_release() -> dict[str, Any]:
    samples = parse_samples(PAGE, "trading", "desk")
    return picture(world(releasing(), route=route(123), pods=pods(), samples=samples))


def test_a_release_on_its_way_is_the_tree_of_the_golden_file() -> None:
    hold_golden("releasing.txt", render_status(mid_release(), PLAIN))


def test_its_json_is_that_of_the_golden_file() -> None:
    hold_golden("releasing.json", json.dumps(mid_release(), indent=1) + "\n")


def test_a_terminal_without_unicode_gets_the_same_tree_in_ascii() -> None:
    text = render_status(mid_release(), Style(unicode=False))
    assert text.isascii()
    assert "|- slot a" in text


def test_colours_change_no_column() -> None:
    import re

    coloured = render_status(mid_release(), Style(colour=True))
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[[0-9]*m", "", coloured).splitlines() == render_status(mid_release(), PLAIN).splitlines()


def test_weights_are_those_of_the_route_and_not_those_of_the_status() -> None:
    live = {slot["slot"]: slot["weight"] for slot in mid_release()["slots"]}
    assert live == {"a": 87.7, "b": 12.3}


def test_a_route_that_may_not_be_read_leaves_what_the_operator_saw_last_and_says_so() -> None:
    shown = picture(world(releasing(), pods=pods(), unread={"route": "not readable: you may not read httproutes here"}))
    assert [(slot["weight"], slot["live"]) for slot in shown["slots"]] == [(90.0, False), (10.0, False)]
    text = render_status(shown, PLAIN)
    assert "90 % (last seen)" in text
    assert "route: not readable" in text


def test_samples_that_cannot_be_reached_stand_as_such_beside_their_limits() -> None:
    why = "not reachable: you may not get pods/proxy in namespace ops"
    text = render_status(picture(world(releasing(), unread={"samples": why})), PLAIN)
    assert f"error-rate         {why}" in text
    assert "at most 0.01" in text


def test_a_withdrawn_release_says_why() -> None:
    verdict = {"release": 7, "reason": "ErrorRate", "message": "6.1 % failed, limit 1 %", "at": "2026-11-28T18:00:00Z"}
    release = {"number": 6, "state": "Withdrawn", "reason": "ErrorRate", "message": "6.1 % failed, limit 1 %"}
    found = engine({"stable": {"slot": "a", "release": 6}, "withdrawn": verdict}, phase="Withdrawn", release=release)
    text = render_status(picture(world(found)), PLAIN)
    assert "Withdrawn:  ErrorRate: 6.1 % failed, limit 1 %" in text
    assert "CHECK" not in text


def test_what_people_did_is_shown() -> None:
    found = releasing()
    progress = json.loads(found["status"]["release"]["progress"])
    progress["candidate"]["paused"] = {"at": "2026-11-28T18:20:00Z", "by": "asha", "reason": "looking"}
    found["status"]["release"] |= {
        "progress": json.dumps(progress),
        "command": {"id": "1", "act": "pause", "release": 7, "outcome": "Done", "message": "held", "at": "18:20"},
        "nextWindow": "2026-11-30T10:30:00Z",
    }
    text = render_status(picture(world(found)), PLAIN)
    assert "Paused:     by asha: looking; its checks go on" in text
    assert "Command:    pause of release 7: Done, held (18:20)" in text
    assert "2026-11-30T10:30:00Z" in text


def test_a_step_that_waits_for_a_person_has_no_time_left() -> None:
    found = releasing()
    found["spec"]["rollout"]["steps"][0] = {"weight": 10, "hold": "manual"}
    shown = picture(world(found))
    found["spec"]["rollout"]["steps"][0] = {"weight": 10, "hold": "1h"}
    assert shown["release"]["step"]["leftSeconds"] is None
    assert "until somebody promotes it" in render_status(shown, PLAIN)


@pytest.mark.parametrize(("held", "left"), [(1050.0, 2520), (0.0, 3540), (3600.0, 2520)])
def test_time_in_which_nobody_judged_does_not_shorten_what_is_left(held: float, left: int) -> None:
    """18 minutes ago the step began; what was judged since it was last stored is at most a minute."""
    found = releasing()
    progress = json.loads(found["status"]["release"]["progress"])
    progress["candidate"]["held"] = held
    found["status"]["release"]["progress"] = json.dumps(progress)
    assert picture(world(found))["release"]["step"]["leftSeconds"] == left


def test_an_engine_without_any_status_is_shown_all_the_same() -> None:
    found = engine()
    del found["status"]
    text = render_status(picture(world(found)), PLAIN)
    assert "Release:    none yet" in text


def test_conditions_that_are_well_are_not_shown_and_a_cause_is_shown_once() -> None:
    conditions = [
        condition("Ready", "False", "StoreNotReady", "x. To mend: y"),
        condition("Degraded", "True", "StoreNotReady", "x. To mend: y"),
        condition("Progressing", "True", "Releasing"),
        condition("Paused", "False", "Running"),
        condition("EdgeReady", "Unknown", "Unreachable", "no answer"),
    ]
    found = not_healthy(conditions)
    assert [(entry["type"], entry["message"], entry["mend"]) for entry in found] == [
        ("Ready", "x.", "y"),
        ("EdgeReady", "no answer", ""),
    ]


def records() -> tuple[dict[str, Any], ...]:
    withdrawn = {"outcome": "Withdrawn", "at": "2026-11-25T11:00:00.000Z", "reason": "ErrorRate"}
    broken = record(3, "1.3.0")
    broken["data"] = {"release.json": "{"}
    return (
        record(5, "1.4.1", withdrawn | {"message": "too many", "value": "0.061", "limit": "0.01"}),
        record(6, "1.4.2", requesterFrom="admission"),
        record(4, "1.4.0", {"outcome": "Promoted", "at": "2026-11-24T12:00:00.000Z"}),
        record(7, "1.4.3"),
        broken,
    )


def test_the_history_is_that_of_the_golden_file() -> None:
    hold_golden("history.txt", render_history(history(world(releasing(), records=records())), PLAIN))


def test_a_history_without_annotations_follows_from_the_state() -> None:
    verdict = {"release": 7, "reason": "ErrorRate", "message": "m", "at": "t", "value": "0.061", "limit": "0.01"}
    found = engine({"stable": {"slot": "a", "release": 6}, "withdrawn": verdict})
    entries = history(world(found, records=(record(6, "1.4.2"), record(7, "1.4.3"))))
    assert [(entry["number"], entry["outcome"], entry["value"]) for entry in entries] == [
        (7, "Withdrawn", "0.061"),
        (6, "Serves", None),
    ]


def test_an_empty_history_says_so() -> None:
    assert render_history([], PLAIN) == "no release yet\n"


def test_columns_are_as_wide_as_their_texts_and_no_line_ends_in_blanks() -> None:
    table = Table(("A", "B"))
    table.add("long one", "")
    table.add(Cell("x", "good"), "y")
    assert table.lines(PLAIN) == ["A         B", "long one", "x         y"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (60, "1m"), (2530, "42m10s"), (11100, "3h5m"), (86400 * 12, "12d")]
)
def test_lengths_of_time_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
