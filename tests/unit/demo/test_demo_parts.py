"""What of the demo can be said without a cluster: comparing the planes, versions, statuses, closing words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from te_demo import __main__ as program
from te_demo.canary import Outcome, next_versions
from te_demo.canary import report as canary_report
from te_demo.cut import Comparison, CutResult, Refused, compare
from te_demo.cut import report as cut_report
from te_demo.edge import EdgeDisk, EdgeOrder
from te_demo.person import Person
from te_demo.product import DATA_CLAIM, describe, engine_manifest, explain, recordings, running
from te_demo.traffic import Tally, Traffic
from te_demo.up import closing_words, replay_changes
from te_demo.visitors import Visitors
from te_devcluster.errors import DevclusterError

pytestmark = pytest.mark.unit


def order(order_id: str, state: str) -> EdgeOrder:
    return EdgeOrder(order_id, state, "strategy", 0)


def test_planes_agree_when_final_states_are_equal_and_open_orders_are_open_on_both() -> None:
    edge = {"1": order("1", "FILLED"), "2": order("2", "OPEN")}
    result = compare(edge, {"1": "FILLED", "2": "PARTIALLY_FILLED", "3": "NOT_DELIVERED"}, ["t1", "t2"])
    assert result == Comparison(edge=2, cloud=3, missing=(), different=(), doubled_tags=0)


def test_a_missing_a_different_and_a_doubled_order_are_named() -> None:
    edge = {"1": order("1", "FILLED"), "2": order("2", "CANCELLED"), "3": order("3", "OPEN")}
    result = compare(edge, {"2": "FILLED", "3": "FILLED"}, ["t1", "t1", "t2"])
    assert result.missing == ("1",)
    assert result.different == ("2", "3")
    assert result.doubled_tags == 1


@pytest.mark.parametrize(("version", "expected"), [("0.1.0", ("0.1.1", "0.1.2")), ("1.2.9-rc1", ("1.2.10", "1.2.11"))])
def test_next_versions_are_the_two_patches_after(version: str, expected: tuple[str, str]) -> None:
    assert next_versions(version) == expected


def test_next_versions_refuse_what_is_no_version() -> None:
    with pytest.raises(DevclusterError, match="no version"):
        next_versions("latest")


def status(phase: str, version: str, ready: str, edge: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}, {"type": "EdgeReady", "status": edge}]
    return {"phase": phase, "version": version, "conditions": conditions}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (status("Running", "0.2.0", "True"), True),
        (status("Running", "0.1.0", "True"), False),
        (status("Releasing", "0.2.0", "True"), False),
        (status("Running", "0.2.0", "False"), False),
        (status("Running", "0.2.0", "True", "Unknown"), False),
        ({}, False),
    ],
)
def test_running_means_that_this_version_serves_and_nothing_is_under_way(seen: dict[str, Any], expected: bool) -> None:
    assert running("0.2.0")(seen) is expected


def test_a_status_in_one_line_says_what_is_waited_for() -> None:
    seen = {
        "phase": "Releasing",
        "release": {"number": 2, "state": "Holding", "weight": 10.0},
        "conditions": [{"type": "DatabaseReady", "status": "False", "reason": "Starting", "message": "pod pending"}],
    }
    assert describe(seen) == "Releasing, release 2 Holding, weight 10, DatabaseReady: Starting"
    assert "DatabaseReady=False Starting: pod pending" in explain(seen)
    assert describe({}) == "waiting for the operator"


def test_the_demo_engine_takes_a_version_and_changes() -> None:
    made = engine_manifest("9.9.9", replay_changes(Path("/somewhere")))
    assert made["kind"] == "TradingEngine"
    assert made["spec"]["version"] == "9.9.9"
    assert made["spec"]["marketData"] == {"source": "replay", "replay": {"claimName": DATA_CLAIM, "speed": 1}}
    assert made["spec"]["rollout"]["steps"][-1] == {"weight": 100}


def test_recordings_are_mounted_read_only_on_the_edge_alone() -> None:
    volume, claim = recordings(Path("/recordings"), "trading")
    assert volume["spec"]["local"]["path"] == "/recordings"
    assert volume["spec"]["accessModes"] == claim["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["edge"]


def test_failures_are_reported_by_slot() -> None:
    tally = Tally(Counter({("a", "ok"): 90, ("b", "ok"): 5, ("b", "500"): 5}))
    with Person(1) as person:
        text = canary_report(Outcome("0.1.2", tally, 30.0, 1.25, Visitors(person)))
    assert (tally.total(), tally.failures()) == (100, 5)
    assert "slot a: 90 answers, no failure" in text
    assert "slot b: 10 answers, 5 x 500" in text
    assert "weight 0: 1.2 s" in text
    assert "0 of another" in text


def test_a_cut_is_reported_with_the_order_that_was_never_sent() -> None:
    refused = Refused(503, "The edge does not answer", "1", "NOT_DELIVERED")
    result = CutResult(120, 7, 60, 70, 3.2, refused, False, Comparison(9, 10, (), (), 0))
    text = cut_report(result)
    assert 'answered 503 "The edge does not answer", NOT_DELIVERED, never sent' in text
    assert "0 missing in the cloud, 0 different, 0 doubled" in text


def test_closing_words_hold_address_and_login() -> None:
    text = closing_words("pass-word", "simulator")
    assert "http://desk.localhost:8080" in text
    assert "pass-word" in text
    assert "make demo-canary" in text
    assert "prices of the seeded simulator." in text


def test_closing_words_say_what_the_running_engine_trades_on() -> None:
    assert "with recorded prices from /data." in closing_words("x", "replay", Path("/data"))
    assert "with recorded prices." in closing_words("x", "replay")


def test_an_edge_without_files_has_nothing_on_disk(tmp_path: Path) -> None:
    disk = EdgeDisk(tmp_path)
    assert (disk.sequence(), disk.acknowledged(), disk.orders(), disk.broker_tags()) == (0, 0, {}, [])


def test_command_line_knows_its_commands() -> None:
    assert program.parser().parse_args(["cut", "--seconds", "30"]).seconds == 30
    with pytest.raises(SystemExit) as error:
        program.parser().parse_args(["fly"])
    assert error.value.code == 2


@pytest.mark.parametrize("seconds", ["0", "-5", "1.5", "soon"])
def test_a_time_that_is_none_to_be_cut_off_for_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(["cut", f"--seconds={seconds}"])
    assert caught.value.code == 2
    assert "whole seconds, 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, headers={"x-te-slot": "a"}), ("a", "ok")),
        (httpx.Response(200, json={"engine": {"slot": "b"}}), ("b", "ok")),
        (httpx.Response(200, json=[]), ("unknown", "not our answer")),
        (httpx.Response(200, text="<html>"), ("unknown", "not our answer")),
        (httpx.Response(503, headers={"x-te-slot": "b"}), ("b", "503")),
    ],
)
def test_every_answer_is_counted_and_none_ends_the_counting(answer: httpx.Response, expected: tuple[str, str]) -> None:
    with Person(1) as person:
        person.http = httpx.Client(transport=httpx.MockTransport(lambda _request: answer), base_url="http://desk")
        assert Traffic(person)._ask() == expected
