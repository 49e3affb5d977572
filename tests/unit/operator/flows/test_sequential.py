"""The test of shares: never wrong by looking often, quick where something is wrong, and stored as a few numbers."""

from __future__ import annotations

import random
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.flows.sequential import (
    RATIOS,
    Evidence,
    dump_evidence,
    learn,
    load_evidence,
)
from tradingengine_operator.samples import Trials

from bench.judge import Case, found_after, withdrawn_in

pytestmark = pytest.mark.unit
LIMIT = 0.01


def told(*seconds: tuple[int, int, int, int], limit: float = LIMIT) -> Evidence:
    """What is learnt of seconds of (requests, bad ones) of the new release and of the stable one."""
    evidence = Evidence()
    for all_, bad, beside, bad_beside in seconds:
        evidence = learn(evidence, Trials(all_, bad), Trials(beside, bad_beside), limit)
    return evidence


trials = st.integers(0, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(trials, trials), max_size=30), st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.5, 1.0]))
def test_any_seconds_are_learnt_and_stored_and_read_again(
    seconds: list[tuple[tuple[int, int], tuple[int, int]]], limit: float
) -> None:
    evidence = told(*[(*canary, *stable) for canary, stable in seconds], limit=limit)
    assert evidence.step == Trials(sum(c[0] for c, _ in seconds), sum(c[1] for c, _ in seconds))
    assert 0 <= evidence.canary.share <= 1
    again = load_evidence(dump_evidence(evidence))
    assert (again.step, again.seen, again.beside) == (evidence.step, evidence.seen, evidence.beside)
    assert again.worse == pytest.approx(evidence.worse, abs=0.006)
    assert again.above == pytest.approx(evidence.above, abs=0.006)
    if limit == 1.0:
        assert not evidence.proved


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(trials, trials), min_size=1, max_size=20))
def test_a_release_without_a_bad_answer_is_never_withdrawn(
    seconds: list[tuple[tuple[int, int], tuple[int, int]]],
) -> None:
    evidence = told(*[(canary[0], 0, *stable) for canary, stable in seconds])
    assert not evidence.proved
    assert not evidence.stands_above


@settings(max_examples=100, deadline=None)
@given(trials, trials, trials)
def test_a_bad_answer_of_the_stable_release_never_makes_the_new_one_look_worse(
    first: tuple[int, int], second: tuple[int, int], stable: tuple[int, int]
) -> None:
    before = told((*first, 100, 0), (*second, 100, 0))
    worse = learn(before, Trials(*second), Trials(stable[0], stable[1]), LIMIT).worse
    spared = learn(before, Trials(*second), Trials(stable[0], 0), LIMIT).worse
    assert all(one <= other for one, other in zip(worse, spared, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_quiet_seconds_may_be_put_together(requests: int, parts: list[int]) -> None:
    begun = told((20, 1, 180, 1), (20, 1, 180, 0))
    whole = learn(begun, Trials(requests * sum(parts)), Trials(0), LIMIT)
    one_by_one = begun
    for part in parts:
        one_by_one = learn(one_by_one, Trials(requests * part), Trials(0), LIMIT)
    assert one_by_one.worse == pytest.approx(whole.worse)
    assert one_by_one.above == pytest.approx(whole.above)
    assert one_by_one.canary.all == pytest.approx(whole.canary.all)
    assert one_by_one.canary.bad == pytest.approx(whole.canary.bad)


@pytest.mark.parametrize(("canary", "stable"), [(1, 9), (5, 45), (20, 20), (30, 10), (10, 0)])
@pytest.mark.parametrize(("own", "others"), [(0.001, 0.001), (0.02, 0.02), (0.3, 0.3), (0.1, 0.4), (1.0, 1.0)])
def test_the_bets_win_nothing_on_average_while_the_release_is_no_worse(
    canary: int, stable: int, own: float, others: float
) -> None:
    """What a bet multiplies its coin by is 1 at most on average: that is why looking often costs nothing."""
    share = canary / (canary + stable)
    for ratio in RATIOS:
        mean = sum(
            chance(canary, bad, own)
            * chance(stable, beside, others)
            * ratio**bad
            / (ratio * share + 1 - share) ** (bad + beside)
            for bad in range(canary + 1)
            for beside in range(stable + 1)
        )
        assert mean <= 1 + 1e-9


def chance(number: int, bad: int, share: float) -> float:
    """Chance of so many bad ones of a number."""
    return comb(number, bad) * share**bad * (1 - share) ** (number - bad)


def test_what_both_suffer_from_proves_nothing() -> None:
    chance = random.Random(3)
    for _ in range(5):
        evidence = Evidence()
        for second in range(100):
            share = 0.3 if second % 20 < 3 else 0.0  # a store that stands still every now and then
            bad = [sum(chance.random() < share for _ in range(count)) for count in (20, 180)]
            evidence = learn(evidence, Trials(20, bad[0]), Trials(180, bad[1]), 0.5)
        assert not evidence.proved


def test_a_moment_alone_withdraws_nothing_and_two_do() -> None:
    once = told((50, 50, 450, 0))
    assert once.stands_above
    assert not once.proved
    assert learn(once, Trials(50, 50), Trials(450, 0), LIMIT).proved
    passed = told((50, 50, 450, 0), *[(50, 0, 450, 0)] * 60)
    assert not passed.stands_above
    assert passed.worse[0] < once.worse[0]


def test_errors_that_are_hours_apart_prove_nothing_together() -> None:
    evidence = Evidence()
    for _ in range(50):
        evidence = learn(evidence, Trials(10, 1), Trials(90, 0), LIMIT)
        evidence = learn(evidence, Trials(2_000, 0), Trials(18_000, 0), LIMIT)
        assert not evidence.proved


def test_with_nobody_beside_it_the_limit_alone_decides() -> None:
    assert told(*[(2, 2, 0, 0)] * 3).proved
    assert not told(*[(100, 1, 0, 0)] * 100).proved, "1 % is the limit, not above it"
    assert told(*[(100, 5, 0, 0)] * 10).proved


def test_a_fault_that_begins_late_is_found_as_soon_as_one_that_begins_early() -> None:
    chance = random.Random(11)
    hour = Evidence()
    for _ in range(3600):
        bad = sum(chance.random() < 0.001 for _ in range(20))
        beside = sum(chance.random() < 0.001 for _ in range(180))
        hour = learn(hour, Trials(20, bad), Trials(180, beside), LIMIT)
    assert not hour.proved
    for _ in range(20):  # 400 requests
        hour = learn(hour, Trials(20, sum(chance.random() < 0.05 for _ in range(20))), Trials(180, 0), LIMIT)
        if hour.proved:
            return
    raise AssertionError(hour)


def test_a_step_counts_its_own_requests_and_keeps_what_was_learnt() -> None:
    evidence = told((20, 2, 180, 0))
    following = evidence.next_step()
    assert following.step == Trials()
    assert replace(following, step=evidence.step) == evidence
    assert load_evidence([1.0, 2.0]) == Evidence(), "another operator's form is nothing learnt"


def test_the_simulation_of_the_developers_page_in_small() -> None:
    """`make judge-sim` runs a thousand; these say at once when the constants are changed for the worse."""
    assert sum(withdrawn_in(Case(10), seed, 1800) for seed in range(40)) == 0
    assert sum(withdrawn_in(Case(10, 0.5), seed, 1800) for seed in range(40)) == 0
    for rate in (20, 100):
        after = [found_after(Case(rate, 0.1, 0.05), seed) for seed in range(100)]
        assert sum(requests > 300 for requests in after) <= 8, sorted(after)  # 5 of 100 in the long run
