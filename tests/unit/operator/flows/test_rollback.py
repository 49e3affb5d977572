"""Going back to a record by hand: what is refused, what stands for the wish, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tradingengine_operator.flows.observation import Kept, ReleaseObservation, SlotObservation
from tradingengine_operator.flows.rollback import Refused, pinned, rollback
from tradingengine_operator.flows.state import Leaving, Placed, ReleaseState, Retirement
from tradingengine_operator.plan.routes import RouteObservation

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
STATE = ReleaseState(serial=4, last=5, stable=Placed("a", 5), stable_hash="h5", stable_requested="w5")
SEEN = ReleaseObservation(
    template_hash="h5",
    requested="w5",
    records={},
    may_start=True,
    slots={"a": SlotObservation(), "b": SlotObservation()},
    route=RouteObservation(),
    kept={3: Kept("h3", "w3"), 4: Kept("", ""), 5: Kept("h5", "w5")},
)


def test_the_record_stands_for_the_wish_until_that_changes() -> None:
    state = rollback(STATE, 3, SEEN, NOW, "orders look odd")
    assert isinstance(state, ReleaseState)
    assert state.pin is not None
    assert (state.pin.record, state.pin.overruled, state.pin.left) == (3, "w5", 5)
    assert 3 in state.referenced()
    same, seen = pinned(state, SEEN)
    assert same == state
    assert (seen.template_hash, seen.requested, seen.turn) == ("h3", "w3", True)
    after, seen = pinned(state, replace(SEEN, template_hash="h6", requested="w6"))
    assert after.pin is None
    assert seen.template_hash == "h6"


@pytest.mark.parametrize(
    ("to", "reason"), [(5, "AlreadyServes"), (2, "UnknownRecord"), (4, "UnreadableRecord"), (9, "UnknownRecord")]
)
def test_what_cannot_be_gone_back_to_is_refused_with_a_reason(to: int, reason: str) -> None:
    refused = rollback(STATE, to, SEEN, NOW)
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert str(to) in refused.message


def test_before_anything_serves_there_is_nothing_to_go_back_from() -> None:
    refused = rollback(ReleaseState(), 3, SEEN, NOW)
    assert isinstance(refused, Refused)
    assert refused.reason == "NothingServes"


def test_without_a_number_it_is_the_warm_release_else_the_newest_older_one() -> None:
    older = rollback(STATE, None, SEEN, NOW)
    assert isinstance(older, ReleaseState)
    assert older.pin is not None
    assert older.pin.record == 3
    seen = replace(SEEN, kept={**SEEN.kept, 2: Kept("h2", "w2")})
    warm = replace(STATE, retiring=Retirement("b", 2, Leaving.WARM, NOW, until=NOW))
    back = rollback(warm, None, seen, NOW)
    assert isinstance(back, ReleaseState)
    assert back.pin is not None
    assert back.pin.record == 2


def test_going_back_to_what_is_asked_for_anyway_ends_an_older_rollback() -> None:
    state = rollback(STATE, 3, SEEN, NOW)
    assert isinstance(state, ReleaseState)
    served = replace(state, stable=Placed("b", 3), stable_hash="h3")
    again = rollback(served, 5, SEEN, NOW)
    assert isinstance(again, ReleaseState)
    assert again.pin is None
