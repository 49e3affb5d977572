"""What journal entries make of orders and positions."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.clock import rfc3339
from tradingengine.domain.ids import new_id
from tradingengine.domain.orders import EVENT_TYPES, Delivery, Order, OrderState, Side, Source
from tradingengine.domain.positions import key_of
from tradingengine.domain.risk import market_day
from tradingengine.storage.events import EdgeEvent
from tradingengine.storage.outbox import wire_order
from tradingengine.storage.projection import Projection, never_arrived, not_delivered_alert, spoken_of
from tradingengine.storage.records import StoredOrder

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
JOURNAL = str(uuid4())


def an_order(**changes: Any) -> Order:
    """Ten shares at 2500.00, placed by a person."""
    fields: dict[str, Any] = {
        "id": new_id(), "symbol": "NSE:RELIANCE", "side": Side.BUY, "quantity": 10, "price_paise": 250_000,
        "placed_by": "asha", "created_at": NOW, "updated_at": NOW, "expires_at": NOW + timedelta(seconds=30),
    }  # fmt: skip
    return Order(**{**fields, **changes})


class Tape:
    """Makes entries with rising sequences."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(self, kind: str, ref: str | None, data: dict[str, Any] | None = None, **more: Any) -> EdgeEvent:
        self.seq += 1
        fields = {"at": NOW + timedelta(milliseconds=self.seq), "market_time": NOW, "run": "r1", **more}
        return EdgeEvent(journal=JOURNAL, seq=self.seq, type=kind, id=ref, data=data or {}, **fields)

    def intent(self, order: Order, **more: Any) -> EdgeEvent:
        """The whole order."""
        data = {**wire_order(order), "source": "strategy", "strategy": "ema-cross", "created_at": rfc3339(NOW), **more}
        return self("order.intent", order.id, data)

    def fill(self, order: Order, quantity: int, cumulative: int, price: int = 250_000, **more: Any) -> EdgeEvent:
        """A fill."""
        data = {
            "fill_id": f"F{self.seq}", "quantity": quantity, "price_paise": price, "cumulative": cumulative,
            "average_paise": price,
        }  # fmt: skip
        return self("order.filled", order.id, data, **more)


def cloud(order: Order, **changes: Any) -> StoredOrder:
    """An order as the cloud stored it."""
    return StoredOrder(**{"order": order, "delivery": Delivery.PENDING, **changes})


def test_an_order_born_at_the_edge_is_made_from_its_intent() -> None:
    tape, order, projection = Tape(), an_order(), Projection({}, {})
    projection.apply(tape.intent(order, expires_at=rfc3339(NOW), release="7"))
    made = projection.changed_orders[order.id]
    assert (made.order.source, made.order.strategy, made.order.release) == (Source.STRATEGY, "ema-cross", "7")
    assert (made.order.state, made.delivery, made.run) == (OrderState.INTENT, Delivery.DELIVERED, "r1")
    assert made.order.expires_at == NOW
    assert [entry.state for entry in projection.timeline] == ["INTENT"]
    events = [tape.intent(order), tape("order.sent", new_id()), tape("mark", None), tape("command.done", "x")]
    assert spoken_of(events) == [order.id]


