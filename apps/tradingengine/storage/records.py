"""Orders and positions as rows of Postgres."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec

from tradingengine.domain.orders import Delivery, Order, OrderState, OrderType, Product, Purpose, Side, Source, Validity
from tradingengine.domain.positions import Position, PositionKey
from tradingengine.domain.reasons import Reason


class StoredOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order and what the cloud alone knows of it.

    `inferred` says that the state was concluded from the journal's silence; `ack_ms` is creation to acknowledgement.
    """

    order: Order
    delivery: Delivery
    inferred: bool = False
    run: str = ""
    ack_ms: int | None = None


class StoredPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position with its accounting day: what was realised before the market day `day` of `run` is not of today."""

    position: Position
    day: date
    run: str = ""
    realised_before_paise: int = 0
    strategy: str | None = None
    updated_at: datetime


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an order; quantity and price (paise) are those of a fill."""

    order_id: str
    state: str
    event: str
    at: datetime
    market_time: datetime | None = None
    quantity: int | None = None
    price_paise: int | None = None
    journal: str | None = None
    seq: int | None = None


ORDER_TYPES: Final = {
    "id": "uuid", "account": "text", "broker": "text", "symbol": "text", "side": "text", "type": "text",
    "product": "text", "validity": "text", "quantity": "bigint", "price_paise": "bigint",
    "trigger_price_paise": "bigint", "disclosed_quantity": "bigint", "amo": "boolean", "purpose": "text",
    "parent_id": "uuid", "group_id": "uuid", "slice": "integer", "dry_run": "boolean", "state": "text",
    "delivery": "text", "inferred": "boolean", "filled_quantity": "bigint", "average_paise": "bigint",
    "broker_order_id": "text", "cancel_requested": "boolean", "reason_code": "text", "reason_message": "text",
    "reason_mend": "text", "source": "text", "strategy": "text", "placed_by": "text", "origin_release": "text",
    "origin_slot": "text", "expires_at": "timestamptz", "created_at": "timestamptz", "updated_at": "timestamptz",
    "market_time": "timestamptz", "run": "text", "ack_ms": "integer",
}  # fmt: skip
"""Column -> type, in the order of `order_values`."""
ORDER_COLUMNS: Final = tuple(ORDER_TYPES)


def order_values(stored: StoredOrder) -> tuple[Any, ...]:
    """The row of an order, in the order of ORDER_COLUMNS."""
    order = stored.order
    reason = order.reason
    return (
        order.id, order.account, order.broker, order.symbol, order.side, order.type, order.product, order.validity,
        order.quantity, order.price_paise, order.trigger_price_paise, order.disclosed_quantity, order.amo,
        order.purpose, order.parent_id, order.group_id, order.slice, order.dry_run, order.state, stored.delivery,
        stored.inferred, order.filled_quantity, order.average_paise, order.broker_order_id, order.cancel_requested,
        reason.code if reason else None, reason.message if reason else None, reason.mend if reason else None,
        order.source, order.strategy, order.placed_by, order.release, order.slot, order.expires_at, order.created_at,
        order.updated_at, order.market_time, stored.run, stored.ack_ms,
    )  # fmt: skip


def order_of_row(row: Mapping[str, Any]) -> StoredOrder:
    """The order of a row with ORDER_COLUMNS."""
    code = row["reason_code"]
    order = Order(
        id=row["id"],
        account=row["account"],
        broker=row["broker"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        type=OrderType(row["type"]),
        product=Product(row["product"]),
        validity=Validity(row["validity"]),
        quantity=row["quantity"],
        price_paise=row["price_paise"],
        trigger_price_paise=row["trigger_price_paise"],
        disclosed_quantity=row["disclosed_quantity"],
        amo=row["amo"],
        purpose=Purpose(row["purpose"]),
        parent_id=row["parent_id"],
        group_id=row["group_id"],
        slice=row["slice"],
        dry_run=row["dry_run"],
        state=OrderState(row["state"]),
        filled_quantity=row["filled_quantity"],
        average_paise=row["average_paise"],
        broker_order_id=row["broker_order_id"],
        cancel_requested=row["cancel_requested"],
        reason=Reason(code, row["reason_message"] or "", row["reason_mend"] or "") if code else None,
        source=Source(row["source"]),
        strategy=row["strategy"],
        placed_by=row["placed_by"],
        release=row["origin_release"],
        slot=row["origin_slot"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        market_time=row["market_time"],
    )
    return StoredOrder(
        order=order, delivery=Delivery(row["delivery"]), inferred=row["inferred"], run=row["run"], ack_ms=row["ack_ms"]
    )


POSITION_COLUMNS: Final = (
    "account", "broker", "symbol", "product", "quantity", "cost_paise", "realised_paise", "bought", "sold", "day",
    "run", "realised_before_paise", "strategy", "updated_at",
)  # fmt: skip


def position_values(stored: StoredPosition) -> tuple[Any, ...]:
    """The row of a position, in the order of POSITION_COLUMNS."""
    position, key = stored.position, stored.position.key
    return (
        key.account, key.broker, key.symbol, key.product, position.quantity, position.cost_paise,
        position.realised_paise, position.bought, position.sold, stored.day, stored.run, stored.realised_before_paise,
        stored.strategy, stored.updated_at,
    )  # fmt: skip


def position_of_row(row: Mapping[str, Any]) -> StoredPosition:
    """The position of a row with POSITION_COLUMNS."""
    key = PositionKey(row["account"], row["broker"], row["symbol"], Product(row["product"]))
    position = Position(
        key=key,
        quantity=row["quantity"],
        cost_paise=row["cost_paise"],
        realised_paise=row["realised_paise"],
        bought=row["bought"],
        sold=row["sold"],
    )
    return StoredPosition(
        position=position,
        day=row["day"],
        run=row["run"],
        realised_before_paise=row["realised_before_paise"],
        strategy=row["strategy"],
        updated_at=row["updated_at"],
    )
