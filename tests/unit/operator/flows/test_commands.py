"""Commands of people: read, done once, for the release that they mean, and never against the evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.checks.alive import FRESH_SECONDS
from tradingengine_operator.flows.command import MOST_TEXT, Command, Unreadable, command_of, parse_command
from tradingengine_operator.flows.commands import REMEMBERED
from tradingengine_operator.flows.policy import StepPolicy, without_end
from tradingengine_operator.flows.state import (
    Acknowledged,
    Candidate,
    Leaving,
    Pause,
    Placed,
    Stage,
    dump_state,
    load_state,
)

from .model import POLICY, WorldModel
from .test_release import releasing, running

pytestmark = pytest.mark.unit

MANUAL = replace(POLICY, steps=(StepPolicy(100, inf), StepPolicy(500, 10.0), StepPolicy(1000, 0.0)))


def said(world: WorldModel) -> Acknowledged:
    """The acknowledgement."""
    found = world.state().command
    assert found is not None
    return found


def candidate_of(world: WorldModel) -> Candidate:
    """The release that is under way."""
    found = world.state().candidate
    assert found is not None
    return found


def test_a_command_is_read_with_all_its_parts() -> None:
    text = '{"id": "a-1", "act": "promote", "release": 7, "full": true, "reason": " looked at it "}'
    assert parse_command(text, "kubectl") == Command("a-1", "promote", 7, True, None, "looked at it", "kubectl")
    assert parse_command('{"id":"2","act":"rollback","release":7,"to":3}') == Command("2", "rollback", 7, to=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("promote", "the command: Invalid JSON"),
        ("[]", "the command: "),
        ('{"id": "1", "act": "dance", "release": 7}', "act: Input should be"),
        ('{"id": "1", "act": "abort"}', "release: Field required"),
        ('{"act": "abort", "release": 7}', "id: Field required"),
        ('{"id": "", "act": "abort", "release": 7}', "id: "),
        ('{"id": "a b", "act": "abort", "release": 7}', "id: "),
        ('{"id": "1", "act": "abort", "release": "7"}', "release: Input should be a valid integer"),
        ('{"id": "1", "act": "abort", "release": 0}', "release: "),
        ('{"id": "1", "act": "abort", "release": 7, "why": "x"}', "why: Extra inputs"),
        ('{"id": "1", "act": "abort", "release": 7, "full": true}', "full: belongs to promote"),
        ('{"id": "1", "act": "abort", "release": 7, "to": 3}', "to: belongs to rollback"),
        ('{"id": "1", "act": "start", "release": 7}', "reason: start needs one"),
        ('{"id": "1", "act": "start", "release": 7, "reason": "  "}', "reason: start needs one"),
        (json.dumps({"id": "1", "act": "abort", "release": 7, "reason": "x" * 513}), "reason: "),
        (json.dumps({"id": "1", "act": "abort", "release": 7, "reason": "x" * MOST_TEXT}), "characters, 2048 at most"),
        ('{"id": "\ud800"', "the command: "),
    ],
)
def test_what_is_no_command_is_refused_with_the_mend_and_once(text: str, words: str) -> None:
    found = parse_command(text, "kubectl")
    assert isinstance(found, Unreadable)
    assert words in found.message
    assert found.message.isprintable()
    assert '"act": "promote"' in found.mend
    assert parse_command(text, "kubectl") == found, "its id is always the same, so that it is refused once"
    world = releasing()
    world.command = found
    world.turn()
    assert said(world).outcome == "Refused"
    assert "To mend: write it as" in said(world).message
    assert [entry.reason for entry in world.news if entry.reason.startswith("Command")] == ["CommandRefused"]
    world.turn()
    assert len([entry for entry in world.news if entry.reason == "CommandRefused"]) == 1


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_text_breaks_the_reading(text: str) -> None:
    found = parse_command(text)
    assert isinstance(found, Unreadable)
    assert 0 < len(found.id) <= 64


def test_who_wrote_the_command_is_read_from_the_api_servers_notes() -> None:
    text = '{"id": "1", "act": "abort", "release": 2}'
    owned: dict[str, object] = {"f:metadata": {"f:annotations": {"f:tradingengine.io/command": {}}}}
    engine = {
        "metadata": {
            "annotations": {"tradingengine.io/command": text},
            "managedFields": [
                {"manager": "helm", "time": "2026-11-21T09:00:00Z", "fieldsV1": {"f:spec": {}}},
                {"manager": "old", "time": "2026-11-21T08:00:00Z", "fieldsV1": owned},
                {"manager": "kubectl-annotate", "time": "2026-11-21T09:00:00Z", "fieldsV1": owned},
            ],
        }
    }
    assert command_of(engine) == Command("1", "abort", 2, by="kubectl-annotate")
    assert command_of({"metadata": {}}) is None


def test_abort_takes_the_weight_away_with_the_persons_reason() -> None:
    world = releasing()
    world.say("abort", reason="the chart looks wrong")
    world.turn()
    state = world.state()
    assert world.weights == {"a": FULL, "b": 0}
    assert state.withdrawn is not None
    assert (state.withdrawn.reason, state.withdrawn.message) == (
        "Aborted",
        "aborted by kubectl-annotate: the chart looks wrong",
    )
    assert (said(world).outcome, said(world).release, said(world).by) == ("Done", 2, "kubectl-annotate")
    assert world.run(30).stable == Placed("a", 1)


@pytest.mark.parametrize("stage", [Stage.RECORDING, Stage.MIGRATING, Stage.STARTING])
def test_abort_before_the_weight_leaves_nothing_behind(stage: Stage) -> None:
    world = releasing(stage)
    world.say("abort")
    state = world.run(30)
    assert state.withdrawn is not None
    assert state.stable == Placed("a", 1)
    assert "b" not in world.slots


def test_a_first_release_is_neither_aborted_nor_paused_nor_promoted() -> None:
    world = WorldModel()
    for act in ("abort", "pause", "promote"):
        world.turn()
        world.say(act, 1)
        world.turn()
        assert said(world).outcome == "Refused"
    assert world.run(30).stable == Placed("a", 1)


def test_retry_tries_the_withdrawn_wish_again_and_once() -> None:
    world = releasing()
    world.rates[2] = "1"
    assert world.run(40).withdrawn is not None
    world.say("retry")
    state = world.run(80)
    assert state.stable == Placed("b", 3)
    assert sorted(world.records) == [1, 2, 3]


def test_a_retried_release_that_fails_again_stays_withdrawn_though_the_annotation_stands() -> None:
    world = releasing()
    world.rates |= {2: "1", 3: "1"}
    world.run(40)
    world.say("retry")
    state = world.run(120)
    assert state.withdrawn is not None
    assert (state.withdrawn.release, state.candidate, sorted(world.records)) == (3, None, [1, 2, 3])


def test_pause_holds_the_weight_without_an_end_and_its_time_does_not_count() -> None:
    world = releasing()
    world.hold_on(6)
    world.say("pause", reason="lunch")
    began, held = world.now, None
    for _ in range(60):
        held = world.turn().held
        world.settle()
        world.go(1)
    candidate = candidate_of(world)
    assert (candidate.step, candidate.weight) == (0, 100)
    assert candidate.paused == Pause(began, "kubectl-annotate", "lunch")
    assert held is not None
    assert (held.reason, held.message[:33]) == ("ReleasePaused", "paused by kubectl-annotate: lunch")
    world.say("resume")
    world.hold_on(3)
    assert candidate_of(world).step == 0, "six of ten seconds were judged, and two since"
    world.hold_on(4)
    assert candidate_of(world).step == 1


def test_a_paused_release_that_fails_is_withdrawn_all_the_same() -> None:
    world = releasing()
    world.say("pause")
    world.run(5)
    world.rates[2] = "1"
    world.run(5)
    state = world.state()
    assert state.withdrawn is not None
    assert state.withdrawn.reason == "ErrorRate"


def test_paused_before_its_weight_it_gets_none_until_it_is_resumed() -> None:
    world = releasing(Stage.STARTING)
    world.say("pause")
    world.run(1200)
    assert candidate_of(world).stage is Stage.STARTING
    assert world.weights["b"] == 0
    world.pods_start = False
    world.settle()
    world.say("resume")
    world.turn()
    assert candidate_of(world).stage is Stage.STARTING, "its time to become ready begins anew"
    world.slots["a"].be_ready(2)
    world.pods_start = True
    assert world.run(60).stable == Placed("b", 2)


def test_promote_ends_the_hold_at_good_samples_alone() -> None:
    world = releasing()
    world.default_rate = None
    world.hold_on(4)  # samples are fresh for 3 s
    world.say("promote")
    world.hold_on(5)
    assert said(world).outcome == "Done"
    assert candidate_of(world).weight == 100, "no sample, no rise"
    world.default_rate, world.rates[2] = "0", "0.05"
    world.turn()
    world.go(1)
    assert candidate_of(world).weight == 100, "a bad sample"
    world.rates[2] = "0"
    world.run(12)
    assert candidate_of(world).step == 1
    assert not candidate_of(world).ended, "the next step holds again"


def test_promote_counts_for_one_step_though_the_annotation_stands() -> None:
    world = releasing()
    world.say("promote")
    world.run(4)
    assert (candidate_of(world).step, candidate_of(world).weight) == (1, 500)
    world.run(5)
    assert candidate_of(world).step == 1


def test_a_manual_step_waits_for_promote_and_writes_nothing_while_it_does() -> None:
    world = running()
    world.hash = "h2"
    world.until(Stage.HOLDING, policy=MANUAL)
    world.turn(MANUAL)
    before = world.stored
    held = None
    for _ in range(300):
        held = world.turn(MANUAL).held
        world.settle()
        world.go(1)
    assert world.stored == before
    assert held is not None
    assert held.reason == "WaitsForPromote"
    assert "step 1/3 with weight 10 waits for promote" in held.message
    world.say("promote")
    world.run(4, MANUAL)
    assert candidate_of(world).step == 1
    assert world.run(60, MANUAL).stable == Placed("b", 2)


def test_equal_weights_in_a_row_hold_one_after_the_other() -> None:
    policy = replace(POLICY, steps=(StepPolicy(100, 5.0), StepPolicy(100, 5.0), StepPolicy(1000, 0.0)))
    world = running()
    world.hash = "h2"
    seen = set()
    for _ in range(60):
        world.turn(policy)
        candidate = world.state().candidate
        if candidate is not None and candidate.weight:
            seen.add((candidate.step, candidate.weight))
        world.settle()
        world.go(1)
    assert seen == {(0, 100), (1, 100), (2, 1000)}
    assert world.state().stable == Placed("b", 2)


def test_promote_full_leaves_out_the_holds_and_none_of_the_judging() -> None:
    world = releasing()
    world.say("promote", full=True)
    world.turn()
    assert candidate_of(world).weight == FULL, "from the first step to the last one"
    world.settle()
    world.go(1)
    world.default_rate = None
    world.hold_on(10)
    assert world.state().stable == Placed("a", 1), "at 100 % too, no sample promotes nothing"
    world.default_rate = "0"
    world.run(5)
    assert world.state().stable == Placed("b", 2)


@pytest.mark.parametrize("stage", [Stage.RECORDING, Stage.STARTING])
def test_promote_before_the_weight_is_refused_and_full_is_remembered(stage: Stage) -> None:
    world = releasing(stage)
    world.say("promote")
    world.turn()
    assert said(world).outcome == "Refused"
    world.say("promote", full=True)
    world.run(20)
    assert world.state().stable == Placed("b", 2)
    assert [entry[1]["b"] for entry in world.history[1:]] == [100, FULL, FULL], "the first weight is judged, too"


def test_a_paused_release_is_not_promoted() -> None:
    world = releasing()
    world.say("pause")
    world.turn()
    for full in (False, True):
        world.say("promote", full=full)
        world.turn()
        assert (said(world).outcome, said(world).message) == ("Refused", "it is paused. To mend: resume it first")


def test_nothing_is_promoted_while_its_specification_is_not_understood() -> None:
    world = releasing()
    world.say("promote", full=True)
    world.turn()
    alone = without_end(POLICY)
    world.say("promote")
    world.turn(alone)
    assert said(world).outcome == "Refused"
    candidate = candidate_of(world)
    for _ in range(30):
        world.turn(alone)
        world.settle()
        world.go(1)
    assert candidate_of(world).weight == candidate.weight
    assert world.state().stable == Placed("a", 1)


@pytest.mark.parametrize("act", ["promote", "abort", "retry", "pause", "resume"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_command_for_another_release_is_ignored(act: str, number: int) -> None:
    world = releasing()
    before = world.state()
    world.say(act, number)
    world.turn()
    assert said(world).outcome == "Ignored"
    assert said(world).message == f"it means release {number}, and release 2 is under way"
    after = world.state()
    assert replace(after, command=None, commands=[], serial=before.serial) == before


def test_no_id_is_done_twice_among_the_last_ones() -> None:
    world = releasing()
    world.say("pause")
    first = world.command
    world.turn()
    for _ in range(REMEMBERED - 2):
        world.say("resume")
        world.turn()
    world.say("resume")
    world.turn()
    assert candidate_of(world).paused is None
    world.command = first
    world.turn()
    assert candidate_of(world).paused is None, "an annotation that was put back is no new command"
    assert len(world.state().commands) == REMEMBERED


@pytest.mark.parametrize("kill", range(4))
def test_killed_at_any_write_a_command_is_done_once(kill: int) -> None:
    world = releasing()
    world.say("abort")
    world.turn(kill_after=kill)
    world.run(30)
    assert (said(world).id, said(world).outcome) == ("c1", "Done")
    assert world.state().commands == ["c1"]
    assert world.weights == {"a": FULL, "b": 0}


def test_rollback_is_asked_of_the_records_and_only_by_who_knows_what_serves() -> None:
    world = running()
    world.say("rollback", 7, to=1)
    world.turn()
    assert said(world).message == "it means release 7, and release 1 serves, none is under way"
    world.say("rollback", 1, to=1)
    world.turn()
    assert (said(world).outcome, said(world).message[:35]) == ("Refused", "release 1 is the one that serves. T")


def test_a_state_with_a_pause_and_a_command_survives_its_text() -> None:
    world = releasing()
    world.say("pause", reason="why")
    world.turn()
    assert load_state(dump_state(world.state())) == world.state()


def test_abort_of_a_release_that_leaves_already_is_ignored() -> None:
    world = releasing()
    world.rates[2] = "1"
    world.run(3)
    world.say("abort", 2)
    world.turn()
    state = world.state()
    assert state.retiring is None or state.retiring.stage is not Leaving.WARM
    assert said(world).message == "it means release 2, and release 2 was withdrawn, none is under way"


ACTS = ("promote", "full", "abort", "retry", "pause", "resume", "start")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((*ACTS, None, None, None)),
            st.sampled_from(["0", "0", "0", "0.5", None]),
            st.integers(0, 2),
            st.sampled_from(["h2", "h2", "h2", "h2", "h3", "h1"]),
            st.sampled_from([None, None, None, 0, 1, 3]),
        ),
        min_size=5,
        max_size=60,
    )
)
def test_no_sequence_of_commands_and_events_raises_a_weight_blindly_or_loses_what_serves(
    story: list[tuple[str | None, str | None, int, str, int | None]],
) -> None:
    """`story`: command, share of failed requests (None: none came), ready canary pods, wish, and a kill's moment."""
    world = releasing()
    newest, counted_at = "0", world.now
    for act, share, pods, wish, kill in story:
        world.default_rate, world.hash = share, wish
        if share is not None:
            newest, counted_at = share, world.now
        candidate = world.state().candidate
        if candidate is not None and candidate.slot in world.slots:
            world.slots[candidate.slot].be_ready(pods)
        if act is not None:
            world.say("promote" if act == "full" else act, **({"full": True} if act == "full" else {}), reason="why")
        stable = world.state().stable
        world.turn(kill_after=kill)
        assert sum(world.weights.values()) == FULL, "somebody serves everybody"
        after = world.state()
        now = after.candidate
        raised = candidate is not None and now is not None and now.weight > candidate.weight > 0
        if raised or (after.stable != stable and after.retiring is not None):
            assert newest == "0", "no weight rises, and nothing is promoted, on a bad sample"
            assert (world.now - counted_at).total_seconds() < FRESH_SECONDS, "nor on samples of long ago"
            assert pods == 2
        if candidate is None:
            world.settle()
        world.accepted = True
        world.go(1)
        assert after.stable is not None
        assert after.stable.release in world.records
    world.default_rate, world.command, world.hash = "0", None, "h1"
    assert world.run(60).stable is not None