def test_a_persons_order_runs_through_and_is_measured() -> None:
    tape, order = Tape(), an_order()
    projection = Projection({order.id: cloud(order)}, {})
    for event in (
        tape.intent(order),
        tape("order.sent", order.id),
        tape("order.acknowledged", order.id, {"broker_order_id": "P1"}),
        tape.fill(order, 4, 4),
        tape.fill(order, 6, 10, price=250_100),
    ):
        projection.apply(event)
    kept = projection.orders[order.id]
    assert (kept.order.state, kept.order.filled_quantity, kept.delivery) == (OrderState.FILLED, 10, Delivery.DELIVERED)
    assert kept.order.placed_by == "asha"
    assert kept.ack_ms == 3
    # The cloud wrote INTENT itself when it took the order.
    assert [entry.state for entry in projection.timeline] == ["SENT", "OPEN", "PARTIALLY_FILLED", "FILLED"]
    assert [(entry.quantity, entry.price_paise) for entry in projection.timeline[-2:]] == [(4, 250_000), (6, 250_100)]
    position = projection.positions[key_of(order)]
    assert (position.position.quantity, position.position.cost_paise) == (10, 4 * 250_000 + 6 * 250_100)
    assert len(projection.fills) == 2
    assert not projection.problems


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("order.cancelled", {}),
        ("order.sent", {}),
        ("order.filled", {"fill_id": "x"}),
        ("order.filled", {"fill_id": "x", "quantity": 1, "price_paise": 1, "cumulative": 99, "average_paise": 1}),
        ("order.filled", {"fill_id": "x", "quantity": "many", "price_paise": 1, "cumulative": "y", "average_paise": 1}),
    ],
)
def test_what_cannot_follow_is_noted_and_changes_nothing(kind: str, data: dict[str, Any]) -> None:
    tape, order = Tape(), an_order(state=OrderState.FILLED, filled_quantity=10)
    projection = Projection({order.id: cloud(order, delivery=Delivery.DELIVERED)}, {})
    projection.apply(tape(kind, order.id, data))
    assert projection.orders[order.id].order.state is OrderState.FILLED
    assert not projection.changed_positions
    assert not projection.fills
    if kind != "order.filled" or data.get("cumulative") != 10:
        assert len(projection.problems) == 1


def test_unknown_orders_ids_and_types_are_noted_or_passed() -> None:
    tape, projection = Tape(), Projection({}, {})
    projection.apply(tape("order.sent", new_id()))
    projection.apply(tape("order.intent", "not-an-id", wire_order(an_order())))
    projection.apply(tape("order.sent", None))
    projection.apply(tape("order.intent", new_id(), {"symbol": "X"}))
    projection.apply(tape("mark", None))
    projection.apply(tape("of.the_next_version", new_id()))
    assert len(projection.problems) == 4
    assert not projection.changed_orders


def test_a_fill_that_was_counted_is_not_counted_again() -> None:
    tape, order = Tape(), an_order()
    projection = Projection({order.id: cloud(order)}, {})
    for event in (tape.intent(order), tape("order.sent", order.id), tape.fill(order, 4, 4), tape.fill(order, 4, 4)):
        projection.apply(event)
    assert len(projection.fills) == 1
    assert projection.positions[key_of(order)].position.quantity == 4


def test_silence_is_taken_back_by_the_journals_word() -> None:
    tape, order = Tape(), an_order()
    concluded, entry = never_arrived(cloud(order, delivery=Delivery.UNKNOWN), NOW)
    assert (concluded.order.state, concluded.delivery, concluded.inferred, entry.state) == (
        OrderState.EXPIRED, Delivery.NOT_DELIVERED, True, "EXPIRED",
    )  # fmt: skip
    assert concluded.order.reason is not None
    projection = Projection({order.id: concluded}, {})
    projection.apply(tape.intent(order))
    taken = projection.orders[order.id]
    assert (taken.order.state, taken.delivery, taken.inferred, taken.order.reason) == (
        OrderState.INTENT, Delivery.DELIVERED, False, None,
    )  # fmt: skip


def test_an_order_that_was_never_sent_stays_so() -> None:
    tape, order = Tape(), an_order(state=OrderState.NOT_DELIVERED)
    projection = Projection({order.id: cloud(order, delivery=Delivery.NOT_DELIVERED)}, {})
    projection.apply(tape("order.sent", order.id))
    assert projection.orders[order.id].delivery is Delivery.NOT_DELIVERED
    assert len(projection.problems) == 1


def test_rejections_and_unknown_outcomes_alert_once_each() -> None:
    tape, refused, lost, dry = Tape(), an_order(), an_order(), an_order(dry_run=True)
    projection = Projection({item.id: cloud(item) for item in (refused, lost, dry)}, {})
    reason = {"code": "halted", "message": "Trading is halted", "mend": "Release it"}
    projection.apply(tape("order.rejected", refused.id, reason))
    projection.apply(tape("order.sent", lost.id))
    projection.apply(tape("order.unknown", lost.id, {"message": "no answer"}))
    projection.apply(tape("order.unknown", lost.id, {"message": "no answer"}))
    projection.apply(tape("order.rejected", dry.id, reason))
    assert [alert.severity for alert in projection.alerts] == ["warning", "critical"]
    assert projection.alerts[0].mend == "Release it"
    assert projection.orders[refused.id].order.reason is not None


