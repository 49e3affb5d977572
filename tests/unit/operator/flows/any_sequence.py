"""Any sequence of events on the small world of `model.py`; `always.py` says what must hold after each pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.calendar import Session
from tradingengine_operator.flows.observation import Market

from .always import Always
from .model import COMPONENTS, POLICY

#: Passes after an event: one, or until a step could end in spite of it.
PASSES = st.sampled_from([1, 14])
HASHES = ("h1", "h2", "h3")
ACTS = ("promote", "full", "abort", "retry", "pause", "resume", "start", "rollback", "back to 1")


class AnySequence(Always):
    """Events in any order, each followed by passes."""

    @initialize(
        hours=st.booleans(),
        hold=st.booleans(),
        warm=st.sampled_from([0.0, 60.0, 3600.0]),
        passes=st.sampled_from([0, 5, 10, 10, 10, 16, 60]),
    )
    def begin(self, hours: bool, hold: bool, warm: float, passes: int) -> None:
        """Release 1 serves, and another one is asked for; it has come some way: ten passes lead into its first step."""
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
        for _ in range(passes):
            self._pass(done=True)

    @rule(seconds=st.integers(1, 12), done=st.sampled_from([True, True, True, False]))
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
        """Another specification, or the same again, which gets into its first step."""
        self.world.hash = wish
        for _ in range(10):
            self._pass(done=True)

    @rule(share=st.sampled_from(["0", "0.02", "0.5", None]), all_of_them=st.booleans(), passes=PASSES)
    def answers_change(self, share: str | None, all_of_them: bool, passes: int) -> None:
        """The newest release, or every one, answers otherwise, or is asked by nobody."""
        if all_of_them:
            self.world.default_rate = share
            self.world.rates.clear()
        else:
            self.world.rates[self._newest()] = share
        self._passes(passes)

    @rule(share=st.sampled_from(["0", "0.9"]), passes=PASSES)
    def it_is_slow(self, share: str, passes: int) -> None:
        """So many answers of the newest release take longer than the limit."""
        self.world.slow[self._newest()] = share
        self._passes(passes)

    @rule(hangs=st.booleans(), stopped=st.booleans(), all_of_them=st.booleans(), passes=PASSES)
    def it_hangs(self, hangs: bool, stopped: bool, all_of_them: bool, passes: int) -> None:
        """Pods stop (no scrape either) or their event loop blocks; they stay ready, and count nothing any more."""
        newest = self._newest()
        self.world.mute[newest] = ("desk-api-b-1",) if hangs else ()
        self.world.rates[newest] = None if hangs and all_of_them else "0"
        self.world.ages["api"] = None if hangs and stopped else 0.4
        self._passes(passes)

    @rule(age=st.sampled_from([None, 0.4, 2.9, 3.1, 10.0]), part=st.sampled_from(COMPONENTS), passes=PASSES)
    def scrapes_get_old(self, age: float | None, part: str, passes: int) -> None:
        """The metrics server has not reached a component for so long."""
        self.world.ages[part] = age
        self._passes(passes)

    @rule(away=st.booleans(), passes=PASSES)
    def the_metrics_server_goes_or_comes(self, away: bool, passes: int) -> None:
        """It does not answer, or does again."""
        self.world.no_server = away
        self._passes(passes)

    @rule(pods=st.integers(1, 4), passes=PASSES)
    def the_autoscaler_works(self, pods: int, passes: int) -> None:
        """The release that serves gets so many pods of each component."""
        model = self.world.slots[self._slot(newest=False)]
        for entry in model.components.values():
            entry.wanted, entry.ready, entry.failing = pods, pods, 0
        self._passes(passes)

    @rule(pods=st.integers(0, 2), part=st.sampled_from(COMPONENTS), newest=st.booleans())
    def pods_fail(self, pods: int, part: str, newest: bool) -> None:
        """So many pods of a component are ready, the others fail."""
        slot = self._slot(newest=newest)
        if slot in self.world.slots:
            self.world.slots[slot].be_ready(pods, part)
        for _ in range(3):
            self._pass()

    @rule(newest=st.booleans(), passes=st.sampled_from([1, 5, 70]))
    def a_node_is_drained(self, newest: bool, passes: int) -> None:
        """All pods of a slot are taken away, and start anew, some time or never."""
        model = self.world.slots.get(self._slot(newest=newest))
        for entry in model.components.values() if model is not None else ():
            entry.ending, entry.ready, entry.failing, entry.starting = entry.ready, 0, 0, entry.wanted
        for _ in range(passes):
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
