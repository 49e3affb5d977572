"""What a release with weight is judged by: no part hides another, nothing counts twice, and nobody promotes blindly."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.api import Slot
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.actions import EnsureSlot
from tradingengine_operator.flows.analysis import analyse
from tradingengine_operator.flows.check import Word
from tradingengine_operator.flows.checks.own import OwnCheck
from tradingengine_operator.flows.checks.share import ShareCheck
from tradingengine_operator.flows.look import CLIENT, SOURCES, Look, Second, kind_of
from tradingengine_operator.flows.observation import ReleaseObservation, SlotObservation
from tradingengine_operator.flows.policy import CheckPolicy, Policy, StepPolicy
from tradingengine_operator.flows.sequential import Evidence, learn
from tradingengine_operator.flows.state import Candidate, CheckCount, Placed, Stage, Verdict
from tradingengine_operator.plan.routes import RouteObservation
from tradingengine_operator.runtime.release.meter import REQUESTS as ALL
from tradingengine_operator.runtime.release.meter import Meter
from tradingengine_operator.runtime.release.sampling import ClockWatch, JudgedTime, Learner
from tradingengine_operator.samples import OwnValue, Reading, Scrape, Series, Trials

from .model import COMPONENTS, POLICY, START, ComponentModel, SlotModel, WorldModel

pytestmark = pytest.mark.unit


def holding(**world: Any) -> WorldModel:
    """A world in which release 2 holds its first step beside release 1."""
    made = WorldModel(**world)
    made.run(20)
    made.hash = "h2"
    made.until(Stage.HOLDING)
    return made


def candidate_of(world: WorldModel) -> Candidate:
    """The candidate, which must be there."""
    candidate = world.state().candidate
    assert candidate is not None, world.stored
    return candidate


def verdict_of(world: WorldModel) -> Verdict:
    """Why it was withdrawn, which it must be."""
    verdict = world.state().withdrawn
    assert verdict is not None, world.stored
    return verdict


def failures_of(world: WorldModel, check: str) -> int:
    """Failing samples of a check that count."""
    return world.tally._counts.get(check, CheckCount()).failures


def canary(world: WorldModel, component: str) -> ComponentModel:
    """Pods of the canary's component."""
    return world.slots["b"].components[component]


# --- a dead part is not averaged away ---


@pytest.mark.parametrize(("dead", "other"), [("dashboard", "api"), ("api", "dashboard")])
def test_a_component_without_a_ready_pod_withdraws_whatever_the_other_has(dead: str, other: str) -> None:
    world = holding()
    canary(world, other).wanted = 6
    world.slots["b"].be_ready(2, other)
    world.slots["b"].be_ready(0, dead)
    world.turn()
    verdict = verdict_of(world)
    assert verdict.reason == "NoReadyEndpoint"
    assert verdict.message.startswith(f"{dead}: 0 ready pods")


def test_too_few_ready_pods_name_their_component() -> None:
    world = holding()
    world.slots["b"].be_ready(1, "dashboard")
    world.hold_on(11)
    assert verdict_of(world).reason == "TooFewReady"
    assert verdict_of(world).message == "dashboard: 1 of 2 pods ready for 10 s"


@pytest.mark.parametrize("bad", COMPONENTS)
def test_a_failing_component_is_not_hidden_by_a_busy_good_one(bad: str) -> None:
    world = holding()
    world.rates[2, bad] = "0.05"
    world.hold_on(3)
    assert verdict_of(world).reason == "ErrorRate"
    assert f"error rate of the {bad} 0.0" in verdict_of(world).message


@settings(max_examples=40, deadline=None)
@given(
    pods=st.lists(st.tuples(*[st.integers(min_value=0, max_value=2)] * 2), min_size=10, max_size=50),
    rates=st.lists(st.tuples(*[st.sampled_from(["0", "0", "0.5", None])] * 2), min_size=50, max_size=50),
    own=st.lists(st.sampled_from([200, 200, 500, None]), min_size=50, max_size=50),
)
def test_no_world_gives_weight_while_a_component_is_dead_failing_or_unheard(
    pods: list[tuple[int, int]], rates: list[tuple[str | None, str | None]], own: list[int | None]
) -> None:
    world, asked = holding(), dict.fromkeys(COMPONENTS, 0)
    for look, (ready, shares, status) in enumerate(zip(pods, rates, own, strict=False), start=1):
        for part, count, share in zip(COMPONENTS, ready, shares, strict=True):
            if "b" in world.slots:
                world.slots["b"].be_ready(count, part)
            world.rates[2, part], world.own[2, part] = share, status
            asked[part] = look if share is not None else asked[part]
        before = dict(world.weights)
        state = world.turn().state
        risen = world.weights["b"] > before["b"] or state.stable == Placed("b", 2)
        if risen:
            assert min(ready) == 2
            assert "0.5" not in shares
            idle = [look - last for last in asked.values()]
            assert min(idle) < 3, "somebody asked at least one component a moment ago"
            assert status == 200 or max(idle) < 3
            return
        if state.candidate is None:
            return
        world.accepted = True
        world.go(1)