def test_an_alert_groups_the_quantity_of_its_order_the_indian_way() -> None:
    tape, refused, lost = Tape(), an_order(quantity=100_000), an_order(side=Side.SELL, quantity=12_34_567)
    projection = Projection({item.id: cloud(item) for item in (refused, lost)}, {})
    projection.apply(tape("order.rejected", refused.id, {"code": "halted", "message": "Trading is halted"}))
    projection.apply(tape("order.sent", lost.id))
    projection.apply(tape("order.unknown", lost.id, {"message": "no answer"}))
    assert [alert.title for alert in (*projection.alerts, not_delivered_alert(refused))] == [
        "Rejected: BUY 1,00,000 NSE:RELIANCE MIS",
        "Outcome unknown: SELL 12,34,567 NSE:RELIANCE MIS",
        "Not delivered: BUY 1,00,000 NSE:RELIANCE MIS",
    ]


def test_a_new_day_or_run_puts_realised_profit_behind() -> None:
    tape, buy = Tape(), an_order()
    sells = [an_order(side=Side.SELL, quantity=5) for _ in range(2)]
    projection = Projection({item.id: cloud(item) for item in (buy, *sells)}, {})
    later = NOW + timedelta(days=1)
    for event in (
        tape("order.sent", buy.id), tape.fill(buy, 10, 10, price=100),
        tape("order.sent", sells[0].id), tape.fill(sells[0], 5, 5, price=120),
        tape("order.sent", sells[1].id), tape.fill(sells[1], 5, 5, price=130, market_time=later, run="r2"),
    ):  # fmt: skip
        projection.apply(event)
    held = projection.positions[key_of(buy)]
    assert (held.position.realised_paise, held.realised_before_paise) == (100 + 150, 100)
    assert (held.day, held.run) == (market_day(later), "r2")
    assert held.strategy is None


def test_a_position_of_several_hands_belongs_to_none() -> None:
    tape, mine, its = Tape(), an_order(), an_order(strategy="ema-cross")
    projection = Projection({item.id: cloud(item) for item in (mine, its)}, {})
    projection.apply(tape("order.sent", its.id))
    projection.apply(tape.fill(its, 10, 10))
    assert projection.positions[key_of(its)].strategy == "ema-cross"
    projection.apply(tape("order.sent", mine.id))
    projection.apply(tape.fill(mine, 10, 10))
    assert projection.positions[key_of(its)].strategy is None


def test_candles_keep_the_last_word_of_a_minute() -> None:
    tape, projection = Tape(), Projection({}, {})
    first = {"symbol": "S", "candles": [[60, 1, 1, 1, 1, 1], [120, 2, 2, 2, 2, 2]]}
    projection.add_candles(tape("candles.closed", None, first))
    projection.add_candles(tape("candles.closed", None, {"symbol": "S", "candles": [[60, 9, 9, 9, 9, 9]]}))
    assert projection.candles == {("S", "r1", 60): (9, 9, 9, 9, 9), ("S", "r1", 120): (2, 2, 2, 2, 2)}


KINDS = sorted(EVENT_TYPES)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(1, 12), st.integers(0, 14)), max_size=25)
)
def test_no_sequence_of_entries_can_corrupt_an_order(steps: list[tuple[str, int, int, int]]) -> None:
    orders = [an_order() for _ in range(3)]
    tape, projection = Tape(), Projection({item.id: cloud(item) for item in orders[:2]}, {})
    for kind, number, quantity, cumulative in steps:
        order = orders[number]
        if kind == "order.intent":
            projection.apply(tape.intent(order))
        elif kind == "order.filled":
            projection.apply(tape.fill(order, quantity, cumulative))
        else:
            projection.apply(tape(kind, order.id, {"code": "c", "message": "m"}))
    for stored in projection.orders.values():
        order = stored.order
        assert 0 <= order.filled_quantity <= order.quantity
        if order.state is OrderState.FILLED:
            assert order.filled_quantity == order.quantity
    assert len(projection.fills) == sum(entry.quantity is not None for entry in projection.timeline)
