"""What the prober finds, as evidence: a release at night, one that hangs, wrong answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.analysis import analyse
from tradingengine_operator.flows.checks.verdict import ROUND_SECONDS
from tradingengine_operator.flows.look import SOURCES, Look
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.state import Candidate, Placed, Stage
from tradingengine_operator.plan.routes import RouteObservation
from tradingengine_operator.runtime.release.meter import IdleWatch, Meter, probed
from tradingengine_operator.runtime.release.sampling import Learner
from tradingengine_operator.samples import Reading, Scrape, Series

from .model import ASKED, COMPONENTS, POLICY, START, SlotModel, WorldModel
from .test_analysis import candidate_of, holding, verdict_of

pytestmark = pytest.mark.unit
#: Nobody asks but the prober.
NIGHT = {"default_rate": None, "probing": True}


def switched_off(name: str) -> Policy:
    """Without a check."""
    checks = tuple(replace(check, disabled=check.name == name) for check in POLICY.checks)
    return replace(POLICY, checks=checks)


# --- at night ---


def test_a_release_at_night_without_a_client_is_judged_and_promoted_on_the_prober_alone() -> None:
    world = holding(**NIGHT)
    first = candidate_of(world)
    world.hold_on(5)
    assert candidate_of(world).step == first.step, "it is held for its whole time all the same"
    assert world.run(60).stable == Placed("b", 2)


def test_at_night_without_a_prober_nothing_is_promoted() -> None:
    world = holding(**NIGHT | {"probing": False})
    assert world.run(60).stable == Placed("a", 1)
    assert verdict_of(world).reason == "NoData"


def test_who_switches_the_probes_off_is_not_promoted_by_them() -> None:
    world, policy = holding(**NIGHT), switched_off("probes")
    assert world.run(60, policy).stable == Placed("a", 1)
    assert verdict_of(world).reason == "NoData"


def test_a_prober_that_falls_silent_at_night_is_missed() -> None:
    world = holding(**NIGHT)
    world.hold_on(5)
    world.probing = False
    world.hold_on(40)
    assert verdict_of(world).reason == "NoData"


def test_an_edge_that_is_away_makes_dry_runs_not_applicable() -> None:
    world = holding(**NIGHT)
    world.probed |= {(release, "api", "order"): "skipped" for release in (1, 2)}
    assert world.run(60).stable == Placed("b", 2)


# --- what is wrong with a release ---


@pytest.mark.parametrize(
    ("component", "what", "outcome", "reason", "within"),
    [
        ("api", "request", "late", "Probes", 2),
        ("dashboard", "request", "failed", "Probes", 2),
        ("api", "order", "late", "Probes", 4),
        ("api", "socket", "failed", "Probes", 4),
        ("api", "order", "wrong", "WrongAnswer", 2),
        ("dashboard", "request", "wrong", "WrongAnswer", 2),
    ],
)
@pytest.mark.parametrize("clients", [True, False])
def test_what_the_prober_finds_wrong_withdraws_whatever_clients_see(
    component: str, what: str, outcome: str, reason: str, within: int, clients: bool
) -> None:
    world = holding(**NIGHT | ({"default_rate": "0"} if clients else {}))
    world.hold_on(3)
    world.probed[2, component, what] = outcome
    world.hold_on(within)
    assert verdict_of(world).reason in {reason, "Probes"}
    assert component in verdict_of(world).message
    assert world.weights == {"a": FULL, "b": 0}


def test_a_wrong_verdict_in_one_row_of_the_table_is_found_in_two_rounds() -> None:
    world = holding(**NIGHT)
    steps = [world.weights["b"]]
    for second in range(60):
        world.probed[2, "api", "order"] = "wrong" if second % 14 == 3 else "ok"
        world.turn()
        steps.append(world.weights["b"])
        world.accepted = True
        if world.state().withdrawn is not None:
            break
        world.go(1)
    assert second == 17, "the same row, once more"
    assert verdict_of(world).reason == "WrongAnswer"
    assert "the api gave the prober a wrong answer to a dry-run order" in verdict_of(world).message
    assert max(steps) == 100, "no more weight after the first of them"


def test_one_wrong_answer_withdraws_nothing_and_holds_for_a_round() -> None:
    world = holding(**NIGHT)
    world.hold_on(3)
    world.probed[2, "api", "order"] = "wrong"
    world.hold_on(1)
    world.probed.clear()
    world.restart()
    world.hold_on(int(ROUND_SECONDS) - 2)
    assert candidate_of(world).step == 0
    assert world.run(60).stable == Placed("b", 2)


def test_an_answer_that_both_releases_give_wrong_is_no_fault_of_the_new_one() -> None:
    world = holding(**NIGHT)
    for second in range(120):
        word = "wrong" if second % 14 == 3 else "ok"
        world.probed |= {(release, "api", "order"): word for release in (1, 2)}
        world.turn()
        if second < 60:
            assert world.state().withdrawn is None, world.stored
        world.accepted = True
        world.go(1)
    assert verdict_of(world).reason == "BothFailing", "it is held for its budget"
    assert world.state().stable == Placed("a", 1)


# --- how soon a hang is seen, and how seldom a good release is withdrawn ---


@dataclass
class Probed:
    """A prober's counts of one release beside another, scraped each second, looked at a little more seldom."""

    chance: random.Random
    #: Probability that a probe of either release is late.
    late: float = 0.0
    #: From then on the new release answers nothing.
    hangs_at: float = float("inf")
    ends: float = 60.0
    counts: list[tuple[float, int, str, str, str]] = field(default_factory=list)
    _told: int = 0
    _series: dict[Series, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for release in (1, 2):
            for (part, what), number in ASKED.items():
                moment = self.chance.random()
                while moment < self.ends:
                    hangs = release == 2 and moment >= self.hangs_at
                    bad = hangs or self.chance.random() < self.late
                    told = moment + (1.0 if bad else 0.02)
                    self.counts.append((told, release, part, what, "late" if bad else "ok"))
                    moment += 1 / number
                for outcome in ("ok", "wrong", "late", "failed", "skipped"):
                    self._series[Series(probed(outcome), release, part, what, "10.0.0.9")] = 0.0
        self.counts.sort()

    def withdrawn_after(self) -> float:
        """Seconds from the hang to the verdict; endless without one."""
        candidate = Candidate(
            "b", 2, "h2", Stage.HOLDING, started_at=START, stage_at=START, weight=100, step_started_at=START
        )
        meter, learner, idle, phase = Meter(), Learner(), IdleWatch(), self.chance.random()
        moment = 5 + self.chance.random()
        while moment < self.ends:
            found = analyse(candidate, self._seen(candidate, moment, phase, (meter, learner, idle)), POLICY, START)
            if found.failure is not None:
                assert found.failure.reason == "Probes", found.failure
                return moment - self.hangs_at
            candidate = found.candidate
            moment += 1.02 + 0.06 * self.chance.random()
        return float("inf")

    def _seen(
        self, candidate: Candidate, moment: float, phase: float, tools: tuple[Meter, Learner, IdleWatch]
    ) -> ReleaseObservation:
        scraped = (moment - phase) // 1 + phase
        while self._told < len(self.counts) and self.counts[self._told][0] <= scraped:
            _, release, part, what, outcome = self.counts[self._told]
            self._series[Series(probed(outcome), release, part, what, "10.0.0.9")] += 1
            self._told += 1
        at = START + timedelta(seconds=moment)
        meter, learner, idle = tools
        seconds = meter.look(Reading(at, "", dict(self._series), {"10.0.0.9": Scrape(True, 0.5)}), POLICY.enabled, 2, 1)
        idle.look(seconds, moment)
        world = WorldModel(slots={"a": SlotModel(1), "b": SlotModel(2)})
        world.settle()
        look = Look(
            at,
            seconds=seconds,
            evidence=learner.look(candidate, seconds, POLICY),
            ages=dict.fromkeys(COMPONENTS, 0.5),
            idle={(part, source): 0.0 for part in COMPONENTS for source in SOURCES},
            probed=idle.probed(3.0),
        )
        slots = {"a": world._sight("a"), "b": world._sight("b")}
        return ReleaseObservation("h2", {}, may_start=True, slots=slots, route=RouteObservation(), look=look)  # type: ignore[arg-type]


def test_a_process_that_hangs_is_out_within_five_seconds_by_the_probers_time_outs_alone() -> None:
    chance = random.Random(20261128)
    taken = sorted(Probed(chance, hangs_at=12 + chance.random(), ends=24.0).withdrawn_after() for _ in range(100))
    said = f"p50 {taken[50]:.2f} s, most {taken[-1]:.2f} s"
    assert taken[0] > 1, said
    assert taken[-1] < 5, said


def test_late_answers_by_chance_withdraw_no_good_release_in_ten_minutes() -> None:
    chance = random.Random(20261128)
    found = [Probed(chance, late=0.001, ends=600.0).withdrawn_after() for _ in range(10)]
    assert found == [float("inf")] * 10


# --- no sequence promotes blindly ---


@settings(max_examples=40, deadline=None)
@given(
    outcomes=st.lists(
        st.tuples(*[st.sampled_from(["ok", "ok", "ok", "ok", "late", "failed", "wrong", "skipped"])] * len(ASKED)),
        min_size=10,
        max_size=60,
    ),
    clients=st.lists(st.sampled_from(["0", None, None]), min_size=60, max_size=60),
    ready=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_no_sequence_of_probes_gives_weight_without_fresh_good_answers(
    outcomes: list[tuple[str, ...]], clients: list[str | None], ready: list[bool]
) -> None:
    world = holding(probing=True)
    asked, answered = 0, dict.fromkeys(COMPONENTS, 0)
    for look, (told, client, there) in enumerate(zip(outcomes, clients, ready, strict=False), start=1):
        world.probed |= {(2, *kind): word for kind, word in zip(ASKED, told, strict=True)}
        world.default_rate, world.prober = client, "ready" if there else "starting"
        asked = look if client is not None else asked
        words = dict(zip(ASKED, told, strict=True))
        for part in COMPONENTS:
            if there and words[part, "request"] in {"ok"}:
                answered[part] = look
        before = world.weights["b"]
        state = world.turn().state
        if world.weights["b"] > before or state.stable == Placed("b", 2):
            assert not there or "wrong" not in told
            assert not there or words["api", "request"] != "late"
            assert look - asked < 3 or look - min(answered.values()) < 3, "clients, or the prober, were just answered"
            return
        if state.candidate is None:
            assert world.weights == {"a": FULL, "b": 0}
            return
        world.accepted = True
        world.go(1)