# --- beside the stable release ---


@pytest.mark.parametrize(("stable", "bad"), [("0.011", "1"), ("0.02", "0.06"), ("0.5", "0.75")])
def test_a_release_that_fails_by_far_goes_although_the_stable_one_fails_a_little(stable: str, bad: str) -> None:
    world = holding()
    world.rates |= {1: stable, 2: bad}
    world.hold_on(3)
    assert verdict_of(world).reason == "ErrorRate"


def test_a_machine_that_is_too_busy_for_both_holds_though_new_pods_feel_it_more() -> None:
    world = holding()
    world.slow |= {1: "0.3", 2: "0.75"}
    for _ in range(20):
        held = world.turn().held
        assert held is not None
        assert held.reason == "BothFailing"
        world.go(1)
    assert world.weights["b"] == 100, "no more weight meanwhile"
    world.slow |= {1: "0", 2: "0"}
    assert world.run(200).stable == Placed("b", 2)


def test_a_release_that_is_late_by_far_goes_although_a_few_answers_of_the_stable_one_are() -> None:
    world = holding()
    world.slow |= {1: "0.08", 2: "0.75"}
    world.hold_on(3)
    assert verdict_of(world).reason == "Latency"


def test_a_fault_of_both_holds_says_since_when_and_ends() -> None:
    world = holding()
    world.rates |= {1: "0.2", 2: "0.25"}
    begun, messages = world.now, set()
    for _ in range(60):
        held = world.turn().held
        assert held is not None
        assert (held.reason, held.failing) == ("BothFailing", True)
        messages.add(held.message)
        assert candidate_of(world).step == 0
        world.go(1)
    assert len(messages) == 1, "a status that does not change is not written each second"
    assert begun.strftime("%H:%M:%S") in messages.pop()
    world.turn()
    assert verdict_of(world).reason == "BothFailing"
    assert world.weights == {"a": FULL, "b": 0}


def test_a_fault_of_both_that_passes_lets_the_release_go_on() -> None:
    world = holding()
    world.rates |= {1: "0.2", 2: "0.2"}
    world.hold_on(30)
    world.rates.clear()
    assert world.run(80).stable == Placed("b", 2)


# --- samples, and what is proved ---


def test_a_failing_second_counts_once_and_a_good_one_forgets_it() -> None:
    world = holding()
    world.rates[2] = "0.6"
    world.turn()
    assert failures_of(world, "error-rate") == 1
    world.turn()
    assert failures_of(world, "error-rate") == 1, "the same second"
    world.go(1)
    world.rates[2] = "0"
    world.turn()
    assert candidate_of(world).step == 0, "what is recent is still above the limit"
    world.hold_on(3)
    assert failures_of(world, "error-rate") == 0
    assert world.run(60).stable == Placed("b", 2)


def test_a_few_answers_are_no_sample_and_prove_nothing_until_there_are_more() -> None:
    world = holding()
    world.requests |= {1: 40, 2: 4}
    world.rates[2] = "1"
    world.turn()
    assert failures_of(world, "error-rate") == 0
    world.hold_on(3)
    assert verdict_of(world).reason == "ErrorRate"


def test_a_failure_limit_of_one_withdraws_at_the_first_failing_second() -> None:
    world, policy = holding(), with_check("error-rate", failure_limit=1)
    world.rates[2] = "0.55"
    world.turn(policy)
    assert verdict_of(world).reason == "ErrorRate"
    assert "in 1 sample" in verdict_of(world).message


