"""The release flow: what it does step by step, and that no kill at any point makes it do otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.errors import RecordError
from tradingengine_operator.flows.actions import SetRoute
from tradingengine_operator.flows.probing import PROBER_SECONDS
from tradingengine_operator.flows.state import (
    Leaving,
    Placed,
    ReleaseState,
    Stage,
    dump_state,
    load_state,
    newest,
    render_time,
)

from .model import POLICY, START, WorldModel, total

pytestmark = pytest.mark.unit


def running() -> WorldModel:
    """A world in which release 1 serves."""
    world = WorldModel()
    state = world.run(20)
    assert state.stable == Placed("a", 1)
    assert world.weights == {"a": FULL, "b": 0}
    return world


def releasing(stage: str = Stage.HOLDING) -> WorldModel:
    """A world in which release 2 is under way."""
    world = running()
    world.hash = "h2"
    world.until(stage)
    return world


def test_first_install_writes_record_migrates_and_serves_at_once() -> None:
    world = running()
    assert world.records == {1: "h1"}
    assert world.jobs == {1: "done"}
    assert world.live == {("a", 1)}
    assert [entry[1] for entry in world.history] == [{"a": FULL, "b": 0}]


def test_a_good_release_goes_step_by_step_and_the_old_one_stays_warm() -> None:
    world = running()
    world.hash = "h2"
    state = world.run(60)
    assert state.stable == Placed("b", 2)
    assert [entry[1]["b"] for entry in world.history[1:]] == [100, 500, FULL, FULL]
    assert world.live == {("b", 2)}
    assert state.retiring is not None
    assert state.retiring.stage is Leaving.WARM
    assert world.slots["a"].withdrawn
    state = world.run(80)
    assert state.retiring is None
    assert "a" not in world.slots


def test_a_step_lasts_as_long_as_it_holds_across_a_kill() -> None:
    world = releasing()
    began = world.state().candidate
    assert began is not None
    assert began.step_started_at is not None
    assert world.now - began.step_started_at == timedelta(seconds=1)
    world.hold_on(10)
    still = world.state().candidate
    assert still is not None
    assert still.step == 0
    world.hold_on(1)
    moved = world.state().candidate
    assert moved is not None
    assert (moved.step, moved.weight) == (1, 500)


def test_the_record_is_written_before_a_slot_is_touched() -> None:
    world = running()
    world.hash = "h2"
    seen = []
    for _ in range(8):
        decision = world.turn()
        seen.append((2 in world.records, "b" in world.slots))
        world.settle()
        world.now += timedelta(seconds=1)
        assert decision.recheck is not None
    assert (False, True) not in seen
    assert seen[-1] == (True, True)


def test_errors_above_the_limit_withdraw_after_the_failure_limit() -> None:
    world = releasing()
    world.rates[2] = "0.6"
    world.turn()
    first = world.state().candidate
    assert first is not None
    world.now += timedelta(seconds=0.2)
    world.turn()
    assert world.state().candidate == first, "a sample of the same second counts once"
    world.now += timedelta(seconds=1)
    world.turn()
    state = world.state()
    assert state.candidate is None
    assert state.withdrawn is not None
    assert (state.withdrawn.reason, state.withdrawn.value, state.withdrawn.limit) == ("ErrorRate", "0.6000", "0.01")
    assert world.weights == {"a": FULL, "b": 0}
    assert world.live == {("a", 1)}


def test_good_seconds_forget_the_bad_one() -> None:
    world = releasing()
    world.rates[2] = "0.6"
    world.turn()
    world.go(1)
    world.rates[2] = "0"
    before = world.state().candidate
    assert before is not None
    world.hold_on(4)
    candidate = world.state().candidate
    assert candidate is not None
    assert candidate.checks == {}


def test_errors_that_the_stable_release_has_too_hold_it() -> None:
    world = releasing()
    world.rates |= {1: "0.2", 2: "0.2"}
    state = world.run(60)
    assert state.candidate is not None
    assert state.candidate.step == 0
    assert state.withdrawn is None


@pytest.mark.parametrize(("no_server", "reason"), [(False, "NoData"), (True, "MetricsUnavailable")])
def test_no_sample_holds_for_the_budget_and_then_withdraws(no_server: bool, reason: str) -> None:
    world = releasing()
    world.no_server, world.default_rate = no_server, None
    late = 0 if no_server else -1  # the last request was counted a second ago
    begun = world.now + timedelta(seconds=late)
    for _ in range(30 + late):
        held = world.turn().held
        world.go(1)
        assert world.state().candidate is not None
        if world.now - begun <= timedelta(seconds=10):
            assert held is None, "it is news only after a while"
            continue
        assert held is not None
        assert held.reason == reason
        assert render_time(begun) in held.message
    world.turn()
    verdict = world.state().withdrawn
    assert verdict is not None
    assert verdict.reason == reason
    assert verdict.limit == "30s"
    assert (world.now - begun).total_seconds() == 30


def closed(world: WorldModel) -> bool:
    """Whether slot b was told to withdraw."""
    return world.slots["b"].withdrawn


def break_readiness(world: WorldModel) -> None:
    world.slots["b"].be_ready(0)


def break_by_restart(world: WorldModel) -> None:
    world.slots["b"].restarts = {"uid-1": 1}


@pytest.mark.parametrize(
    ("fault", "reason"), [(break_readiness, "NoReadyEndpoint"), (break_by_restart, "ContainerRestarted")]
)
@pytest.mark.parametrize("stage", [Stage.SHIFTING, Stage.HOLDING])
def test_hard_signals_withdraw_at_once(fault: Callable[[WorldModel], None], reason: str, stage: Stage) -> None:
    world = releasing(stage)
    fault(world)
    world.turn()
    state = world.state()
    assert state.withdrawn is not None
    assert state.withdrawn.reason == reason
    assert world.weights["b"] == 0


def test_restarts_from_before_the_weight_do_not_count() -> None:
    world = running()
    world.hash = "h2"
    world.until(Stage.STARTING)
    world.slots["b"].restarts = {"uid-1": 3}
    assert world.run(60).stable == Placed("b", 2)


def test_pods_are_taken_down_only_after_weight_accepted_quiet_and_closed() -> None:
    world = releasing()
    world.silent = False
    world.rates[2] = "1"
    world.turn()
    world.now += timedelta(seconds=1)
    world.turn()
    assert world.weights["b"] == 0
    for _ in range(5):
        world.turn()
        assert "b" in world.slots
        assert not closed(world), "the Gateway has not accepted yet"
    world.accepted = True
    world.now += timedelta(seconds=1)
    world.turn()
    world.turn()
    assert not closed(world), "requests are still counted"
    assert not [entry for entry in world.news if entry.reason == "WithdrawalConfirmed"]
    world.silent = True
    world.now += timedelta(seconds=1)
    world.turn()
    assert closed(world)
    (confirmed,) = [entry for entry in world.news if entry.reason == "WithdrawalConfirmed"]
    assert "release 2 in slot b has counted no new request" in confirmed.message
    world.turn()
    assert "b" not in world.slots


def test_a_slot_that_goes_on_counting_requests_is_closed_after_its_budget_and_that_is_said() -> None:
    world = releasing()
    world.silent = False
    world.rates[2] = "1"
    while world.state().withdrawn is None:
        world.turn()
        world.go(1)
    world.accepted = True
    began = world.now
    while not closed(world):
        world.turn()
        world.go(1)
        assert world.now - began < timedelta(seconds=POLICY.quiet_budget + 5)
    assert world.now - began >= timedelta(seconds=POLICY.quiet_budget)
    (said,) = [entry for entry in world.news if entry.reason == "SlotNotQuiet"]
    assert said.warning
    assert "it still counts some" in said.message
    assert not [entry for entry in world.news if entry.reason == "WithdrawalConfirmed"]


def test_a_withdrawn_template_is_not_tried_again_until_something_else_was_asked_for() -> None:
    world = releasing()
    world.rates[2] = "1"
    state = world.run(120)
    assert state.withdrawn is not None
    assert state.candidate is None
    assert sorted(world.records) == [1, 2]
    world.hash = "h1"
    assert world.run(5).withdrawn is None
    world.hash = "h2"
    world.run(5)
    assert sorted(world.records) == [1, 2, 3]


def test_a_new_specification_in_mid_run_takes_the_weight_away_first() -> None:
    world = releasing()
    world.hash = "h3"
    world.turn()
    assert world.weights == {"a": FULL, "b": 0}
    assert world.slots["b"].release == 2
    state = world.run(100)
    assert state.stable == Placed("b", 3)
    assert world.records == {1: "h1", 2: "h2", 3: "h3"}


@pytest.mark.parametrize("accepted", [False, True])
def test_a_first_release_that_is_superseded_serves_until_the_newer_one_does(accepted: bool) -> None:
    world = WorldModel()
    world.until(Stage.SHIFTING)
    world.turn()
    world.accepted, world.hash = accepted, "h2"
    for _ in range(100):
        world.turn()
        assert world.weights["a"] == 0 or world.slots["a"].release == 1, "pods stay behind the weight"
        world.settle()
        world.now += timedelta(seconds=1)
    assert world.state().stable == Placed("b", 2)


def test_a_first_release_without_a_route_is_replaced_at_once() -> None:
    world = WorldModel()
    world.until(Stage.SHIFTING)
    world.weights, world.live, world.accepted, world.hash = {}, frozenset(), False, "h2"
    world.turn()
    assert world.run(30).stable == Placed("a", 2)


def test_going_back_to_what_serves_ends_a_run_without_a_new_release() -> None:
    world = releasing()
    world.hash = "h1"
    state = world.run(60)
    assert state.stable == Placed("a", 1)
    assert state.candidate is None
    assert sorted(world.records) == [1, 2]


def test_failed_migrations_withdraw_and_leave_the_idle_slot_alone() -> None:
    world = running()
    world.hash, world.migrations_fail = "h2", True
    state = world.run(30)
    assert state.withdrawn is not None
    assert state.withdrawn.reason == "MigrationFailed"
    assert "b" not in world.slots


def test_failed_migrations_of_the_first_release_are_tried_again_once_a_minute() -> None:
    world = WorldModel(migrations_fail=True)
    world.run(30)
    assert world.jobs == {1: "failed"}
    world.migrations_fail = False
    world.run(35)
    assert world.state().stable == Placed("a", 1)


def test_pods_that_never_start_are_withdrawn_after_their_budget() -> None:
    world = running()
    world.hash, world.pods_start = "h2", False
    world.slots["a"].be_ready(2)
    policy = replace(POLICY, start_budget=20.0)
    state = world.run(60, policy)
    assert state.withdrawn is not None
    assert state.withdrawn.reason == "NotReadyInTime"
    assert total(world.weights) == FULL


def test_no_release_gets_weight_before_the_prober_is_ready() -> None:
    world = running()
    assert world.prober == "", "an engine that is not released is asked by nobody"
    world.prober_starts, world.hash = False, "h2"
    world.until(Stage.STARTING)
    for _ in range(30):
        world.turn()
        world.settle()
        world.go(1)
    assert (world.weights["b"], world.state().candidate is not None) == (0, True)
    world.prober_starts = True
    world.until(Stage.HOLDING)
    assert world.prober == "ready"
    assert world.run().stable == Placed("b", 2)
    assert world.prober == "", "once nothing is judged any more it goes"


def test_a_prober_that_does_not_start_is_done_without_after_a_minute_and_that_is_said() -> None:
    world = running()
    world.prober_starts, world.hash = False, "h2"
    world.until(Stage.STARTING)
    world.run(PROBER_SECONDS - 5)
    assert world.weights["b"] == 0
    world.until(Stage.HOLDING, seconds=20)
    said = [entry for entry in world.news if entry.reason == "ProberMissing"]
    assert len(said) == 1
    assert "(its image cannot be pulled): the release is judged on the requests of clients alone" in said[0].message
    assert world.run(60).stable == Placed("b", 2)


def test_a_release_that_nobody_asks_and_no_prober_asks_is_not_promoted() -> None:
    world = running()
    world.prober_starts, world.hash, world.default_rate = False, "h2", None
    state = world.run(PROBER_SECONDS + 200)
    assert state.stable == Placed("a", 1)
    assert state.withdrawn is not None
    assert state.withdrawn.reason == "NoData"


@pytest.mark.parametrize("lost", [True, False])
def test_the_prober_runs_the_program_of_the_new_release_where_the_one_that_serves_is_lost_or_does_not_start(
    lost: bool,
) -> None:
    world = running()
    if lost:
        del world.records[1]
    world.prober_starts, world.hash = False, "h2"
    world.until(Stage.STARTING)
    for _ in range(5):
        if not lost:
            world.slots["a"].components["api"].ready = 0
        world.turn()
        world.go(1)
    assert world.probed_by == 2
    world.prober_starts = True
    world.until(Stage.HOLDING)
    world.run(5)
    assert world.probed_by == 2, "it stays so, or it would ask nothing while it changes"


def test_a_first_release_is_compared_with_nothing_and_needs_no_prober() -> None:
    world = WorldModel(prober_starts=False)
    assert world.run(20).stable == Placed("a", 1)
    assert world.prober == ""


def test_nothing_starts_while_the_stores_are_not_there() -> None:
    world = WorldModel(may_start=False)
    assert world.run(10) == ReleaseState()
    assert world.records == {}


def test_a_record_that_an_engine_of_the_same_name_left_is_taken_up() -> None:
    world = running()
    world.hash = "h2"
    world.records[2] = "h2"
    world.turn()
    candidate = world.state().candidate
    assert candidate is not None
    assert candidate.release == 2


@pytest.mark.parametrize("lost", [{}, {1: ""}])
def test_a_lost_record_of_what_serves_starts_nothing_but_a_new_wish_does(lost: dict[int, str]) -> None:
    world = running()
    world.records = dict(lost)
    before = world.stored
    decision = world.decide()
    assert decision.state == load_state(before)
    world.hash = "h2"
    started = world.decide().state.candidate
    assert started is not None
    assert started.release == 2


def test_a_record_of_something_else_is_passed_over() -> None:
    world = running()
    world.hash = "h3"
    world.records[2] = "h2"
    assert world.run(60).stable == Placed("b", 3)


def test_a_settled_world_changes_nothing_any_more() -> None:
    world = running()
    before = world.stored
    decision = world.turn()
    assert world.stored == before
    assert decision.recheck is None


def test_a_gateway_that_is_away_is_asked_ever_more_seldom() -> None:
    first = WorldModel()
    first.until(Stage.SHIFTING)
    leaving = releasing()
    leaving.hash = "h1"
    leaving.turn()
    for world, at_once in ((first, 1.0), (leaving, 0.2)):
        waits = []
        for seconds in (0, 16, 130):
            world.now += timedelta(seconds=seconds)
            world.accepted = False
            waits.append(world.turn().recheck)
        assert waits == [at_once, 5.0, 30.0]


def test_holding_without_news_changes_no_state() -> None:
    world = releasing()
    world.turn()
    before = world.stored
    for _ in range(3):
        world.now += timedelta(seconds=1)
        world.turn()
    assert world.stored == before, "a state that does not change is not written each second"


@settings(max_examples=60, deadline=None)
@given(kills=st.lists(st.integers(min_value=0, max_value=6), min_size=1, max_size=60), bad=st.booleans())
def test_killed_at_any_point_it_ends_where_it_would_have_ended(kills: list[int], bad: bool) -> None:
    world = running()
    world.hash = "h2"
    if bad:
        world.rates[2] = "0.5"
    for kill in kills:
        world.turn(kill_after=kill)
        world.settle()
        world.now += timedelta(seconds=1)
        assert total(world.weights) == FULL, "somebody always serves everybody"
    state = world.run(200)
    assert state.stable == (Placed("a", 1) if bad else Placed("b", 2))
    assert sorted(world.records) == [1, 2]
    assert (state.withdrawn is not None) is bad


@settings(max_examples=60, deadline=None)
@given(
    samples=st.lists(st.sampled_from(["0", "0.5", None]), min_size=5, max_size=80),
    ready=st.lists(st.integers(min_value=0, max_value=2), min_size=5, max_size=80),
)
def test_no_path_raises_weight_without_a_good_sample_and_all_pods_ready(
    samples: list[str | None], ready: list[int]
) -> None:
    world = releasing(Stage.SHIFTING)
    for value, pods in zip(samples, ready, strict=False):
        world.default_rate = value
        if "b" in world.slots:
            world.slots["b"].be_ready(pods)
        before = dict(world.weights)
        world.turn()
        if world.weights.get("b", 0) > before.get("b", 0):
            assert value == "0"
            assert pods == 2
        world.accepted = True
        world.now += timedelta(seconds=4)


@given(
    hashes=st.lists(st.sampled_from(["h1", "h2", "h3"]), min_size=1, max_size=12),
    pauses=st.lists(st.integers(min_value=1, max_value=25), min_size=12, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_for_one_release_serves_and_the_last_wish_is_met(
    hashes: list[str], pauses: list[int]
) -> None:
    world = running()
    for wish, pause in zip(hashes, pauses, strict=False):
        world.hash = wish
        world.run(pause)
        assert total(world.weights) == FULL
    state = world.run(400)
    assert state.stable is not None
    assert world.records[state.stable.release] == hashes[-1]
    assert state.last >= max(world.records), "no number is given twice"


def test_state_survives_its_text() -> None:
    for stage in (Stage.RECORDING, Stage.MIGRATING, Stage.STARTING, Stage.SHIFTING, Stage.HOLDING):
        state = releasing(stage).state()
        assert load_state(dump_state(state)) == state
    world = releasing()
    world.rates[2] = "1"
    world.turn()
    world.now += timedelta(seconds=1)
    world.turn()
    state = world.state()
    assert state.retiring is not None
    assert load_state(dump_state(state)) == state


def test_a_state_of_a_later_operator_is_read_without_what_only_that_one_knows() -> None:
    """A chart that is rolled back finds the state of its successor."""
    world = releasing()
    world.rates[2] = "1"
    world.turn()
    for state in (releasing().state(), world.state()):
        text = json.loads(dump_state(state))
        for part in (text, *(entry for entry in text.values() if isinstance(entry, dict))):
            part["judged_seconds"] = 12.5
        assert load_state(json.dumps(text)) == state


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format":2,"serial":1}', '{"format":1,"serial":1,"stable":{}}'])
def test_a_state_that_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(RecordError):
        load_state(text)


def test_the_newest_copy_wins() -> None:
    old, new = ReleaseState(serial=3), ReleaseState(serial=4, stable=Placed("a", 1))
    assert newest(old, None, new) is new
    assert newest(None) == ReleaseState()


def test_shortened_steps_in_mid_run_do_not_break_it() -> None:
    world = releasing()
    world.now += timedelta(seconds=11)
    world.turn()
    short = replace(POLICY, steps=POLICY.steps[-1:])
    state = world.run(60, short)
    assert state.stable == Placed("b", 2)


def test_weights_of_a_route_add_up_and_follow_the_candidate() -> None:
    world = releasing()
    decision = world.decide()
    route = next(action for action in decision.actions if isinstance(action, SetRoute))
    assert dict(route.weights) == {"a": 900, "b": 100}
    assert set(route.live) == {Placed("a", 1), Placed("b", 2)}
    assert world.now > START
    error_rate = POLICY.check("error-rate")
    assert error_rate is not None
    assert error_rate.share == 0.01
