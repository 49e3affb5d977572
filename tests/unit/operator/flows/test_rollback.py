"""Going back to a record by hand: what is refused, what stands for the wish, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tradingengine_operator.flows.observation import Kept, ReleaseObservation, SlotObservation
from tradingengine_operator.flows.rollback import Refused, pinned, rollback
from tradingengine_operator.flows.state import Leaving, Placed, ReleaseState, Retirement, Schema
from tradingengine_operator.plan.routes import RouteObservation

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
STATE = ReleaseState(serial=4, last=5, stable=Placed("a", 5), stable_hash="h5", stable_requested="w5")
SEEN = ReleaseObservation(
    template_hash="h5",
    requested="w5",
    records={3: "h3", 4: "", 5: "h5"},
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
    same, seen, told = pinned(state, SEEN)
    assert (same, told) == (state, ())
    assert (seen.template_hash, seen.requested, seen.writable, seen.turn) == ("h3", "w3", "h5", True)
    after, seen, told = pinned(state, replace(SEEN, template_hash="h6", requested="w6"))
    assert after.pin is None
    assert seen.template_hash == "h6"
    assert [entry.reason for entry in told] == ["RollbackEnded"]


def test_a_record_that_is_lost_before_it_serves_ends_the_rollback_and_one_that_serves_does_not() -> None:
    state = rollback(STATE, 3, SEEN, NOW)
    assert isinstance(state, ReleaseState)
    lost = replace(SEEN, records={5: "h5"})
    after, _, told = pinned(state, lost)
    assert after.pin is None
    assert [entry.reason for entry in told] == ["RecordLost"]
    served = replace(state, stable=Placed("b", 3), stable_hash="h3")
    assert pinned(served, lost)[0] == served
    unknown = replace(lost, records_known=False)
    assert pinned(state, unknown)[0] == state


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


@pytest.mark.parametrize(
    ("schema", "allowed"), [(None, False), (Schema("0004", ""), False), (Schema("0006", "c0005"), True)]
)
def test_nobody_goes_back_across_a_contract_of_the_schema(schema: Schema | None, allowed: bool) -> None:
    state = replace(STATE, contracted="c0005")
    found = rollback(state, 3, replace(SEEN, kept={3: Kept("h3", "w3", schema)}), NOW)
    assert isinstance(found, ReleaseState) is allowed
    if isinstance(found, Refused):
        assert (found.reason, "c0005" in found.message) == ("SchemaContracted", True)


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
