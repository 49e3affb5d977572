"""The order state machine: the shared table of cases, and properties that hold for any sequence of events."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.calendar import contract_folder
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import new_id
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.orders import (
    EVENT_TYPES,
    OPEN_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    IllegalTransitionError,
    Order,
    OrderEvent,
    OrderRequest,
    OrderState,
    Side,
    apply_event,
)
from tradingengine.domain.reasons import REASONS, ReasonCode
from tradingengine.domain.validation import check_order

pytestmark = pytest.mark.unit

AT = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
CASES: dict[str, Any] = json.loads(Path(contract_folder() / "cases.json").read_text())


def order(**changes: Any) -> Order:
    values: dict[str, Any] = {
        "id": new_id(),
        "symbol": "NSE:RELIANCE",
        "side": Side.BUY,
        "quantity": 10,
        "price_paise": 120000,
        "created_at": AT,
        "updated_at": AT,
    }
    return Order(**{**values, **changes})


def test_the_contract_lists_exactly_the_transitions_of_the_code() -> None:
    listed = {
        (OrderState(state), OrderEvent(event)): OrderState(target)
        for state, row in CASES["transitions"].items()
        for event, target in row.items()
    }
    assert listed == dict(TRANSITIONS)
    assert set(CASES["transitions"]) == set(map(str, OrderState))


@pytest.mark.parametrize("case", CASES["lifecycles"], ids=lambda case: case["name"])
def test_an_order_ends_as_the_contract_says(case: dict[str, Any]) -> None:
    current = order(quantity=case["quantity"])
    refused = False
    for event_type, data in case["events"]:
        try:
            current = apply_event(current, event_type, data, AT)
        except IllegalTransitionError:
            refused = True
    reason = None if current.reason is None else current.reason.code
    assert (str(current.state), current.filled_quantity, current.average_paise, reason, refused) == (
        case["state"],
        case["filled_quantity"],
        case["average_paise"],
        case["reason"],
        case["illegal"],
    )


@pytest.mark.parametrize("case", CASES["requests"], ids=lambda case: case["name"])
def test_an_order_is_refused_for_the_field_that_the_contract_names(case: dict[str, Any]) -> None:
    instruments = {name: msgspec.convert(document, Instrument) for name, document in CASES["instruments"].items()}
    request = msgspec.convert(case["order"], OrderRequest)
    found = check_order(request, instruments.get(case["instrument"]))
    assert (found and found.field, found and str(found.code)) == (case["field"], case["code"])
    if found is not None:
        assert found.message
        assert found.mend
        assert found.reason().code == case["code"]


def test_every_state_is_open_or_terminal_and_reachable() -> None:
    assert set(OrderState) == TERMINAL_STATES | OPEN_STATES
    assert not TERMINAL_STATES & OPEN_STATES
    reached = {OrderState.INTENT}
    while True:
        more = {target for (state, _), target in TRANSITIONS.items() if state in reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(OrderState)


def test_every_open_state_can_end_and_an_ended_order_only_takes_late_news() -> None:
    late = {OrderEvent.ACKNOWLEDGED, OrderEvent.CANCEL_REQUESTED, OrderEvent.FILL, OrderEvent.PARTIAL_FILL}
    for state in OPEN_STATES:
        assert any(target in TERMINAL_STATES for (source, _), target in TRANSITIONS.items() if source is state)
    for state, event in TRANSITIONS:
        if state in TERMINAL_STATES:
            assert event in late


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Any order of any events, fills with rising fill ids and honest sums."""
    events: list[tuple[str, dict[str, Any]]] = []
    cumulative = value = 0
    for number, kind in enumerate(draw(st.lists(st.sampled_from(sorted(EVENT_TYPES)), max_size=12))):
        data: dict[str, Any] = {}
        if kind == "order.filled":
            if cumulative == 10:
                continue
            quantity = draw(st.integers(1, 10 - cumulative))
            cumulative, value = cumulative + quantity, value + quantity * 100
            data = {
                "fill_id": str(number),
                "quantity": quantity,
                "price_paise": 100,
                "cumulative": cumulative,
                "average_paise": value // cumulative,
            }
        events.append((kind, data))
    return events


@given(histories())
def test_no_sequence_of_events_unfills_an_order_or_revives_an_ended_one(
    history: list[tuple[str, dict[str, Any]]],
) -> None:
    current = order()
    for kind, data in history:
        before = current
        try:
            current = apply_event(current, kind, data, AT)
        except DomainError:
            assert (before.state, EVENT_TYPES[kind]) not in TRANSITIONS or kind == "order.filled"
            continue
        assert before.filled_quantity <= current.filled_quantity <= current.quantity
        if before.state.terminal and kind != "order.filled":
            assert current.state is before.state
        if current.state is OrderState.FILLED:
            assert current.remaining == 0


def test_more_than_the_order_cannot_be_filled() -> None:
    sent = apply_event(order(), "order.sent", {}, AT)
    data = {"fill_id": "1", "quantity": 11, "price_paise": 1, "cumulative": 11, "average_paise": 1}
    with pytest.raises(DomainError, match="filled 11 of 10"):
        apply_event(sent, "order.filled", data, AT)


def test_an_unknown_event_type_is_refused() -> None:
    with pytest.raises(DomainError, match="not an order event"):
        apply_event(order(), "candles.closed", {}, AT)


def test_an_order_survives_its_own_json() -> None:
    original = order(expires_at=AT, dry_run=True, strategy="ema-cross")
    assert msgspec.convert(msgspec.to_builtins(original), Order) == original


def test_every_reason_has_a_sentence() -> None:
    assert set(REASONS) == set(ReasonCode)
    assert all(message for message, _ in REASONS.values())
