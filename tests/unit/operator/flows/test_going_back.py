"""A rollback from its command to its end, killed anywhere; and what the schema allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.actions import Migrate
from tradingengine_operator.flows.look import Second, kind_of
from tradingengine_operator.flows.rollback import Refused, rollback
from tradingengine_operator.flows.state import Contracting, Leaving, Placed, ReleaseState, Schema, Stage, dump_state
from tradingengine_operator.runtime.release.meter import REQUESTS as ALL
from tradingengine_operator.samples import Trials

from .model import COMPONENTS, POLICY, WorldModel

pytestmark = pytest.mark.unit
#: What the prober brings of both slots.
PROBED = [kind_of(name, part, "probe") for part in COMPONENTS for name in (ALL, "error-rate", "latency-p95")]
#: Warm for an hour, and what is taken back is judged for ten seconds.
WARM = replace(POLICY, warm=3600.0, back_hold=10.0)


def promoted(policy: object = WARM) -> WorldModel:
    """Release 2 serves in slot b; release 1 is warm in slot a."""
    world = WorldModel()
    world.run(20, WARM)
    world.hash = "h2"
    state = world.run(60, WARM)
    assert state.stable == Placed("b", 2)
    assert state.retiring is not None
    assert state.retiring.stage is Leaving.WARM
    return world


def cooled() -> WorldModel:
    """The same after the warm time: slot a is empty."""
    world = promoted()
    world.go(4000)
    state = world.run(10, WARM)
    assert state.retiring is None
    assert "a" not in world.slots
    return world


def test_a_warm_release_takes_everybody_back_at_once_without_a_new_pod() -> None:
    world = promoted()
    pods = world.slots["a"]
    routes = len(world.history)
    world.go_back()
    world.hold_on(1, WARM)
    assert not world.slots["a"].withdrawn, "the pods answer visitors again before they get any"
    assert world.weights == {"a": 0, "b": FULL}
    world.hold_on(2, WARM)
    assert world.weights == {"a": FULL, "b": 0}
    assert world.live == {("a", 1)}, "nobody stays with the release that is left"
    assert world.slots["a"] is pods
    assert len(world.history) == routes + 1, "all the weight in one step"
    assert world.state().stable == Placed("b", 2), "it is judged before the other one is left"
    state = world.run(40, WARM)
    assert state.stable == Placed("a", 1)
    assert state.retiring is not None
    assert state.retiring.release == 2
    assert state.pin is not None
    assert set(world.records) == {1, 2}, "no new record"


def test_a_warm_release_that_fails_when_it_is_taken_back_loses_its_weight_again() -> None:
    world = promoted()
    world.rates[1] = "0.5"
    world.go_back()
    state = world.run(15, WARM)
    assert state.stable == Placed("b", 2)
    assert world.weights == {"a": 0, "b": FULL}
    assert world.live == {("b", 2)}
    assert state.withdrawn is not None
    assert (state.withdrawn.release, state.withdrawn.reason) == (1, "ErrorRate")
    state = world.run(30, WARM)
    assert state.candidate is None, "it is not tried again by itself"


@pytest.mark.parametrize("quiet", ["nobody asks", "only the prober asks", "no metrics server", "both fail"])
def test_a_rollback_in_a_quiet_hour_brings_nobody_back_to_the_release_that_was_left(quiet: str) -> None:
    for dead in (True, False):
        world = promoted()
        if dead:  # that is why a person goes back
            world.slots["b"].be_ready(0)
        world.default_rate = "0.3" if quiet == "both fail" else None
        world.no_server = quiet == "no metrics server"
        world.go_back()
        for second in range(400):
            if quiet == "only the prober asks":
                world.besides = {kind: Second(Trials(5), Trials(5)) for kind in PROBED}
            if quiet == "both fail":
                world.rates |= {2: "0.3" if second % 2 else "0.35"}
            world.turn(WARM)
            world.accepted = True
            world.go(1)
            assert world.state().withdrawn is None
            assert second < 5 or world.weights == {"a": FULL, "b": 0}
        world.no_server, world.default_rate = False, "0"
        world.rates.clear()
        assert world.run(60, WARM).stable == Placed("a", 1), "it is promoted when there is evidence"


@pytest.mark.parametrize(("seconds", "quiet"), [(1, False), (3, False), (8, False), (3, True), (90, True)])
def test_a_new_wish_in_the_minute_after_a_rollback_puts_nobody_back_on_what_was_left(seconds: int, quiet: bool) -> None:
    world = promoted()
    world.rates |= {1: None, 2: None} if quiet else {}
    world.go_back()
    world.hold_on(seconds, WARM)
    world.hash = "h3"  # the mend is pushed while the rollback is judged
    back = False
    for _ in range(60):
        world.turn(WARM)
        back = back or world.weights == {"a": FULL, "b": 0}
        left = world.slots.get("b")
        assert not (back and left is not None and left.release == 2 and world.weights["b"]), world.weights
        world.settle()
        world.go(1)
    assert back
    assert world.state().stable == Placed("b", 3)


def test_who_asks_for_the_release_that_was_left_while_a_rollback_is_judged_gets_it_again_at_once() -> None:
    world = promoted()
    world.go_back()
    world.hold_on(4, WARM)
    assert world.weights == {"a": FULL, "b": 0}
    world.go_back(2)
    world.hold_on(2, WARM)
    assert world.weights == {"a": 0, "b": FULL}


def test_a_rollback_whose_record_is_lost_while_it_is_judged_puts_nobody_back_on_what_was_left() -> None:
    world = promoted()
    world.go_back()
    world.hold_on(4, WARM)
    routes = len(world.history)
    del world.records[1]
    state = world.run(30, WARM)
    assert state.stable == Placed("a", 1)
    assert len(world.history) == routes


def test_a_warm_release_stays_warm_when_its_pods_are_not_ready_and_a_wish_comes_that_cannot_start() -> None:
    world = promoted()
    world.go_back()
    world.slots["a"].be_ready(1)
    world.hold_on(1, WARM)
    assert world.state().candidate is not None
    world.hash, world.may_start = "h3", False
    world.hold_on(3, WARM)
    state = world.state()
    assert state.candidate is None
    assert state.retiring is not None
    assert (state.retiring.release, state.retiring.stage) == (1, Leaving.WARM)
    world.hash = "h1"
    assert world.run(40, WARM).stable == Placed("a", 1)


def test_a_specification_that_asks_for_the_warm_release_again_takes_it_back_at_once_too() -> None:
    world = promoted()
    world.hash = "h1"
    state = world.run(40, WARM)
    assert state.stable == Placed("a", 1)
    assert state.pin is None
    assert set(world.records) == {1, 2}


def test_a_record_whose_slot_is_gone_is_released_by_a_run_of_its_own_that_is_judged() -> None:
    world = cooled()
    world.go_back(1)
    world.until(Stage.HOLDING, policy=WARM)
    assert world.weights == {"a": 100, "b": 900}
    state = world.run(80, WARM)
    assert state.stable == Placed("a", 1)
    assert world.records == {1: "h1", 2: "h2"}


def test_a_bad_record_is_withdrawn_like_any_release_and_stays_so_until_the_wish_changes() -> None:
    world = cooled()
    world.rates[1] = "0.5"
    world.go_back(1)
    state = world.run(60, WARM)
    assert state.stable == Placed("b", 2)
    assert state.withdrawn is not None
    assert state.withdrawn.release == 1
    world.hash = "h3"
    state = world.run(80, WARM)
    assert state.stable == Placed("a", 3)
    assert (state.pin, state.withdrawn) == (None, None)


def test_a_rollback_holds_until_the_wish_changes_also_when_the_operator_renders_anew() -> None:
    world = promoted()
    world.go_back()
    world.run(40, WARM)
    world.wish, world.hash = "wish h2", "h2 rendered by another operator"
    assert world.run(40, WARM).stable == Placed("a", 1)
    world.wish, world.hash = None, "h3"
    state = world.run(80, WARM)
    assert state.stable == Placed("b", 3)
    assert "RollbackEnded" in [entry.reason for entry in world.news]


def test_a_rollback_out_of_a_release_whose_image_is_gone_waits_for_no_prober_of_that_image() -> None:
    world = cooled()
    world.prober_starts = False
    for part in world.slots["b"].components.values():
        part.ready, part.failing = 0, part.wanted
    world.go_back(1)
    for _ in range(120):
        world.turn(WARM)
        world.settle_jobs()
        world.accepted = True
        if "a" in world.slots:
            world.slots["a"].be_ready(100)
        world.go(1)
    state = world.state()
    assert state.withdrawn is None, state.withdrawn
    assert world.probed_by == 1, "the program that starts asks in its place"
    assert [entry.reason for entry in world.news].count("ProberMissing") == 1
    assert world.weights["a"] > 0


def test_a_release_under_way_gives_way_to_a_rollback_with_its_weight_first() -> None:
    world = cooled()
    world.hash = "h3"
    world.until(Stage.HOLDING, policy=WARM)
    world.go_back(1)
    world.turn(WARM)
    assert world.weights == {"a": 0, "b": FULL}
    assert world.run(120, WARM).stable == Placed("a", 1)


@pytest.mark.parametrize("kill", [None, 0, 1])
def test_a_record_whose_migration_failed_once_is_migrated_again_when_a_person_goes_back_to_it(kill: int | None) -> None:
    world = WorldModel()
    world.run(20, WARM)
    world.migrations_fail, world.hash = True, "h2"
    assert world.run(20, WARM).withdrawn is not None
    world.migrations_fail, world.hash = False, "h3"
    assert world.run(80, WARM).stable == Placed("b", 3)
    world.go(4000)
    world.run(10, WARM)
    assert world.jobs[2] == "failed"
    world.go_back(2)
    for _ in range(3):
        world.turn(WARM, kill_after=kill)
        world.go(1)
    state = world.run(60, WARM)
    assert state.stable == Placed("a", 2), state.withdrawn


def test_what_the_specification_asked_for_is_gone_back_to_by_its_own_number() -> None:
    world = promoted()
    world.go_back()
    world.run(40, WARM)
    world.go_back(2)
    state = world.run(40, WARM)
    assert state.stable == Placed("b", 2)
    assert state.pin is None


@settings(deadline=None, max_examples=40)
@given(kills=st.lists(st.integers(0, 6), max_size=12), warm=st.booleans())
def test_a_kill_anywhere_changes_nothing_in_the_outcome_of_a_rollback(kills: list[int], warm: bool) -> None:
    world = promoted() if warm else cooled()
    world.go_back(1)
    for kill in kills:
        world.turn(WARM, kill_after=kill)
        world.settle()
        world.go(1)
    state = world.run(120, WARM)
    assert state.stable == Placed("a", 1)
    assert world.weights == {"a": FULL, "b": 0}
    assert world.live == {("a", 1)}
    assert set(world.records) == {1, 2}


SCHEMAS = {"h1": Schema("0001", ""), "h2": Schema("0002", "c0002"), "h3": Schema("0002", "c0002")}


def test_an_old_form_of_the_schema_goes_only_when_no_warm_release_needs_it() -> None:
    world = WorldModel(schemas=SCHEMAS)
    world.run(20, WARM)
    world.hash = "h2"
    state = world.run(60, WARM)
    assert state.retiring is not None
    assert world.contracts == {}
    world.go(4000)
    state = world.run(10, WARM)
    assert world.contracts == {2: "done"}
    assert (state.contracted, state.contracting) == ("c0002", None)
    refused = rollback(state, 1, world.observe(WARM), world.wall())
    assert isinstance(refused, Refused)
    assert refused.reason == "SchemaContracted"


def test_a_warm_release_that_can_do_without_the_old_form_does_not_keep_it() -> None:
    world = WorldModel(schemas=SCHEMAS)
    world.hash = "h2"
    world.run(20, WARM)
    assert world.contracts == {1: "done"}, "a first release has nobody to wait for"
    world.hash = "h3"
    state = world.run(60, WARM)
    assert world.contracts == {1: "done"}
    world.go_back()
    assert world.run(40, WARM).stable == Placed("a", 1)
    assert state.contracted == "c0002"


def test_a_rollback_within_the_warm_time_keeps_the_old_form() -> None:
    world = WorldModel(schemas=SCHEMAS)
    world.run(20, WARM)
    world.hash = "h2"
    world.run(60, WARM)
    world.go_back()
    world.run(40, WARM)
    world.go(4000)
    state = world.run(20, WARM)
    assert (world.contracts, state.contracted) == ({}, "")


def test_a_contract_that_fails_is_said_and_tried_again_without_hurry() -> None:
    world = WorldModel(schemas=SCHEMAS, hash="h2", contracts_fail=True)
    world.run(30, WARM)
    assert [entry.reason for entry in world.news].count("ContractFailed") == 1
    assert world.state().contracting is not None
    world.contracts_fail = False
    world.go(600)
    state = world.run(20, WARM)
    assert state.contracting is None
    assert world.contracts == {1: "done"}


def test_a_release_waits_for_a_contract_that_runs() -> None:
    world = WorldModel(schemas=SCHEMAS, hash="h2")
    world.until(Stage.SHIFTING, policy=WARM)
    while world.state().contracting is None:
        world.turn(WARM)
        world.accepted = True
        world.go(1)
    world.hash = "h3"
    world.hold_on(5, WARM)
    assert world.state().candidate is None
    assert world.run(60, WARM).stable == Placed("b", 2)


@pytest.mark.parametrize("slowly", [False, True])
def test_an_old_form_of_the_schema_stays_until_the_last_pod_that_needs_it_has_ended(slowly: bool) -> None:
    world = WorldModel(schemas=SCHEMAS, ends_slowly=slowly)
    world.run(20, WARM)
    world.hash = "h2"
    world.run(60, WARM)
    world.go(4000)
    for _ in range(5):
        pods = world.observe(WARM).slots["a"].releases
        decision = world.turn(WARM)
        begins = [a for a in decision.actions if isinstance(a, Migrate) and a.phase == "contract"]
        assert not (begins and pods), f"the contract begins beside pods of {sorted(pods)}"
        world.settle()
        world.go(1)
    assert bool(world.contracts) is not slowly
    world.ending.clear()
    world.run(5, WARM)
    assert world.contracts == {2: "done"}


def test_a_release_that_needs_the_old_form_is_refused_once_its_contract_was_begun() -> None:
    world = WorldModel(schemas=SCHEMAS, hash="h2", contracts_fail=True)
    world.run(30, WARM)
    world.hash = "h1"  # the version before: its migrations find nothing to do, and succeed
    state = world.run(60, WARM)
    assert state.stable == Placed("a", 1)
    assert state.withdrawn is not None
    assert (state.withdrawn.release, state.withdrawn.reason) == (2, "SchemaContracted")
    assert "b" not in world.slots
    world.contracts_fail = False
    world.go(700)
    world.run(5, WARM)
    assert (world.contracts, world.state().contracting) == ({1: "done"}, None)


def test_a_contract_that_failed_is_not_tried_again_under_a_release_that_may_need_the_old_form() -> None:
    world = WorldModel(schemas={"h1": SCHEMAS["h2"], "h3": SCHEMAS["h3"]}, hash="h1", contracts_fail=True)
    world.run(30, WARM)
    assert world.state().contracted == "c0002"
    world.hash = "h2"  # its migrations left no words
    assert world.run(60, WARM).stable == Placed("b", 2)
    world.contracts_fail = False
    world.go(4000)
    for _ in range(3):
        world.run(10, WARM)
        world.go(700)
    assert world.contracts == {1: "failed"}
    assert world.decide(WARM).recheck is None, "nothing is looked for that only an event can bring"
    world.hash = "h3"
    world.run(60, WARM)
    assert world.contracts == {1: "failed"}, "release 2 is warm"
    world.go(4000)
    state = world.run(10, WARM)
    assert (world.contracts, state.contracting) == ({1: "failed", 3: "done"}, None)


def test_a_contract_that_is_tried_again_by_a_later_release_keeps_what_the_warm_one_needs() -> None:
    later = Schema("0003", "c0003")
    world = WorldModel(schemas={"h2": SCHEMAS["h2"], "h4": later}, hash="h2", contracts_fail=True)
    world.run(30, WARM)
    world.hash = "h4"
    assert world.run(60, WARM).stable == Placed("b", 2)
    world.contracts_fail = False
    world.go(700)
    world.run(10, WARM)
    assert world.contracts == {1: "failed"}, "its Job would go on to c0003, which release 1 does not know"
    world.go_back()
    assert world.run(40, WARM).stable == Placed("a", 1)


def test_a_contract_whose_record_is_lost_stops_no_release() -> None:
    world = WorldModel(schemas=SCHEMAS)
    world.run(20, WARM)
    world.hash = "h2"
    world.run(60, WARM)
    world.go(4000)
    while world.state().contracting is None:
        world.turn(WARM)
        world.go(1)
    world.contracts.clear()  # killed before the Job was made,
    del world.records[2]  # and the record is deleted meanwhile
    world.wish, world.hash = "wish h2", "h2 rendered by another operator"  # it cannot be written as it was
    world.run(10, WARM)
    assert [entry.reason for entry in world.news].count("ContractFailed") == 1
    world.wish, world.hash = None, "h3"
    assert world.run(60, WARM).stable == Placed("a", 4)
    assert world.contracts.get(4) is None
    world.go(4000)
    world.run(10, WARM)
    assert world.contracts == {4: "done"}


def test_a_rollback_at_once_waits_for_no_contract() -> None:
    world = WorldModel(schemas=SCHEMAS, hash="h2")
    world.run(20, WARM)
    world.schemas = SCHEMAS | {"h3": Schema("0003", "c0002")}
    world.hash = "h3"
    world.run(60, WARM)
    state = world.state()
    begun = Contracting(2, "c0002", world.wall())
    world.stored, world.contracts[2] = dump_state(replace(state, serial=state.serial + 1, contracting=begun)), "running"
    world.go_back()
    for _ in range(30):
        world.turn(WARM)
        world.accepted = True
        world.go(1)
    assert world.state().stable == Placed("a", 1)
    assert world.weights == {"a": FULL, "b": 0}


def test_a_failed_migration_stops_the_release_with_nothing_shifted() -> None:
    world = WorldModel()
    world.run(20, WARM)
    routes = len(world.history)
    world.migrations_fail, world.hash = True, "h2"
    state = world.run(20, WARM)
    assert state.withdrawn is not None
    assert state.withdrawn.reason == "MigrationFailed"
    assert len(world.history) == routes
    assert "b" not in world.slots


@settings(deadline=None, max_examples=60)
@given(
    events=st.lists(
        st.sampled_from(["h1", "h2", "h3", "back", "pass", "cool", "bad 1", "bad 2", "bad 3", "kill"]), max_size=14
    )
)
def test_no_sequence_of_events_contracts_what_a_release_in_use_still_needs(events: list[str]) -> None:
    world = WorldModel(schemas=SCHEMAS | {"h3": Schema("0003", "c0003")})
    world.run(12, WARM)
    for event in events:
        if event.startswith("h"):
            world.hash = event
        elif event.startswith("bad"):
            world.rates[int(event[-1])] = "0.6"
        elif event == "back":
            found = rollback(world.state(), None, world.observe(WARM), world.wall())
            if isinstance(found, ReleaseState):
                world.go_back()
        elif event == "cool":
            world.go(3700)
        for number in range(14):
            decision = world.turn(WARM, kill_after=2 if event == "kill" and number < 3 else None)
            world.settle()
            world.go(1)
            state = world.state()
            starts = [a for a in decision.actions if isinstance(a, Migrate) and a.phase == "contract"]
            for release in state.referenced() if starts else ():
                schema = world.schemas[world.records[release]]
                assert schema.contract >= state.contracted, f"release {release} needs what is taken away"
            assert state.stable is not None
            assert sum(world.weights.values()) == FULL