def test_a_burst_of_one_moment_withdraws_nothing() -> None:
    world = holding()
    world.requests |= {1: 90, 2: 10}
    world.hold_on(3)
    world.rates[2] = "0.4"
    world.turn()
    world.rates[2] = "0"
    world.go(1)
    assert world.run(200).stable == Placed("b", 2)


def test_what_was_learnt_survives_a_kill() -> None:
    world = holding()
    world.requests |= {1: 90, 2: 10}
    world.hold_on(7)
    before = candidate_of(world).evidence["error-rate/api/client"]
    assert before[0] >= 50
    world.restart()
    world.turn()
    assert world.learner._evidence["error-rate/api/client"].step.all > before[0]


def test_a_step_ends_only_when_it_was_judged_on_enough_requests_and_says_what_is_lacking() -> None:
    world, policy = holding(), with_check("error-rate", min_samples=1300)  # a thousand came before it held
    world.requests |= {1: 90, 2: 10}
    said = set()
    for _ in range(25):
        held = world.turn(policy).held
        said.add((held.reason, held.message) if held is not None else None)
        assert candidate_of(world).step == 0
        world.go(1)
    assert None in said, "in the middle of a hold it is no news"
    words = [message for reason, message in filter(None, said) if reason == "LowTraffic"]
    assert 1 <= len(words) <= 6, "words that change each second would be written each second"
    assert any("are lacking" in entry for entry in words)
    world.hold_on(20, policy)
    assert candidate_of(world).step == 1


@pytest.mark.parametrize("component", COMPONENTS)
def test_slow_answers_withdraw_as_failed_ones_do(component: str) -> None:
    world = holding()
    world.besides = {kind_of("latency-p95", component, "probe"): Second(Trials(20, 20), Trials(20, 0))}
    world.hold_on(4)
    assert verdict_of(world).reason == "Latency"
    assert "slower than 1s" in verdict_of(world).message
    assert component in verdict_of(world).message


def test_one_failing_check_hides_no_other() -> None:
    world = holding()
    world.rates[2], world.slow[2] = "1", "1"
    world.hold_on(4)
    assert "error rate of the api" in verdict_of(world).message
    assert "share of slow answers of the api" in verdict_of(world).message


def test_orders_are_judged_when_both_releases_had_enough_of_them() -> None:
    kind = kind_of("order-reject-rate", "api", "client")
    for of_stable, reason in ((0, None), (20, "OrderRejectRate")):
        world = holding()
        world.besides = {kind: Second(Trials(20, 10), Trials(of_stable, 0))}
        world.hold_on(6)
        if reason is None:
            assert world.state().withdrawn is None
        else:
            assert verdict_of(world).reason == reason


