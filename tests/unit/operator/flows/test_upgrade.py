"""A new version of the operator renders releases anew: nobody's release is replaced, forgotten or started for that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from tradingengine_operator.flows.actions import Action, EnsureSlot
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.state import Stage
from tradingengine_operator.flows.upgrade import is_upgrade

from .model import POLICY, WorldModel

pytestmark = pytest.mark.unit


@dataclass
class UpgradedModel(WorldModel):
    """A world in which what is asked for (`wish`) and what this operator renders of it (`hash`) differ."""

    wish: str = "version 1"
    turn_given: bool = True
    taken: frozenset[int] = frozenset()

    def observe(self, policy: Policy = POLICY) -> ReleaseObservation:
        """With what was asked for."""
        return replace(super().observe(policy), requested=self.wish, turn=self.turn_given, taken=self.taken)

    def act(self, action: Action) -> None:
        """A slot whose record is gone is left as it is."""
        if not isinstance(action, EnsureSlot) or action.release in self.records:
            super().act(action)

    def ask(self, wish: str, rendered: str) -> None:
        """A person asks for another version."""
        self.wish, self.hash = wish, rendered

    def upgrade(self, rendered: str) -> None:
        """Another version of the operator renders the same wish otherwise."""
        self.hash = rendered
        self.restart()


def serving() -> UpgradedModel:
    """Release 1 serves."""
    world = UpgradedModel()
    world.run(100)
    return world


def releasing(stage: Stage) -> UpgradedModel:
    """Release 2 is under way."""
    world = serving()
    world.ask("version 2", "h2")
    world.until(stage)
    return world


def test_a_release_under_way_goes_on_through_an_upgrade_of_the_operator() -> None:
    for stage in (Stage.MIGRATING, Stage.STARTING, Stage.SHIFTING, Stage.HOLDING):
        world = releasing(stage)
        world.upgrade("h2 anew")
        world.turn_given = False
        state = world.run(200)
        assert [entry.reason for entry in world.news if entry.reason == "ReleaseSuperseded"] == []
        assert state.stable is not None
        assert (state.stable.release, world.records[2]) == (2, "h2")


def test_a_release_whose_record_is_not_written_yet_is_rendered_anew() -> None:
    world = releasing(Stage.RECORDING)
    world.records.pop(2, None)
    world.upgrade("h2 anew")
    state = world.run(200)
    assert state.stable is not None
    assert (state.stable.release, world.records[2], state.last) == (2, "h2 anew", 2)


def test_a_withdrawn_version_gets_no_users_again_after_an_upgrade_of_the_operator() -> None:
    world = releasing(Stage.HOLDING)
    world.rates[2] = "1"
    world.run(100)
    verdict = world.state().withdrawn
    assert verdict is not None
    world.rates.clear()
    world.upgrade("h2 anew")
    state = world.run(300)
    assert state.withdrawn == verdict
    assert (state.candidate, state.last) == (None, 2)
    world.ask("version 1", "h1 anew")
    assert world.run(300).withdrawn is None


def test_a_new_rendering_of_what_serves_waits_for_its_turn() -> None:
    world = serving()
    world.turn_given = False
    world.upgrade("h1 anew")
    state = world.run(100)
    assert (state.candidate, state.last) == (None, 1)
    assert is_upgrade(state, world.observe())
    world.turn_given = True
    state = world.run(200)
    assert state.stable is not None
    assert (state.stable.release, world.records[2]) == (2, "h1 anew")
    assert not is_upgrade(state, world.observe())


def test_another_wish_does_not_wait_for_a_turn() -> None:
    world = serving()
    world.turn_given = False
    world.upgrade("h1 anew")
    world.run(10)
    world.ask("version 2", "h2 anew")
    state = world.run(200)
    assert state.stable is not None
    assert world.records[state.stable.release] == "h2 anew"


def test_a_withdrawn_rendering_is_tried_again_when_the_next_operator_renders_otherwise() -> None:
    """The version itself serves; it was the operator's own part that failed."""
    world = serving()
    world.upgrade("h1 broken")
    world.until(Stage.HOLDING)
    world.rates[2] = "1"
    world.run(100)
    assert world.state().withdrawn is not None
    world.rates.clear()
    assert world.run(100).last == 2
    world.upgrade("h1 mended")
    state = world.run(300)
    assert state.stable is not None
    assert (world.records[state.stable.release], state.withdrawn) == ("h1 mended", None)


def test_words_that_render_the_same_are_the_same_wish_from_then_on() -> None:
    world = serving()
    world.ask("version 1, its image written out", "h1")
    assert world.run(10).last == 1
    world.turn_given = False
    world.upgrade("h1 anew")
    assert world.run(50).last == 1, "an upgrade, since the wish is the same"


def test_a_record_that_is_lost_before_it_serves_is_written_again() -> None:
    """With a first install it was waited for, without a word and without an end."""
    for stage in (Stage.MIGRATING, Stage.STARTING):
        world = UpgradedModel()
        world.until(stage)
        del world.records[1]
        state = world.run(200)
        assert state.stable is not None
        assert (state.stable.release, world.records) == (1, {1: "h1"})


def test_a_record_that_is_lost_in_mid_run_or_of_what_serves_is_written_again() -> None:
    world = releasing(Stage.HOLDING)
    del world.records[2]
    state = world.run(200)
    assert state.stable is not None
    assert (state.stable.release, world.records[2]) == (2, "h2")
    del world.records[2]
    world.run(5)
    assert world.records[2] == "h2"


def test_a_lost_record_that_cannot_be_rendered_any_more_begins_anew() -> None:
    for stage in (Stage.MIGRATING, Stage.STARTING, Stage.HOLDING):
        world = releasing(stage)
        world.upgrade("h2 anew")
        del world.records[2]
        state = world.run(300)
        assert [entry.reason for entry in world.news].count("RecordLost") == 1
        assert state.stable is not None
        assert (state.stable.release, world.records[3]) == (3, "h2 anew")


def test_a_number_whose_name_is_taken_is_left_out() -> None:
    world = serving()
    world.taken = frozenset({2, 3})
    world.ask("version 2", "h2")
    state = world.run(200)
    assert [entry.reason for entry in world.news].count("NameTaken") == 2
    assert state.stable is not None
    assert state.stable.release == 4
