"""What people are told of the edge, over time: a healthy start without a word of failure, a failure with its cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine_operator.flows.edge import EdgeObservation
from tradingengine_operator.flows.edge_words import (
    COMING_SECONDS,
    START_SECONDS,
    TOKEN_SECONDS,
    EdgeLook,
    EdgeWords,
    Heard,
    WordMemory,
    edge_words,
    remember,
)
from tradingengine_operator.flows.pod_observation import Life

from tests.healthy import failure_words

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FIRST = EdgeObservation(wanted=1, template=1, pod=1, pod_exists=True)
PENDING = Life("-n trading desk-edge-0", "a/0", NOW, placed=False, waits="ContainerCreating")
RUNNING = replace(PENDING, placed=True, waits="")
STARTED = replace(RUNNING, started=True)
TELLING = EdgeLook(replace(FIRST, reachable=True, recovered=True), 1, False, STARTED, Heard.STATE, ready=True)
SILENT = replace(TELLING, seen=FIRST, heard=Heard.NOTHING, ready=False)


class People:
    """Who looks at the edge again and again with what an operator remembers."""

    def __init__(self) -> None:
        self.memory = WordMemory()
        self.said: list[EdgeWords] = []

    def see(self, look: EdgeLook, at: float) -> EdgeWords:
        """The words `at` seconds after the start."""
        now = NOW + timedelta(seconds=at)
        self.memory = remember(self.memory, look, now)
        self.said.append(edge_words(self.memory, look, now))
        return self.said[-1]


def bad(words: EdgeWords) -> list[str]:
    """What speaks of failure in them."""
    condition = {"type": "EdgeReady", "status": words.status, "reason": words.reason, "message": words.message}
    return failure_words({"edge": {"state": words.state}, "conditions": [condition]})


def look(life: Life | None, heard: Heard = Heard.NOTHING, **changes: object) -> EdgeLook:
    """A first edge that does not tell its state."""
    seen = FIRST if life is not None else EdgeObservation(wanted=1, template=1)
    return replace(replace(SILENT, seen=seen, life=life, heard=heard), **changes)  # type: ignore[arg-type]


def test_a_healthy_first_start_says_no_word_of_failure() -> None:
    people = People()
    people.see(replace(look(None), seen=EdgeObservation(wanted=None), stable=None), 0)
    people.see(look(None), 1)
    for at in range(2, 62):
        people.see(look(PENDING), at)
    run = replace(RUNNING, begun=NOW + timedelta(seconds=62))
    for at in range(62, 122):
        people.see(look(run), at)
    up = replace(run, started=True)
    people.see(look(up), 123)
    people.see(look(up, Heard.OPENING, says="the journal is being opened"), 124)
    recovering = replace(TELLING, life=up, seen=replace(TELLING.seen, recovered=False), ready=False)
    people.see(recovering, 125)
    people.see(replace(TELLING, life=up), 126)
    assert [entry for words in people.said for entry in bad(words)] == []
    assert [words.state for words in people.said[:2]] == ["Waiting", "Starting"]
    assert people.said[-4].message == "waits for its pod to answer"
    assert people.said[-3].message == "the journal is being opened"
    assert [(words.state, words.reason) for words in people.said[-2:]] == [
        ("Connected", "Recovering"),
        ("Connected", "Ready"),
    ]


def test_an_edge_that_answered_and_fell_silent_is_unreachable_at_once() -> None:
    people = People()
    people.see(TELLING, 5)
    assert people.see(SILENT, 6).reason == "Unreachable"


def test_another_run_of_its_pod_has_not_answered_yet() -> None:
    people = People()
    people.see(replace(TELLING, ran=1), 5)
    again = replace(STARTED, run="b/0", begun=NOW + timedelta(seconds=6))
    assert people.see(replace(SILENT, life=again, ran=1), 7).reason == "Restarting"


@pytest.mark.parametrize(
    ("seen", "patience", "reason", "cause"),
    [
        (look(None), START_SECONDS, "DidNotStart", "has made no pod for 3 minutes"),
        (look(PENDING), START_SECONDS, "DidNotStart", "ContainerCreating"),
        (
            look(replace(PENDING, waits="a node", hindered="SchedulerError: x")),
            START_SECONDS,
            "DidNotStart",
            "SchedulerError",
        ),
        (look(RUNNING), COMING_SECONDS, "Unreachable", "does not answer"),
        (look(STARTED), COMING_SECONDS, "Unreachable", "does not answer"),
        (look(STARTED, Heard.OPENING, says="it is large"), START_SECONDS, "DidNotStart", "it is large"),
        (look(replace(STARTED, ending=True)), COMING_SECONDS, "Unreachable", "does not answer"),
        (look(STARTED, Heard.REFUSAL), TOKEN_SECONDS, "TokenRefused", "control token"),
    ],
    ids=["no pod", "pending", "no node", "not started", "never answers", "journal never opens", "never ends", "token"],
)
def test_every_patience_ends_with_a_word_of_failure_and_its_cause(
    seen: EdgeLook, patience: float, reason: str, cause: str
) -> None:
    people = People()
    for at in range(int(patience)):
        assert bad(people.see(seen, at)) == [], f"after {at} s"
    late = people.see(seen, patience)
    assert late.reason == reason
    assert cause in late.message
    assert "To mend: " in late.message
    assert bad(late)


@pytest.mark.parametrize(
    ("heard", "patience", "reason"),
    [(Heard.OPENING, START_SECONDS, "DidNotStart"), (Heard.NOTHING, COMING_SECONDS, "Unreachable")],
)
def test_a_pod_whose_container_is_started_again_and_again_does_not_begin_its_patience_anew(
    heard: Heard, patience: float, reason: str
) -> None:
    people = People()
    for at in range(0, int(patience) + 1, 10):
        run = replace(STARTED, run=f"a/{at // 60}", restarts=at // 60, begun=NOW + timedelta(seconds=at // 60 * 60))
        words = people.see(look(run, heard, says="the journal is large" if heard is Heard.OPENING else ""), at)
        passing = "Restarting" if at >= 60 else "Starting"
        assert words.reason == (passing if at < patience else reason), f"after {at} s"


def test_an_edge_that_told_its_state_has_its_whole_patience_after_a_restart() -> None:
    people = People()
    people.see(look(STARTED, Heard.OPENING), 0)
    people.see(TELLING, 100)
    again = replace(STARTED, run="a/1", restarts=1, begun=NOW + timedelta(seconds=1000))
    assert people.see(look(again, Heard.OPENING), 1000).reason == "Restarting"
    assert people.see(look(again, Heard.OPENING), 1000 + START_SECONDS - 1).reason == "Restarting"
    assert people.see(look(again, Heard.OPENING), 1000 + START_SECONDS).reason == "DidNotStart"


def test_an_edge_that_was_cut_off_has_its_whole_patience_when_its_node_comes_back() -> None:
    people = People()
    people.see(replace(TELLING, ran=1), 0)
    assert people.see(replace(SILENT, ran=1), 300).reason == "Unreachable"
    again = replace(STARTED, run="a/1", restarts=1, begun=NOW + timedelta(seconds=600))
    assert people.see(look(again, Heard.OPENING, says="it is large", ran=1), 605).message == "it is large"


def test_another_pod_has_a_patience_of_its_own() -> None:
    people = People()
    people.see(look(STARTED, Heard.OPENING), 0)
    assert people.see(look(STARTED, Heard.OPENING), START_SECONDS).reason == "DidNotStart"
    other = replace(STARTED, run="b/0", begun=NOW + timedelta(seconds=START_SECONDS))
    assert people.see(look(other, Heard.OPENING), START_SECONDS + 1).reason == "Starting"


def test_an_operator_that_was_just_started_counts_a_silence_from_when_the_container_began() -> None:
    assert People().see(look(STARTED, Heard.OPENING), START_SECONDS).reason == "DidNotStart"


@pytest.mark.parametrize("between", [SILENT, look(STARTED, Heard.OPENING)], ids=["a timeout", "opening"])
def test_what_comes_between_refusals_does_not_begin_their_patience_anew(between: EdgeLook) -> None:
    people = People()
    people.see(TELLING, 0)
    refuses = replace(SILENT, heard=Heard.REFUSAL)
    for at in range(1, int(TOKEN_SECONDS), 2):
        assert people.see(refuses, at).reason == "WaitsForToken"
        people.see(between, at + 1)
    assert people.see(refuses, 1 + TOKEN_SECONDS).reason == "TokenRefused"


def test_a_container_that_ended_is_said_at_once_with_its_cause() -> None:
    crashed = replace(RUNNING, restarts=1, run="a/1", ended="Error, exit code 1")
    words = People().see(look(crashed), 1)
    assert (words.state, words.reason) == ("Restarting", "Restarting")
    assert "Error, exit code 1" in words.message


def test_a_change_to_a_promoted_release_says_updating_until_the_new_one_tells() -> None:
    people = People()
    promoted = replace(FIRST, wanted=2)
    people.see(replace(TELLING, ran=1), 0)
    for at, seen in enumerate(
        (
            replace(TELLING, seen=replace(TELLING.seen, wanted=2), stable=2, ran=1),
            look(replace(STARTED, ending=True), seen=replace(promoted, terminating=True), stable=2, ran=1),
            look(None, seen=replace(promoted, pod=None, pod_exists=False), stable=2, ran=1),
            look(replace(PENDING, run="b/0"), seen=replace(promoted, pod=2), stable=2, ran=1),
            look(replace(STARTED, run="b/0"), seen=replace(promoted, pod=2), stable=2, ran=1),
        ),
        start=1,
    ):
        words = people.see(seen, at)
        assert (words.state, words.reason) == ("Updating", "Updating"), f"step {at}"
        assert "release 2" in words.message
    done = replace(TELLING, seen=replace(TELLING.seen, wanted=2, pod=2), life=replace(STARTED, run="b/0"), stable=2)
    assert people.see(done, 9).reason == "Ready"
    assert [entry for words in people.said for entry in bad(words)] == []


def test_a_change_whose_new_pod_crashes_or_whose_old_one_never_ends_is_no_update_any_more() -> None:
    crashed = look(replace(RUNNING, restarts=1), seen=replace(FIRST, wanted=2, pod=2), stable=2, ran=1)
    assert People().see(crashed, 1).reason == "Restarting"
    stuck = look(replace(STARTED, ending=True), seen=replace(FIRST, wanted=2, terminating=True), stable=2, ran=1)
    assert People().see(stuck, COMING_SECONDS).reason == "Unreachable"


def test_an_edge_that_is_cut_off_when_a_release_is_promoted_is_unreachable() -> None:
    people = People()
    people.see(TELLING, 1)
    cut = replace(SILENT, seen=replace(FIRST, wanted=2), stable=2, postponed=True, ran=1)
    assert people.see(cut, 2).reason == "Unreachable"


def test_a_new_control_token_is_waited_for_and_a_silent_edge_is_not_mistaken_for_it() -> None:
    people = People()
    people.see(TELLING, 0)
    refuses = replace(SILENT, heard=Heard.REFUSAL)
    words = people.see(refuses, 1)
    assert (words.state, words.status, words.reason) == ("Waiting", "False", "WaitsForToken")
    assert people.see(SILENT, 2).reason == "Unreachable"
    assert people.see(refuses, TOKEN_SECONDS).reason == "WaitsForToken"
    assert people.see(TELLING, 1 + TOKEN_SECONDS).reason == "Ready"
    assert people.see(refuses, 2 + TOKEN_SECONDS).reason == "WaitsForToken", "it knew the token in between"
    assert people.see(TELLING, 3 + TOKEN_SECONDS).reason == "Ready"
    assert people.memory.refused_since is None


def test_an_operator_that_was_just_started_knows_from_the_status_whom_the_last_one_heard() -> None:
    cut = replace(SILENT, heard_at=NOW + timedelta(seconds=20))
    assert People().see(cut, 30).reason == "Unreachable"
    earlier = replace(SILENT, heard_at=NOW - timedelta(seconds=20))
    assert People().see(earlier, 30).reason == "Starting", "that was another run of its pod"


def test_what_the_edge_says_keeps_it_from_trading_is_said_at_once() -> None:
    words = People().see(replace(TELLING, says="the disk is full"), 0)
    assert (words.state, words.reason, words.message) == ("Connected", "CannotTrade", "the disk is full")


def test_orders_in_flight_postpone_a_change_and_a_missing_record_is_named() -> None:
    waits = replace(TELLING, seen=replace(TELLING.seen, wanted=2), stable=2, postponed=True)
    assert People().see(waits, 0).reason == "UpdatePostponed"
    lost = replace(TELLING, seen=replace(TELLING.seen, wanted=None))
    words = People().see(lost, 0)
    assert (words.state, words.status, words.reason) == ("Connected", "Unknown", "RecordMissing")


_LIVES = st.one_of(
    st.none(),
    st.builds(
        Life,
        name=st.just("-n trading desk-edge-0"),
        run=st.sampled_from(["a/0", "a/1", "b/0"]),
        begun=st.integers(-400, 0).map(lambda seconds: NOW + timedelta(seconds=seconds)),
        ending=st.booleans(),
        placed=st.booleans(),
        started=st.booleans(),
        restarts=st.integers(0, 2),
    ),
)


@given(life=_LIVES, heard=st.sampled_from(Heard), postponed=st.booleans(), pod=st.sampled_from([None, 1, 2]),
       wanted=st.sampled_from([None, 1, 2]), ran=st.sampled_from([None, 1, 2]))  # fmt: skip
def test_whatever_is_seen_no_silence_is_borne_for_longer_than_its_patience(
    life: Life | None, heard: Heard, postponed: bool, pod: int | None, wanted: int | None, ran: int | None
) -> None:
    seen = EdgeObservation(wanted=wanted, pod=pod, pod_exists=life is not None, reachable=heard is Heard.STATE)
    same = EdgeLook(seen, wanted or 1, postponed, life, heard, ran=ran)
    people = People()
    people.see(same, 0)
    last = people.see(same, max(START_SECONDS, COMING_SECONDS, TOKEN_SECONDS))
    if heard is not Heard.STATE and wanted is not None:
        assert last.reason in {"Unreachable", "DidNotStart", "TokenRefused"}
