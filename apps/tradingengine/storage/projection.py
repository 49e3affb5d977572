"""What a run of journal entries makes of orders and positions: pure, the SQL is in `projector`.

Entries come in their sequence without a gap. One that cannot follow (a double, a late one, one that is not understood)
changes nothing and is reported as a problem.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import is_id
from tradingengine.domain.money import show_count
from tradingengine.domain.orders import (
    EVENT_TYPES,
    Delivery,
    Order,
    OrderEvent,
    OrderRequest,
    OrderState,
    Source,
    apply_event,
)
from tradingengine.domain.positions import Position, PositionKey, apply_fill, key_of
from tradingengine.domain.reasons import ReasonCode, reason
from tradingengine.domain.risk import AccountingDay, accounting_day
from tradingengine.storage.events import EdgeEvent
from tradingengine.storage.heartbeat import parse_time
from tradingengine.storage.records import StoredOrder, StoredPosition, TimelineEntry

MALFORMED: Final = (DomainError, KeyError, TypeError, ValueError, AttributeError)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should see; `key` makes it one alert however often its cause is read."""

    key: str
    severity: str
    title: str
    detail: str
    mend: str | None
    order_id: str | None
    at: datetime


_FIRST_WORDS: Final = frozenset({"order.intent", "order.rejected", "order.expired", "trading.state", "command.done"})


def spoken_of(batch: Sequence[EdgeEvent]) -> list[str]:
    """Ids of commands that the edge has taken up: the journal's first word about one is of these types.

    A halt counts from the closed gate on: its end may take as long as the broker does, and a copy that came after the
    release would halt again.
    """
    return sorted({e.id for e in batch if e.id is not None and e.type in _FIRST_WORDS and is_id(e.id)})


class Projection:
    """Accumulates what a batch changes. `orders` and `positions` hold what was loaded; `changed_*` what to write."""

    def __init__(self, orders: dict[str, StoredOrder], positions: dict[PositionKey, StoredPosition]) -> None:
        self.orders = dict(orders)
        self.positions = dict(positions)
        self.changed_orders: dict[str, StoredOrder] = {}
        self.changed_positions: dict[PositionKey, StoredPosition] = {}
        self.timeline: list[TimelineEntry] = []
        self.fills: list[tuple[Any, ...]] = []
        self.alerts: list[Alert] = []
        self.problems: list[tuple[EdgeEvent, str]] = []
        self.candles: dict[tuple[str, str, int], tuple[int, ...]] = {}

    def apply(self, event: EdgeEvent) -> None:
        """Apply one entry about an order, or note why it could not be."""
        if event.type not in EVENT_TYPES:
            return
        try:
            self._apply_order(event)
        except MALFORMED as error:
            self.problems.append((event, f"{type(error).__name__}: {error}"))

    def add_candles(self, event: EdgeEvent) -> None:
        """Take the bars of `candles.closed`; of two for one minute the later word stays."""
        symbol, rows = str(event.data["symbol"]), [tuple(int(value) for value in row) for row in event.data["candles"]]
        if any(len(row) != 6 for row in rows):
            raise DomainError("a candle has six numbers: time, open, high, low, close, volume")
        self.candles |= {(symbol, event.run, row[0]): row[1:] for row in rows}

    def _apply_order(self, event: EdgeEvent) -> None:
        if event.id is None:
            raise DomainError("an order event without an id")
        stored = self.orders.get(event.id)
        if stored is None:
            if event.type != "order.intent":
                raise DomainError(f"order {event.id} is not known")
            self._write(event, _born_at_edge(event), before=None)
            return
        stored = _delivered(stored, event)
        after = apply_event(stored.order, event.type, event.data, event.at)
        if EVENT_TYPES[event.type] is OrderEvent.FILL and after is not stored.order:
            self._add_fill(event, after)
        after = msgspec.structs.replace(after, market_time=event.market_time or after.market_time)
        ack_ms = stored.ack_ms
        if event.type == "order.acknowledged" and ack_ms is None:
            ack_ms = max(0, round((event.at - after.created_at).total_seconds() * 1000))
        changed = msgspec.structs.replace(stored, order=after, run=event.run or stored.run, ack_ms=ack_ms)
        self._write(event, changed, before=stored.order)

    def _write(self, event: EdgeEvent, stored: StoredOrder, *, before: Order | None) -> None:
        order = stored.order
        self.orders[order.id] = self.changed_orders[order.id] = stored
        is_fill = before is not None and order.filled_quantity != before.filled_quantity
        if before is None or before.state is not order.state or is_fill:
            self.timeline.append(
                TimelineEntry(
                    order_id=order.id,
                    state=str(order.state),
                    event=event.type,
                    at=event.at,
                    market_time=event.market_time,
                    quantity=int(event.data["quantity"]) if is_fill else None,
                    price_paise=int(event.data["price_paise"]) if is_fill else None,
                    journal=event.journal,
                    seq=event.seq,
                )
            )
        alert = _order_alert(event, order, before)
        if alert is not None:
            self.alerts.append(alert)

    def _add_fill(self, event: EdgeEvent, order: Order) -> None:
        data = event.data
        quantity, price = int(data["quantity"]), int(data["price_paise"])
        key = key_of(order)
        held = self.positions.get(key)
        self.positions[key] = self.changed_positions[key] = _filled(held, key, event, order, quantity, price)
        self.fills.append(
            (
                order.id, str(data["fill_id"]), quantity, price, event.at, event.market_time, event.run,
                event.journal, event.seq,
            )
        )  # fmt: skip


