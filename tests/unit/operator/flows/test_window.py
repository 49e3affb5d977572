"""Market hours and releases: nothing begins that a market's open would meet, and what is met all the same gives way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.calendar import Session
from tradingengine_operator.flows.observation import Market
from tradingengine_operator.flows.policy import Policy, StepPolicy
from tradingengine_operator.flows.state import Candidate, Placed, Stage, dump_state, load_state
from tradingengine_operator.flows.window import needed, next_window, open_now

from .model import POLICY, START, SlotModel, WorldModel
from .test_release import running

pytestmark = pytest.mark.unit
#: Steps of 10 s and 10 s, and no time for pods to come up, so that seconds are enough to tell a story.
OUTSIDE = replace(POLICY, outside_hours=True, segments=("NSE_EQ",), start_budget=0.0)
HOUR = timedelta(hours=1)


def market(*spans: tuple[float, float]) -> Market:
    """Sessions by seconds from the start of the world."""
    return Market(
        tuple(Session(START + timedelta(seconds=a), START + timedelta(seconds=b), ("NSE_EQ",)) for a, b in spans)
    )


def candidate_of(world: WorldModel) -> Candidate:
    """The release that is under way."""
    found = world.state().candidate
    assert found is not None
    return found


def asked(*spans: tuple[float, float]) -> WorldModel:
    """A world at second 20 in which release 1 serves and another one is asked for."""
    world = WorldModel(market=market(*spans))
    assert world.run(20, OUTSIDE).stable == Placed("a", 1), "a first release waits for no market"
    world.hash = "h2"
    return world


def test_a_first_release_serves_in_the_middle_of_the_day() -> None:
    world = asked((0, 1000))
    assert world.now - START == timedelta(seconds=20)


def test_a_release_waits_for_the_close_and_says_until_when() -> None:
    world = asked((0, 100))
    decision = world.turn(OUTSIDE)
    assert decision.held is not None
    assert decision.held.reason == "WaitsForWindow"
    assert "NSE_EQ trade until 2026-11-21 14:31 IST" in decision.held.message
    assert decision.window == START + timedelta(seconds=100)
    assert decision.recheck == 80, "it wakes at the close"
    before = world.stored
    world.hold_on(79, OUTSIDE)
    assert world.stored == before, "waiting writes nothing"
    assert world.run(80, OUTSIDE).stable == Placed("b", 2)


def test_a_release_whose_steps_would_meet_the_open_waits_for_the_next_window() -> None:
    """At second 20 the market opens in 15 s, and the steps hold for 20."""
    world = asked((35, 60))
    decision = world.turn(OUTSIDE)
    assert decision.held is not None
    assert "NSE_EQ open at 2026-11-21 14:30 IST, and the steps need 0 min" in decision.held.message
    assert decision.window == START + timedelta(seconds=60)
    assert world.run(30, OUTSIDE).candidate is None
    assert world.run(60, OUTSIDE).stable == Placed("b", 2)


def test_what_never_fits_says_so() -> None:
    long = replace(OUTSIDE, steps=(StepPolicy(100, 9e6), StepPolicy(1000, 0.0)))
    decision = asked((100, 200)).turn(long)
    assert decision.held is not None
    assert "no window of 2500 h 0 min is within 40 days: shorten spec.rollout.steps" in decision.held.message
    assert decision.window is None


def test_without_any_session_steps_that_are_too_long_say_so_too() -> None:
    long = replace(OUTSIDE, steps=(StepPolicy(100, 9e6), StepPolicy(1000, 0.0)))
    decision = asked().turn(long)
    assert decision.held is not None
    assert decision.held.message.startswith("the steps need 2500 h 0 min; no window")


def test_without_a_calendar_nothing_begins() -> None:
    for unknown in (None, Market(trouble="key NSE_EQ.json: it: Invalid JSON")):
        world = asked()
        world.market = unknown
        decision = world.turn(OUTSIDE)
        assert decision.held is not None
        assert decision.held.reason == "CalendarUnknown"
        assert world.run(30, OUTSIDE).candidate is None


def test_pods_that_took_long_get_no_weight_into_the_open() -> None:
    world = asked((60, 90))
    world.pods_start = False
    world.slots["a"].be_ready(2)
    slow = replace(OUTSIDE, start_budget=10_000.0)
    world.market = market((20_000, 20_100))
    for _ in range(10):
        world.turn(slow)
        world.settle()
        world.slots["a"].be_ready(2)
        world.go(1)
    assert candidate_of(world).stage is Stage.STARTING
    world.market = market((45, 90))
    world.pods_start = True
    world.settle()
    decision = world.turn(slow)
    assert decision.held is not None
    assert decision.held.reason == "WaitsForWindow"
    assert world.weights["b"] == 0
    assert world.run(120, OUTSIDE).stable == Placed("b", 2)


def holding(policy_start: float = 100.0) -> WorldModel:
    """A release that holds at second 26 or so, with a market that nobody expected to open soon."""
    world = asked((policy_start, policy_start + 50))
    world.until(Stage.HOLDING, policy=OUTSIDE)
    return world


def test_a_market_that_opens_all_the_same_takes_the_weight_and_gives_it_back_after_the_close() -> None:
    world = holding()
    world.run(12, OUTSIDE)
    assert candidate_of(world).step == 1
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 60))
    decision = world.turn(OUTSIDE)
    assert world.weights == {"a": FULL, "b": 0}, "at once"
    assert decision.held is not None
    assert decision.held.reason == "MarketOpen"
    state = world.state()
    assert (state.candidate, state.withdrawn) == (None, None)
    assert state.deferred is not None
    assert load_state(dump_state(state)) == state
    world.run(55, OUTSIDE)
    assert world.weights == {"a": FULL, "b": 0}
    after = world.run(14, OUTSIDE)
    assert after.candidate is not None
    assert (after.candidate.release, after.candidate.step, after.candidate.weight) == (2, 1, 500)
    assert world.run(30, OUTSIDE).stable == Placed("b", 2)
    assert sorted(world.records) == [1, 2], "the same record"


def set_aside(policy: Policy) -> tuple[WorldModel, SlotModel]:
    """A release that held its second step and gave way to a market for a minute, and its slot."""
    world = holding()
    world.run(12, policy)
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 60))
    pods = world.slots["b"]
    world.run(55, policy)
    assert world.state().deferred is not None
    return world, pods


def test_what_gave_way_to_a_market_keeps_its_pods_warm_and_needs_no_new_ones_to_go_on() -> None:
    policy = replace(OUTSIDE, warm=3600.0, start_budget=600.0)
    world, pods = set_aside(replace(policy, start_budget=0.0))
    assert world.slots["b"] is pods
    assert pods.withdrawn, "nobody who has its cookie is answered by it meanwhile"
    world.slots["a"].components["api"].wanted = 3  # the stable release grows in the day
    world.settle()
    world.run(1, policy)
    assert pods.components["api"].wanted == 3
    world.market = market((9000, 9100))
    world.hold_on(1, policy)
    assert (world.weights["b"], pods.withdrawn) == (0, False), "the pods answer visitors again before they get any"
    world.run(3, policy)
    state = world.state()
    assert state.candidate is not None
    assert (state.candidate.step, world.weights["b"]) == (1, 500)
    assert world.slots["b"] is pods, "no new pod"
    assert world.run(30, policy).stable == Placed("b", 2)


def test_what_waits_for_longer_than_a_slot_is_warm_gets_new_pods_from_its_record() -> None:
    policy = replace(OUTSIDE, warm=20.0)
    world, pods = set_aside(policy)
    assert "b" not in world.slots
    state = world.run(60, policy)
    assert state.stable == Placed("b", 2)
    assert world.slots["b"] is not pods
    assert sorted(world.records) == [1, 2]


@pytest.mark.parametrize("ends", ["abort", "the wish that serves"])
def test_what_gave_way_and_will_not_go_on_gives_its_pods_back(ends: str) -> None:
    policy = replace(OUTSIDE, warm=3600.0)
    world, _ = set_aside(policy)
    if ends == "abort":
        world.say("abort", 2)
    else:
        world.hash = "h1"
    world.market = market((9000, 9100))
    state = world.run(30, policy)
    assert (state.candidate, state.retiring, "b" in world.slots) == (None, None, False)
    assert world.weights == {"a": FULL, "b": 0}


def test_what_gave_way_is_warm_and_is_all_the_same_never_gone_back_to_at_once() -> None:
    """It was judged at its own weights alone, and never served everybody."""
    policy = replace(OUTSIDE, warm=3600.0)
    world, _ = set_aside(policy)
    world.say("rollback", 1)
    world.turn(policy)
    command = world.state().command
    assert command is not None
    assert (command.outcome, "no record is older than release 1" in command.message) == ("Refused", True)
    world.hash = "h3"
    world.turn(policy)
    world.hash = "h2"
    world.market = market((9000, 9100))
    steps = len(world.history)
    assert world.run(60, policy).stable is not None
    assert [weights["b"] for _, weights in world.history[steps:]][:3] == [100, 500, 1000]


def test_held_on_open_it_keeps_its_weight_is_judged_and_goes_on_after_the_close() -> None:
    policy = replace(OUTSIDE, hold_on_open=True)
    world = holding()
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 60))
    for _ in range(59):
        held = world.turn(policy).held
        world.settle()
        world.go(1)
        assert world.weights["b"] == 100
        assert held is not None
        assert held.reason == "MarketOpen"
    assert world.run(40, policy).stable == Placed("b", 2)


@pytest.mark.parametrize("hold", [True, False])
def test_a_failing_release_goes_for_good_whatever_market_opens(hold: bool) -> None:
    world = holding()
    opened = (world.now - START).total_seconds()
    world.market = market((opened + 5, opened + 60))
    world.rates[2] = "1"
    state = world.run(10, replace(OUTSIDE, hold_on_open=hold))
    assert state.withdrawn is not None
    assert state.deferred is None


def test_a_calendar_that_is_lost_in_mid_run_holds_and_takes_nothing_back() -> None:
    world = holding()
    world.market = Market(trouble="gone")
    state = world.run(60, OUTSIDE)
    assert state.candidate is not None
    assert (state.candidate.step, world.weights["b"]) == (0, 100)
    world.market = market((9000, 9100))
    assert world.run(60, OUTSIDE).stable == Placed("b", 2)


def test_another_wish_ends_what_waits_for_the_close() -> None:
    world = holding()
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 30))
    world.run(10, OUTSIDE)
    assert world.state().deferred is not None
    world.hash = "h3"
    world.turn(OUTSIDE)
    assert world.state().deferred is None
    assert world.run(90, OUTSIDE).stable == Placed("b", 3)


def test_the_wish_that_serves_ends_it_too() -> None:
    world = holding()
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 30))
    world.run(10, OUTSIDE)
    world.hash = "h1"
    state = world.run(60, OUTSIDE)
    assert (state.deferred, state.candidate, state.stable) == (None, None, Placed("a", 1))


def test_start_lets_one_run_begin_in_the_day_with_its_reason() -> None:
    world = asked((0, 10_000))
    world.turn(OUTSIDE)
    world.say("start", 3, reason="hotfix")
    world.turn(OUTSIDE)
    command = world.state().command
    assert command is not None
    assert (command.outcome, command.message) == ("Ignored", "it means release 3, and the one that waits is 2")
    world.say("start", 2, reason="orders are lost")
    state = world.run(60, OUTSIDE)
    assert state.stable == Placed("b", 2)
    assert state.command is not None
    assert (state.command.outcome, state.command.message) == (
        "Done",
        "it runs whatever market is open by kubectl-annotate: orders are lost",
    )
    assert state.override is None, "it counted for that run"
    world.hash = "h3"
    assert world.run(30, OUTSIDE).candidate is None


def test_start_counts_for_the_wish_that_waited_and_for_no_other() -> None:
    world = asked((0, 10_000))
    world.say("start", 2, reason="hotfix")
    world.run(3, OUTSIDE)
    assert world.state().candidate is not None
    world.hash = "h3"
    state = world.run(30, OUTSIDE)
    assert (state.candidate, state.override) == (None, None)


def test_start_brings_back_what_gave_way_to_the_market() -> None:
    world = holding()
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 9000))
    world.run(20, OUTSIDE)
    world.say("start", 2, reason="needed today")
    assert world.run(60, OUTSIDE).stable == Placed("b", 2)


@pytest.mark.parametrize(("hash_", "words"), [("h2", "nothing waits for market hours"), ("h1", "no release waits")])
def test_start_without_a_release_that_waits_is_refused(hash_: str, words: str) -> None:
    world = asked((500, 600) if hash_ == "h2" else (0, 600))
    world.hash = hash_
    world.say("start", 2, reason="x")
    world.turn(OUTSIDE)
    command = world.state().command
    assert command is not None
    assert command.outcome == "Refused"
    assert words in command.message


def test_abort_pause_and_full_reach_what_waits_for_the_close() -> None:
    world = holding()
    opened = (world.now - START).total_seconds()
    world.market = market((opened, opened + 30))
    world.run(10, OUTSIDE)
    world.say("promote", 2, full=True)
    world.turn(OUTSIDE)
    world.say("pause", 2)
    world.turn(OUTSIDE)
    deferred = world.state().deferred
    assert deferred is not None
    assert deferred.full
    assert deferred.paused is not None
    world.say("abort", 2)
    state = world.run(60, OUTSIDE)
    assert (state.deferred, state.candidate) == (None, None)
    assert state.withdrawn is not None
    assert state.withdrawn.reason == "Aborted"


def test_a_hold_that_a_person_ends_counts_for_nothing() -> None:
    steps = (StepPolicy(100, inf), StepPolicy(500, 60.0), StepPolicy(1000, 0.0))
    policy = replace(OUTSIDE, steps=steps, start_budget=600.0)
    assert needed(policy, 0, starts=False) == timedelta(seconds=60)
    assert needed(policy, 0, starts=True) == timedelta(seconds=660)
    assert needed(policy, 2, starts=False) == timedelta(0)


_spans = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), max_size=6)


def _apart(spans: Sequence[tuple[int, int]]) -> tuple[Session, ...]:
    found, at = [], START
    for pause, length in spans:
        opens = at + timedelta(minutes=pause)
        at = opens + timedelta(minutes=length)
        found.append(Session(opens, at, ("NSE_EQ",)))
    return tuple(found)


@given(_spans, st.integers(0, 1500), st.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_a_window_never_meets_a_session_and_no_earlier_one_would_do(
    spans: list[tuple[int, int]], at: int, minutes: int
) -> None:
    sessions, now, needs = _apart(spans), START + timedelta(minutes=at), timedelta(minutes=minutes)
    begins = next_window(sessions, now, needs)
    assert begins is not None
    assert begins >= now

    def fits(start: datetime) -> bool:
        ends = start + needs
        return open_now(sessions, start) is None and not any(start < entry.opens < ends for entry in sessions)

    assert fits(begins)
    earlier = [now + timedelta(minutes=count) for count in range(int((begins - now) / timedelta(minutes=1)))]
    assert not any(fits(start) for start in earlier)


@given(
    spans=st.lists(st.tuples(st.integers(5, 60), st.integers(5, 40)), min_size=1, max_size=5),
    kills=st.lists(st.integers(0, 6), max_size=40),
    hold=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_whatever_opens_when_one_release_serves_and_the_wish_is_met_in_the_end(
    spans: list[tuple[int, int]], kills: list[int], hold: bool
) -> None:
    policy = replace(OUTSIDE, hold_on_open=hold)
    world = running()
    found, at = [], 20.0
    for pause, length in spans:
        found.append((at + pause, at + pause + length))
        at += pause + length
    world.market, world.hash = market(*found), "h2"
    for kill in kills:
        before = world.state().weights()["b"]
        world.turn(policy, kill_after=kill)
        if open_now(world.market.sessions, world.now) is not None:
            assert world.state().weights()["b"] <= before, "nobody decides on more weight while a market is open"
        assert sum(world.weights.values()) == FULL
        world.settle()
        world.go(1)
    state = world.run(int(at) + 120, policy)
    assert state.deferred is None
    if state.withdrawn is not None:
        # Pods have no time at all here, and an operator that is killed before it asks for them gives them none.
        assert (state.withdrawn.reason, state.stable) == ("NotReadyInTime", Placed("a", 1))
        return
    assert state.stable == Placed("b", 2)
    assert sorted(world.records) == [1, 2]