def test_orders_are_judged_also_where_almost_all_of_them_go_to_the_new_release() -> None:
    check = next(entry for entry in POLICY.checks if entry.name == "order-reject-rate")
    for weight in (940, 950, 990):
        found, of_stable = Evidence(), 1000 - weight
        for second in range(1000):  # an order in ten seconds or less at the stable release; a third is refused
            stable = Trials(int(second % (100 // of_stable) == 0))
            found = learn(found, Trials(10, 3), stable, check.share)
        look = Look(START, evidence={kind_of(check.name, "api", CLIENT): found})
        seen = replace(WorldModel().observe(), look=look)
        candidate = Candidate("b", 2, "h2", Stage.HOLDING, START, START, weight=weight)
        assert ShareCheck(check).look(candidate, seen, POLICY, START).word is Word.PROVED, weight


def test_orders_of_the_steps_before_count_as_seen() -> None:
    kind = kind_of("order-reject-rate", "api", "client")
    world = holding()
    world.besides = {kind: Second(Trials(8), Trials(8))}
    world.run(14)
    assert candidate_of(world).step == 1
    world.besides = {kind: Second(Trials(8, 8), Trials(8))}
    world.hold_on(2)
    assert verdict_of(world).reason == "OrderRejectRate"


def test_websockets_that_break_withdraw() -> None:
    world = holding()
    world.besides = {kind_of("websocket-drops", "api", ""): Second(Trials(8, 5), Trials(40, 0))}
    world.hold_on(9)
    assert verdict_of(world).reason == "WebSocketDrops"


# --- what hangs ---


@pytest.mark.parametrize("fault", ["mute", "old", "never"])
def test_a_release_that_hangs_gets_no_more_weight_from_the_first_sign_on(fault: str) -> None:
    world = holding()
    world.hold_on(20)
    assert candidate_of(world).step == 1
    world.accepted = True
    world.hold_on(9)
    if fault == "mute":
        world.mute[2] = ("desk-api-b-1 to the control API",)
    else:
        world.ages["api"] = 3.2 if fault == "old" else None
    weight, begun = world.weights["b"], world.now
    while world.state().withdrawn is None and (world.now - begun).total_seconds() < 40:
        world.turn()
        assert world.weights["b"] <= weight
        world.go(1)
    assert verdict_of(world).reason == ("Unresponsive" if fault == "mute" else "NoData")
    if fault == "mute":
        assert (world.now - begun).total_seconds() <= 2
        assert "desk-api-b-1" in verdict_of(world).message


def test_pods_of_both_releases_that_do_not_answer_hold() -> None:
    world = holding()
    world.mute |= {1: ("desk-api-a-1",), 2: ("desk-api-b-1",)}
    world.hold_on(20)
    assert candidate_of(world).step == 0
    assert world.state().withdrawn is None


# --- the user's own checks ---


def with_own(**fields: Any) -> Policy:
    """A policy with one check of the user's."""
    queue = CheckPolicy("queue", 2, 1, said="5", required=True, query="depth", most=5.0)
    return replace(POLICY, checks=(*POLICY.checks, replace(queue, **fields)))


def with_check(name: str, **fields: Any) -> Policy:
    """A policy with another built-in check of this name."""
    return replace(
        POLICY, checks=tuple(replace(check, **fields) if check.name == name else check for check in POLICY.checks)
    )


def test_a_query_above_its_limit_withdraws_by_its_own_name() -> None:
    world, policy = holding(), with_own()
    world.values = {("queue", 2): OwnValue(7.5), ("queue", 1): OwnValue(1.0)}
    world.hold_on(2, policy)
    assert verdict_of(world).reason == "CheckFailed"
    assert "queue: 7.5 is above its max 5" in verdict_of(world).message
    assert (verdict_of(world).value, verdict_of(world).limit) == ("7.5", "5")


def test_a_query_below_its_least_withdraws_after_its_own_failure_limit() -> None:
    world, policy = holding(), with_own(most=None, least=5.0, failure_limit=3)
    world.values = {("queue", 2): OwnValue(4.0), ("queue", 1): OwnValue(9.0)}
    world.hold_on(2, policy)
    assert world.state().withdrawn is None
    world.hold_on(1, policy)
    assert verdict_of(world).reason == "CheckFailed"


@pytest.mark.parametrize(("against", "held"), [(True, False), (False, True)])
def test_a_query_is_compared_with_the_stable_release(against: bool, held: bool) -> None:
    world, policy = holding(), with_own(against_stable=against)
    world.values = {("queue", 2): OwnValue(8.0), ("queue", 1): OwnValue(6.0)}
    world.hold_on(3, policy)
    assert (world.state().withdrawn is None) is held
    same = holding()
    same.values = {("queue", 2): OwnValue(8.0), ("queue", 1): OwnValue(8.0)}
    same.hold_on(3, policy)
    assert same.state().withdrawn is None


@pytest.mark.parametrize(
    ("limits", "value", "stable", "word"),
    [
        ({"least": 100.0}, 0.0, 99.0, Word.FAILING),  # no order is filled, and almost enough beside it
        ({"least": 100.0}, 40.0, 99.0, Word.FAILING),
        ({"least": 100.0}, 60.0, 99.0, Word.BOTH_FAILING),
        ({"least": 100.0}, 99.0, 60.0, Word.BOTH_FAILING),
        ({"least": -5.0}, -9.0, -6.0, Word.BOTH_FAILING),
        ({"least": -5.0}, -19.0, -6.0, Word.FAILING),
        ({"most": 5.0}, 9.0, 6.0, Word.BOTH_FAILING),
        ({"most": 5.0}, 13.0, 6.0, Word.FAILING),
        ({"most": -5.0}, 0.0, -4.0, Word.FAILING),
        ({"most": -5.0}, -3.0, -4.0, Word.BOTH_FAILING),
    ],
)
def test_a_number_is_as_bad_as_the_stable_releases_in_both_directions(
    limits: dict[str, float], value: float, stable: float, word: Word
) -> None:
    check = replace(CheckPolicy("fills", 2, 1, "its limit", required=True, query="x"), most=limits.get("most"))
    check = replace(check, least=limits.get("least"))
    look = Look(START, values={"fills": OwnValue(value)}, stable_values={"fills": OwnValue(stable)})
    seen = replace(WorldModel().observe(), look=look)
    candidate = Candidate("b", 2, "h2", Stage.HOLDING, START, START)
    assert OwnCheck(check).look(candidate, seen, POLICY, START).word is word


def test_nothing_is_promoted_on_a_query_that_cannot_be_judged() -> None:
    world, policy = holding(), with_own()
    world.values = {("queue", 2): OwnValue(trouble="its query gives 2 series", mend="use sum(...)")}
    for _ in range(100):
        held = world.turn(policy).held
        world.settle()
        world.go(1)
    assert held is not None
    assert (held.reason, held.failing) == ("CheckBroken", True)
    assert "queue" in held.message
    assert "use sum(...)" in held.message
    assert candidate_of(world).step == 0
    world.values = {("queue", 2): OwnValue(1.0)}
    assert world.run(60, policy).stable == Placed("b", 2)


def test_a_query_without_a_series_is_no_data() -> None:
    world, policy = holding(), with_own()
    world.values = {("queue", 2): OwnValue()}
    world.hold_on(33, policy)
    assert verdict_of(world).reason == "NoData"
    assert "queue" in verdict_of(world).message


# --- nobody promotes blindly ---


def test_a_component_that_nobody_asks_is_judged_by_own_requests() -> None:
    for status, reason in ((200, None), (500, "ErrorRate"), (None, "NoData")):
        world = holding()
        world.rates[2, "dashboard"] = None
        world.own[2, "dashboard"] = status
        state = world.run(60)
        if reason is None:
            assert state.stable == Placed("b", 2)
        else:
            assert verdict_of(world).reason == reason
            assert "dashboard" in verdict_of(world).message


def test_own_requests_that_fail_at_both_releases_hold() -> None:
    world = holding()
    world.rates[2, "dashboard"] = None
    world.own |= {(1, "dashboard"): 503, (2, "dashboard"): 503}
    world.hold_on(20)
    assert candidate_of(world).step == 0


def test_own_requests_alone_promote_nothing() -> None:
    world = holding(default_rate="0")
    world.rates |= {1: None, 2: None}
    world.hold_on(36)
    assert verdict_of(world).reason == "NoData"


@pytest.mark.parametrize("probed", [False, True])
def test_no_step_ends_before_a_new_operator_has_counted_a_request_itself(probed: bool) -> None:
    world, hour = holding(), replace(POLICY, steps=(StepPolicy(100, 3600.0), StepPolicy(1000, 0.0)))
    world.besides = dict(prober_asks()) if probed else {}
    world.hold_on(130, hour)
    assert candidate_of(world).evidence
    world.say("promote", full=True)
    world.restart()
    world.go(20)  # the standby takes over; meanwhile nobody is answered any more
    world.rates[2], world.besides = None, {}
    for _ in range(3):
        world.turn(hour)
        assert candidate_of(world).step == 0
        world.go(1)
    assert candidate_of(world).checks == {}, "nor is anything missed yet"
    world.rates[2] = "0"
    world.turn(hour)
    assert world.weights["b"] == FULL


def prober_asks() -> list[tuple[str, Second]]:
    """What the prober brings each second to both slots: five requests a component."""
    kinds = [kind_of(name, part, "probe") for part in COMPONENTS for name in (ALL, "error-rate", "latency-p95")]
    return [(kind, Second(Trials(5), Trials(5))) for kind in kinds]


def test_after_a_gap_one_sample_does_not_end_a_hold() -> None:
    for gap in ("down", "paused"):
        world = holding()
        world.hold_on(4)
        world.go(3600)
        if gap == "down":
            world.restart()
        world.turn()
        assert candidate_of(world).step == 0, gap
        world.hold_on(5)
        assert candidate_of(world).step == 0, gap


def test_a_hold_that_was_judged_survives_a_kill_but_for_its_last_part() -> None:
    world = holding()
    world.hold_on(7)
    assert candidate_of(world).held == pytest.approx(5, abs=1)
    world.restart()
    world.hold_on(6)
    assert candidate_of(world).step == 1


def test_seconds_without_evidence_are_not_held() -> None:
    world = holding()
    world.hold_on(5)
    world.default_rate = None
    world.hold_on(20)
    world.default_rate = "0"
    world.hold_on(2)
    assert candidate_of(world).step == 0


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_ends_no_hold_and_no_budget(hours: int) -> None:
    world = holding()
    world.no_server = True
    world.hold_on(5)
    world.clock_set = timedelta(hours=hours)
    world.hold_on(20)
    assert candidate_of(world).step == 0
    assert world.state().withdrawn is None
    world.hold_on(10)
    assert verdict_of(world).reason == "MetricsUnavailable"
    other = holding()
    other.hold_on(3)
    other.clock_set = timedelta(hours=hours)
    other.hold_on(3)
    assert candidate_of(other).step == 0
    other.rates[2] = "1"
    other.hold_on(3)
    assert verdict_of(other).reason == "ErrorRate"


def moved(world: WorldModel) -> None:
    """Another operator goes on, on a node whose clock is right."""
    world.clock_set = timedelta(0)
    world.restart()


@pytest.mark.parametrize("hours", [-1, 1])
def test_times_of_another_clock_keep_no_release_from_its_end(hours: int) -> None:
    silent = holding()
    silent.clock_set = timedelta(hours=hours)
    silent.no_server = True
    silent.hold_on(5)
    moved(silent)
    silent.hold_on(35)
    assert verdict_of(silent).reason == "MetricsUnavailable"
    leaving = holding()
    leaving.clock_set = timedelta(hours=hours)
    leaving.rates[2] = "1"
    leaving.silent = False
    while leaving.state().withdrawn is None:
        leaving.turn()
        leaving.go(1)
    moved(leaving)
    assert leaving.run(40).retiring is None, "a slot that does not get silent, or closed, is waited for 30 s at most"
    warm = holding()
    warm.clock_set = timedelta(hours=hours)
    while warm.state().candidate is not None:
        warm.turn()
        warm.settle()
        warm.go(1)
    moved(warm)
    assert warm.run(100).retiring is None, "nor is the old one kept warm for longer than a minute"


def test_judged_time_leaves_out_gaps_other_steps_and_moments_without_evidence() -> None:
    watch = JudgedTime()
    candidate = Candidate("b", 2, "h2", Stage.HOLDING, started_at=START, stage_at=START)
    assert watch.look(candidate, 100.0, judged=True) == 0
    assert watch.look(candidate, 101.0, judged=True) == 1
    assert watch.look(candidate, 102.0, judged=False) == 1
    assert watch.look(candidate, 103.0, judged=True) == 1
    assert watch.look(candidate, 104.0, judged=True) == 2
    assert watch.look(candidate, 200.0, judged=True) == 2
    stored = replace(candidate, held=2.0)
    assert watch.look(stored, 201.0, judged=True) == 1
    assert watch.look(replace(stored, step=1, held=0.0), 202.0, judged=True) == 0
    assert watch.look(None, 203.0, judged=True) == 0


def test_a_clock_watch_tells_by_how_much_a_clock_was_set() -> None:
    watch = ClockWatch()
    assert watch.look(START, 5.0) == 0
    assert watch.look(START + timedelta(seconds=2), 7.0) == 0
    assert watch.look(START + timedelta(hours=1, seconds=3), 8.0) == 3600


# --- too little traffic ---


def trickle(world: WorldModel, weight: int, stable_requests: int) -> None:
    """A first step of so little weight that the canary gets no sample, beside a busy stable release."""
    world.rates[2] = None
    world.requests[1] = stable_requests
    state = world.state()
    assert state.candidate is not None
    world.stored = world.stored.replace('"weight":100', f'"weight":{weight}')
    world.weights = {"a": FULL - weight, "b": weight}


def test_too_little_traffic_for_the_weight_is_said_and_held() -> None:
    world = holding()
    trickle(world, 1, 10)  # 20 a second of both components: 0.6 due within the budget
    for _ in range(300):
        held = world.turn().held
        assert world.state().withdrawn is None
        world.go(1)
    assert held is not None
    assert held.reason == "LowTraffic"
    assert "0.1 %" in held.message
    del world.rates[2]
    world.hold_on(14)
    assert candidate_of(world).step == 1, "it goes on once it was judged"


def test_requests_that_should_have_come_and_did_not_withdraw() -> None:
    world = holding()
    trickle(world, 100, 10)  # 67 due within the budget, as soon as the rate is known
    world.hold_on(50)
    assert verdict_of(world).reason == "NoData"
    assert "were due" in verdict_of(world).message


def test_the_budget_begins_when_the_gateway_has_accepted() -> None:
    world = WorldModel()
    world.run(20)
    world.hash, world.rates[2] = "h2", None
    world.until(Stage.SHIFTING)
    world.accepted = False
    world.hold_on(100)
    assert candidate_of(world).stage is Stage.SHIFTING
    world.accepted = True
    world.hold_on(29)
    assert candidate_of(world).stage is Stage.HOLDING
    world.hold_on(3)
    assert verdict_of(world).reason == "NoData"


# --- what is not the release's own fault ---


def asked_of(world: WorldModel, role: str) -> EnsureSlot:
    """What is asked for one slot."""
    actions = world.decide().actions
    return next(action for action in actions if isinstance(action, EnsureSlot) and action.role == role)


def test_a_stable_release_that_grows_takes_no_healthy_one_away_and_is_followed_before_more_weight() -> None:
    world = holding()
    world.slots["a"].components["api"].wanted = 6
    world.slots["a"].be_ready(6, "api")
    world.hold_on(5)
    assert asked_of(world, "canary").pods == {"api": 2, "dashboard": 2}, "not in the middle of a hold"
    reasons = set()
    for _ in range(60):  # its hold is over, and there is no room for four more pods
        held = world.turn().held
        reasons.add(held.reason if held is not None else "")
        world.go(1)
    assert "TooFewPods" in reasons
    assert canary(world, "api").wanted == 6
    assert candidate_of(world).step == 0
    world.settle()
    world.hold_on(2)
    assert candidate_of(world).step == 1


def test_the_autoscaler_of_the_stable_release_keeps_what_it_had_at_the_start() -> None:
    world = WorldModel()
    world.run(20)
    world.slots["a"].components["api"].wanted = 4
    world.hash = "h2"
    world.until(Stage.HOLDING)
    world.slots["a"].components["api"].wanted = 2
    assert asked_of(world, "stable").pods == {"api": 4, "dashboard": 2}
    world.run(60)
    assert world.state().stable == Placed("b", 2)
    assert asked_of(world, "stable").pods == {}


def test_a_drained_node_that_takes_the_only_pod_withdraws_nothing_until_its_replacement_is_late() -> None:
    for seconds in (40, 70):
        world = holding(wanted={"api": 2, "dashboard": 1})
        only = canary(world, "dashboard")
        only.ready, only.ending = 0, 1
        world.turn()
        only.ending = 0  # nothing is left of it, and its replacement is not made yet
        world.turn()
        only.starting = 1
        world.hold_on(seconds)
        if seconds > POLICY.replace_budget:
            assert verdict_of(world).reason == "NoReadyEndpoint"
            continue
        assert candidate_of(world).step == 0
        only.ready, only.starting = 1, 0
        world.hold_on(3)
        assert candidate_of(world).unready_since is None
        assert world.state().withdrawn is None


@pytest.mark.parametrize("fault", ["errors", "silence", "readiness", "restart", "both"])
def test_nobody_is_sent_to_a_stable_release_that_does_not_serve(fault: str) -> None:
    world = holding()
    world.slots["a"].be_ready(0, "dashboard")
    match fault:
        case "errors":
            world.rates[2] = "1"
        case "silence":
            world.no_server = True
        case "readiness":
            world.slots["b"].be_ready(1, "api")
        case "restart":
            world.slots["b"].restarts = {"p": 1}
        case "both":
            world.rates |= {1: "0.2", 2: "0.25"}
    for _ in range(90):
        held = world.turn().held
        assert world.weights == {"a": 900, "b": 100}
        world.go(1)
    assert held is not None
    assert (held.reason, held.failing) == ("StableNotServing", True)
    assert "no ready dashboard" in held.message
    before = world.stored
    world.turn()
    assert world.stored == before, "what does not change is not written each second"
    world.slots["a"].be_ready(2)
    world.turn()
    assert verdict_of(world).release == 2
    assert world.weights == {"a": FULL, "b": 0}


def test_a_replacement_that_fails_is_the_releases_own_fault() -> None:
    world = holding(wanted={"api": 2, "dashboard": 1})
    only = canary(world, "dashboard")
    only.ready, only.failing = 0, 1
    world.turn()
    assert verdict_of(world).reason == "NoReadyEndpoint"


# --- how fast ---


@dataclass
class Metered:
    """Requests to two pods of a canary, scraped each second at a phase of their own, asked as a metrics server is."""

    rate: float
    fault_at: float
    share: float
    chance: random.Random
    came: list[list[tuple[float, bool]]] = field(default_factory=lambda: [[], []])
    first_bad: float = 0.0

    def __post_init__(self) -> None:
        self.phases = [self.chance.random() for _ in self.came]
        moment = 0.0
        while moment < self.fault_at + 60:
            moment += self.chance.expovariate(self.rate)
            failed = moment >= self.fault_at and self.chance.random() < self.share
            if failed and not self.first_bad:
                self.first_bad = moment
            self.chance.choice(self.came).append((moment, failed))
        self.bad = {id(pod): [0, *accumulate(int(failed) for _, failed in pod)] for pod in self.came}

    def total(self, moment: float) -> tuple[int, int]:
        """Requests, and failed ones, up to the last scrape of each pod."""
        total = failed = 0
        for phase, requests in zip(self.phases, self.came, strict=True):
            end = (moment - phase) // 1 + phase
            count = bisect_right(requests, (end, True))
            total, failed = total + count, failed + self.bad[id(requests)][count]
        return total, failed

    def withdrawn_after(self) -> float:
        """Seconds from the first bad answer to the verdict, with passes a little more than a second apart."""
        candidate = Candidate(
            "b", 2, "h2", Stage.HOLDING, started_at=START, stage_at=START, weight=100, step_started_at=START
        )
        meter, learner = Meter(), Learner()
        moment = self.fault_at - 15 + self.chance.random()
        while moment < self.fault_at + 60:
            found = analyse(candidate, self._seen(candidate, moment, meter, learner), POLICY, at(moment))
            if found.failure is not None:
                assert found.failure.reason == "ErrorRate"
                assert moment > self.fault_at, "nothing failed yet"
                return moment - self.first_bad
            candidate = found.candidate
            moment += 1.02 + 0.06 * self.chance.random()
        return float("inf")

    def _seen(self, candidate: Candidate, moment: float, meter: Meter, learner: Learner) -> ReleaseObservation:
        slots = {slot: SlotObservation() for slot in cast(tuple[Slot, ...], ("a", "b"))}
        model = WorldModel(slots={"a": SlotModel(1), "b": SlotModel(2)})
        model.settle()
        slots = {slot: model._sight(slot) for slot in slots}
        requests, failed = self.total(moment)
        beside = 9.0 * self.rate * moment
        series = {
            Series("requests", 2, "api", "client", "10.0.0.1"): float(requests),
            Series("failed", 2, "api", "client", "10.0.0.1"): float(failed),
            Series("requests", 1, "api", "client", "10.0.0.2"): float(int(beside)),
        }
        reading = Reading(at(moment), "", series, {"10.0.0.1": Scrape(True, 0.5)})
        seconds = meter.look(reading, POLICY.enabled, 2, 1)
        look = Look(
            at(moment),
            seconds=seconds,
            evidence=learner.look(candidate, seconds, POLICY),
            ages={"api": 0.5, "dashboard": 0.5},
            idle={(part, source): 0.0 for part in COMPONENTS for source in SOURCES},
        )
        return ReleaseObservation(
            template_hash="h2", records={}, may_start=True, slots=slots, route=RouteObservation(), look=look
        )


def at(moment: float) -> datetime:
    """A moment of the play."""
    return START + timedelta(seconds=moment)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("rate", "share", "middle", "most"),
    [
        (7.0, 1.0, 2.4, 3.3),  # the demo: 10 % of 20 new visitors a second, and one who has a page open
        (2.0, 1.0, 3.3, 6.0),
        (20.0, 1.0, 2.3, 3.2),
        (10.0, 0.05, 12.0, 27.0),
        (20.0, 0.05, 7.5, 15.0),
        (100.0, 0.05, 3.0, 4.2),
    ],
)
def test_a_failing_release_is_withdrawn_within_seconds(rate: float, share: float, middle: float, most: float) -> None:
    chance = random.Random(20261128)
    taken = sorted(Metered(rate, 30.0, share, chance).withdrawn_after() for _ in range(100))
    said = f"p50 {taken[50]:.2f} s, p95 {taken[95]:.2f} s, most {taken[-1]:.2f} s"
    assert taken[50] <= middle, said
    assert taken[95] <= most, said
