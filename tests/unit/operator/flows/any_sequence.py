"""Any sequence of events on the small world of `model.py`, with what must hold after each pass whatever happened.

What is asserted is worked out from the world alone, never from what the flow thought of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tradingengine_operator.api import Slot
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.calendar import Session
from tradingengine_operator.flows.observation import Market
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.state import ReleaseState

from .model import COMPONENTS, POLICY, WorldModel

#: A weight rises, and a release is promoted, on samples younger than this alone.
FRESH = timedelta(seconds=3)
#: How long a component may be without a ready pod whose pods were taken away, and not failing.
REPLACED = timedelta(seconds=POLICY.replace_budget + 2)
HASHES = ("h1", "h2", "h3")
ACTS = ("promote", "full", "abort", "retry", "pause", "resume", "start", "rollback", "back to 1")


@dataclass(frozen=True)
class Sample:
    """What was last counted of a release: when, and whether it was good."""

    release: int
    at: datetime
    good: bool


class AnySequence(RuleBasedStateMachine):
    """Events in any order, each followed by passes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = WorldModel()
        self.policy: Policy = POLICY
        self.sample: Sample | None = None
        self.gone_since: dict[Slot, datetime] = {}

    # ------------------------------------------------------------------------------------------------- events
    @initialize(hours=st.booleans(), hold=st.booleans(), warm=st.sampled_from([0.0, 60.0, 3600.0]))
    def begin(self, hours: bool, hold: bool, warm: float) -> None:
        """Release 1 serves, and another one is asked for."""
        self.policy = replace(
            POLICY,
            outside_hours=hours,
            hold_on_open=hold,
            segments=("NSE_EQ",),
            start_budget=30.0 if hours else POLICY.start_budget,
            warm=warm,
            back_hold=10.0,
        )
        self.world.market = Market()
        self.world.run(12, self.policy)
        assert self.world.state().stable is not None
        self.world.hash = "h2"

    @rule(seconds=st.integers(1, 12), done=st.booleans())
    def time_goes_by(self, seconds: int, done: bool) -> None:
        """Passes each second; what is under way in the cluster gets done, or does not."""
        for _ in range(seconds):
            self._pass(done=done)

    @rule()
    def a_release_gets_far(self) -> None:
        """A quiet while, long enough for a step and a half."""
        for _ in range(16):
            self._pass(done=True)

    @rule(wish=st.sampled_from(HASHES))
    def somebody_wishes(self, wish: str) -> None:
        """Another specification, or the same again."""
        self.world.hash = wish
        self._pass()

    @rule(share=st.sampled_from(["0", "0.02", "0.5", None]), all_of_them=st.booleans())
    def answers_change(self, share: str | None, all_of_them: bool) -> None:
        """The newest release, or every one, answers otherwise, or is asked by nobody."""
        if all_of_them:
            self.world.default_rate = share
            self.world.rates.clear()
        else:
            self.world.rates[self._newest()] = share
        self._pass(done=True)

    @rule(share=st.sampled_from(["0", "0.9"]))
    def it_is_slow(self, share: str) -> None:
        """So many answers of the newest release take longer than the limit."""
        self.world.slow[self._newest()] = share
        self._pass(done=True)

    @rule(hangs=st.booleans(), stopped=st.booleans())
    def it_hangs(self, hangs: bool, stopped: bool) -> None:
        """Its pods stop (no scrape either) or their event loop blocks; they count nothing and stay ready."""
        newest = self._newest()
        self.world.mute[newest] = ("desk-api-b-1",) if hangs else ()
        self.world.rates[newest] = None if hangs else "0"
        self.world.ages["api"] = None if hangs and stopped else 0.4
        self._pass(done=not hangs)

    @rule(age=st.sampled_from([None, 0.4, 2.9, 3.1, 30.0]), part=st.sampled_from(COMPONENTS))
    def scrapes_get_old(self, age: float | None, part: str) -> None:
        """The metrics server has not reached a component for so long."""
        self.world.ages[part] = age
        self._pass(done=True)

    @rule(away=st.booleans())
    def the_metrics_server_goes_or_comes(self, away: bool) -> None:
        """It does not answer, or does again."""
        self.world.no_server = away
        self._pass(done=True)

    @rule(pods=st.integers(0, 2), part=st.sampled_from(COMPONENTS), newest=st.booleans())
    def pods_fail(self, pods: int, part: str, newest: bool) -> None:
        """So many pods of a component are ready, the others fail."""
        slot = self._slot(newest=newest)
        if slot in self.world.slots:
            self.world.slots[slot].be_ready(pods, part)
        self._pass()

    @rule(newest=st.booleans())
    def a_node_is_drained(self, newest: bool) -> None:
        """All pods of a slot are taken away, and start anew."""
        model = self.world.slots.get(self._slot(newest=newest))
        for entry in model.components.values() if model is not None else ():
            entry.ending, entry.ready, entry.failing, entry.starting = entry.ready, 0, 0, entry.wanted
        self._pass()

    @rule()
    def a_container_restarts(self) -> None:
        """One of the newest release's."""
        model = self.world.slots.get(self._slot(newest=True))
        if model is not None:
            model.restarts = {"uid-1": model.restarts.get("uid-1", 0) + 1}
        self._pass()

    @rule(act=st.sampled_from(ACTS))
    def somebody_commands(self, act: str) -> None:
        """A command of a person's for what is under way, else for what serves."""
        state = self.world.state()
        more: dict[str, object] = {}
        release = None
        if act == "full":
            act, more = "promote", {"full": True}
        elif act in {"rollback", "back to 1"}:
            more = {"to": 1} if act == "back to 1" else {}
            act, release = "rollback", state.stable.release if state.stable is not None else None
        self.world.say(act, release, **more, reason="a person says so")
        self._pass()
        self._pass(done=True)

    @rule(begins=st.integers(-20, 60), lasts=st.integers(5, 120))
    def a_market_has_hours(self, begins: int, lasts: int) -> None:
        """It opens, or has opened, and closes."""
        opens = self.world.wall() + timedelta(seconds=begins)
        self.world.market = Market((Session(opens, opens + timedelta(seconds=lasts), ("NSE_EQ",)),))
        self._pass(done=True)

    @rule()
    def the_operator_restarts(self) -> None:
        """Another process, which remembers nothing."""
        self.world.restart()
        self._pass(done=True)

    @rule(after=st.integers(0, 6), times=st.integers(1, 3))
    def the_operator_is_killed(self, after: int, times: int) -> None:
        """In the middle of a pass, after so many writes."""
        for _ in range(times):
            self._pass(kill=after)

    @rule(seconds=st.sampled_from([20, 70, 4000]))
    def the_operator_is_away(self, seconds: int) -> None:
        """Nobody looks for so long."""
        self.world.restart()
        self.world.go(seconds)
        self._pass()

    @rule(seconds=st.sampled_from([-3600, -5, 5, 3600]))
    def the_clock_is_set(self, seconds: int) -> None:
        """The wall clock of the operator jumps."""
        self.world.clock_set += timedelta(seconds=seconds)
        self._pass(done=True)

    @rule(fails=st.booleans())
    def migrations_fail(self, fails: bool) -> None:
        """Of the next release."""
        self.world.migrations_fail = fails
        self._pass(done=True)

    @precondition(lambda self: self.world.state().candidate is not None)
    @rule()
    def a_candidate_loses_its_record(self) -> None:
        """Somebody deletes the ConfigMap."""
        candidate = self.world.state().candidate
        if candidate is not None and candidate.release not in self._needed():
            self.world.records.pop(candidate.release, None)
        self._pass()

    def teardown(self) -> None:
        """Once nothing is wrong any more it comes to rest: one release serves, with all the weight."""
        world = self.world
        world.rates.clear()
        world.slow.clear()
        world.mute.clear()
        world.default_rate, world.no_server, world.migrations_fail = "0", False, False
        world.ages, world.market = dict.fromkeys(COMPONENTS, 0.4), Market()
        world.say("resume")
        for _ in range(150):
            self._pass(done=True)
            state = world.state()
            if state.candidate is None and state.deferred is None and self._answered(state):
                break
        state = world.state()
        assert state.stable is not None
        assert state.candidate is None, world.stored
        assert state.deferred is None, world.stored
        assert self._answered(state), world.stored
        assert world.weights[state.stable.slot] == FULL

    # ------------------------------------------------------------------------------------------------- oracle
    def _pass(self, *, done: bool = False, kill: int | None = None) -> None:
        """One pass and what must hold after it, then a second of time."""
        world = self.world
        before = world.state()
        ready = {slot: self._ready(slot) for slot in world.slots}
        self._note_gone()
        world.turn(self.policy, kill_after=kill)
        self._note_sample(before)
        after = world.state()
        self._nobody_is_lost(before, after)
        self._nothing_rises_blindly(before, after, ready)
        if kill is None:
            self._nobody_is_sent_to_nobody(after)
        if done:
            world.settle()
        world.go(1)

    def _nobody_is_lost(self, before: ReleaseState, after: ReleaseState) -> None:
        """What serves is there, from its record, and takes all that the new release does not."""
        world = self.world
        assert after.stable is not None
        assert after.stable.release in world.records
        assert world.slots[after.stable.slot].release == after.stable.release
        assert sum(world.weights.values()) == FULL
        assert all(slot in world.slots for slot, weight in world.weights.items() if weight)
        if after.stable != before.stable:
            assert before.candidate is not None
            assert after.stable.release == before.candidate.release

    def _nothing_rises_blindly(self, before: ReleaseState, after: ReleaseState, ready: dict[Slot, bool]) -> None:
        """A weight rises from one step to the next, and a release is promoted, on fresh good samples and all pods."""
        old, new = before.candidate, after.candidate
        if old is None or not old.weight:
            return
        raised = new is not None and new.release == old.release and new.weight > old.weight
        promoted = after.stable is not None and after.stable.release == old.release
        if not raised and not promoted:
            return
        if not raised and old.at_once and self.world.hash != old.template_hash and before.pin is None:
            # A person put everybody there at once; a newer wish waits a minute for that, and no weight rises.
            assert all(part.ready for part in self.world.slots[old.slot].components.values())
            return
        world, sample = self.world, self.sample
        assert sample is not None
        assert sample.release == old.release
        assert sample.good, f"{sample} of {old}"
        assert world.now - sample.at < FRESH
        assert not world.no_server
        assert all(age is not None and age < FRESH.total_seconds() for age in world.ages.values()), world.ages
        assert not world.mute.get(old.release)
        assert ready[old.slot]

    def _nobody_is_sent_to_nobody(self, after: ReleaseState) -> None:
        """A new release has weight only while every component has a ready pod, or its pods are being replaced."""
        candidate = after.candidate
        if candidate is None or not candidate.weight:
            return
        model = self.world.slots[candidate.slot]
        for part, entry in model.components.items():
            replaced = entry.starting == entry.wanted and not entry.failing
            since = self.gone_since.get(candidate.slot, self.world.now)
            gone = self.world.now - since
            assert entry.ready or (replaced and gone <= REPLACED), f"{part} of {candidate}: {entry} for {gone}"

    def _note_sample(self, before: ReleaseState) -> None:
        """What the metrics server was asked in this pass, if it was."""
        candidate, world = before.candidate, self.world
        if candidate is None or not candidate.weight or world.counted_at != world.now:
            return
        share = world.rates.get(candidate.release, world.default_rate)
        if share is not None:
            good = share == "0" and world.slow.get(candidate.release, "0") == "0"
            self.sample = Sample(candidate.release, world.now, good)

    def _note_gone(self) -> None:
        for slot, model in self.world.slots.items():
            if all(entry.ready for entry in model.components.values()):
                self.gone_since.pop(slot, None)
            else:
                self.gone_since.setdefault(slot, self.world.now)

    def _ready(self, slot: Slot) -> bool:
        return all(entry.ready >= entry.wanted for entry in self.world.slots[slot].components.values())

    def _newest(self) -> int:
        state = self.world.state()
        placed = state.candidate or state.stable
        return placed.release if placed is not None else 1

    def _slot(self, *, newest: bool) -> Slot:
        state = self.world.state()
        placed = (state.candidate if newest else None) or state.stable
        return placed.slot if placed is not None else "a"

    def _needed(self) -> set[int]:
        """Records without which something that serves or is warm could not be applied."""
        state = self.world.state()
        return {entry.release for entry in (state.stable, state.retiring) if entry is not None}

    def _answered(self, state: ReleaseState) -> bool:
        """What is wished for serves, or a record stands in for it, or it was withdrawn with a reason."""
        assert state.stable is not None
        made = self.world.records[state.stable.release]
        return (
            made == self.world.hash
            or state.pin is not None
            or (state.withdrawn is not None and bool(state.withdrawn.reason))
        )