def _filled(
    held: StoredPosition | None, key: PositionKey, event: EdgeEvent, order: Order, quantity: int, price: int
) -> StoredPosition:
    position = held.position if held is not None else Position(key=key)
    after = apply_fill(position, order.side, quantity, price)
    known = AccountingDay(held.day, held.run, held.realised_before_paise) if held is not None else None
    begun = accounting_day(known, position.realised_paise, event.market_time or event.at, event.run)
    strategy = order.strategy
    if held is not None and position.quantity and held.strategy != order.strategy:
        strategy = None  # several hands in one position: it belongs to none of them
    return StoredPosition(
        position=after,
        day=begun.day,
        run=begun.run,
        realised_before_paise=begun.realised_before_paise,
        strategy=strategy,
        updated_at=event.at,
    )


def _delivered(stored: StoredOrder, event: EdgeEvent) -> StoredOrder:
    """The journal speaks of the order: whatever was concluded from its silence is taken back."""
    order = stored.order
    if stored.inferred:
        order = msgspec.structs.replace(order, state=OrderState.INTENT, reason=None)
    delivery = stored.delivery if stored.delivery is Delivery.NOT_DELIVERED and not stored.inferred else None
    return msgspec.structs.replace(stored, order=order, delivery=delivery or Delivery.DELIVERED, inferred=False)


def _born_at_edge(event: EdgeEvent) -> StoredOrder:
    data = {**event.data, **(event.data.get("order") or {})}
    request = msgspec.convert(data, OrderRequest)
    if event.id is None or not is_id(event.id):
        raise DomainError(f"{event.id!r} is not an order id")
    created = parse_time(str(data.get("created_at") or "")) or event.at
    expires = parse_time(str(data.get("expires_at") or ""))
    order = Order(
        **msgspec.structs.asdict(request),
        id=event.id,
        source=Source(data.get("source") or Source.STRATEGY),
        strategy=data.get("strategy"),
        placed_by=data.get("placed_by"),
        release=str(data.get("release") or ""),
        slot=str(data.get("slot") or ""),
        created_at=created,
        updated_at=event.at,
        expires_at=expires,
        market_time=event.market_time,
    )
    return StoredOrder(order=order, delivery=Delivery.DELIVERED, run=event.run)


def order_words(order: Order) -> str:
    """An order in the title of an alert: `BUY 1,00,000 NSE:RELIANCE MIS`."""
    return f"{order.side} {show_count(order.quantity)} {order.symbol} {order.product}"


def _order_alert(event: EdgeEvent, order: Order, before: Order | None) -> Alert | None:
    if before is not None and before.state is order.state:
        return None
    what = order_words(order)
    if order.state is OrderState.REJECTED and not order.dry_run:
        message = order.reason.message if order.reason else reason(ReasonCode.NONE).message
        mend = order.reason.mend if order.reason else None
        return _alert(event, order, "warning", f"Rejected: {what}", message, mend)
    if order.state is OrderState.UNKNOWN:
        return _alert(
            event, order, "critical", f"Outcome unknown: {what}", "The broker did not answer; it is being asked.",
            "No action: the order is never sent again blindly. Check the broker's own terminal if it lasts.",
        )  # fmt: skip
    return None


def _alert(event: EdgeEvent, order: Order, severity: str, title: str, detail: str, mend: str | None) -> Alert:
    return Alert(
        key=f"{event.journal}/{event.seq}",
        severity=severity,
        title=title,
        detail=detail,
        mend=mend or None,
        order_id=order.id,
        at=event.at,
    )


def not_delivered_alert(order: Order) -> Alert:
    """An order that never reached the edge, and never will."""
    why = order.reason or reason(ReasonCode.NOT_DELIVERED)
    return Alert(
        key=f"not-delivered/{order.id}",
        severity="warning",
        title=f"Not delivered: {order_words(order)}",
        detail=why.message,
        mend=why.mend or None,
        order_id=order.id,
        at=order.updated_at,
    )


READ_PAST_MARGIN: Final = timedelta(seconds=2)
"""The edge decides on expiry a moment before the entry is durable: the journal must be read this far past it."""


def never_arrived(stored: StoredOrder, at: datetime) -> tuple[StoredOrder, TimelineEntry]:
    """An order that the edge's journal does not know although it was read past its expiry: EXPIRED, concluded."""
    order = msgspec.structs.replace(
        stored.order, state=OrderState.EXPIRED, updated_at=at, reason=reason(ReasonCode.NOT_DELIVERED)
    )
    changed = msgspec.structs.replace(stored, order=order, delivery=Delivery.NOT_DELIVERED, inferred=True)
    entry = TimelineEntry(order_id=order.id, state=str(order.state), event="order.expired", at=at)
    return changed, entry
