"""Orders and their one state machine, which cloud and edge both use.

An order changes only by events (`apply_event`), whose types and data are those of the journal
(docs/developer/interfaces.md, section 5). What may follow what is the table `TRANSITIONS`.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tradingengine.domain.errors import DomainError
from tradingengine.domain.money import Paise, show_count
from tradingengine.domain.reasons import Reason


class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """MARKET is always sent as a limit with protection; SL_M is emulated the same way after its trigger."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    SL = "SL"
    SL_M = "SL_M"

    @property
    def needs_price(self) -> bool:
        """Whether a limit price belongs to it."""
        return self in (OrderType.LIMIT, OrderType.SL)

    @property
    def needs_trigger(self) -> bool:
        """Whether a trigger price belongs to it."""
        return self in (OrderType.SL, OrderType.SL_M)


class Product(StrEnum):
    """Delivery, intraday, carried derivative, margin trading facility."""

    CNC = "CNC"
    MIS = "MIS"
    NRML = "NRML"
    MTF = "MTF"


class Validity(StrEnum):
    """For the day, or immediate or cancel."""

    DAY = "DAY"
    IOC = "IOC"


class Purpose(StrEnum):
    """Why the order exists. A halt cancels ENTRY, and whatever else is more than its position would take."""

    ENTRY = "ENTRY"
    STOP = "STOP"
    TARGET = "TARGET"
    EXIT = "EXIT"
    HEDGE = "HEDGE"
    ADOPTED = "ADOPTED"


class Source(StrEnum):
    """Who made the order."""

    PERSON = "person"
    STRATEGY = "strategy"


class Delivery(StrEnum):
    """What the cloud knows of a command's way to the edge."""

    PENDING = "pending"
    DELIVERED = "delivered"
    UNKNOWN = "unknown"
    NOT_DELIVERED = "not_delivered"


class TradingState(StrEnum):
    """What the gate lets through: everything, only what reduces, or nothing that adds risk."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class OrderState(StrEnum):
    """Where an order is. INTENT is stored and not yet sent; UNKNOWN is resolved by asking the broker by tag."""

    INTENT = "INTENT"
    SENT = "SENT"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    NOT_DELIVERED = "NOT_DELIVERED"
    DRY_RUN = "DRY_RUN"

    @property
    def terminal(self) -> bool:
        """Whether the order is over (a late fill may still correct it, see TRANSITIONS)."""
        return self in TERMINAL_STATES


class OrderEvent(StrEnum):
    """What can happen to an order. A fill is FILL when it completes the order, else PARTIAL_FILL."""

    INTENT = "INTENT"
    SENT = "SENT"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    REJECTED = "REJECTED"
    PARTIAL_FILL = "PARTIAL_FILL"
    FILL = "FILL"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    DRY_RUN = "DRY_RUN"
    NOT_DELIVERED = "NOT_DELIVERED"


TERMINAL_STATES: Final = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.EXPIRED,
        OrderState.NOT_DELIVERED,
        OrderState.DRY_RUN,
    }
)
OPEN_STATES: Final = frozenset(set(OrderState) - TERMINAL_STATES)
"""States in which the order may still change."""

EVENT_TYPES: Final[Mapping[str, OrderEvent]] = MappingProxyType(
    {
        "order.intent": OrderEvent.INTENT,
        "order.sent": OrderEvent.SENT,
        "order.acknowledged": OrderEvent.ACKNOWLEDGED,
        "order.rejected": OrderEvent.REJECTED,
        "order.filled": OrderEvent.FILL,
        "order.cancel_requested": OrderEvent.CANCEL_REQUESTED,
        "order.cancelled": OrderEvent.CANCELLED,
        "order.expired": OrderEvent.EXPIRED,
        "order.unknown": OrderEvent.UNKNOWN,
        "order.dry_run": OrderEvent.DRY_RUN,
        "order.not_delivered": OrderEvent.NOT_DELIVERED,
    }
)
"""Journal type -> event; `order.not_delivered` exists in the cloud only."""

_S, _E = OrderState, OrderEvent
_AT_BROKER = {
    _E.PARTIAL_FILL: _S.PARTIALLY_FILLED,
    _E.FILL: _S.FILLED,
    _E.CANCELLED: _S.CANCELLED,
    _E.REJECTED: _S.REJECTED,
    _E.EXPIRED: _S.EXPIRED,
}


def _ended(state: OrderState) -> dict[OrderEvent, OrderState]:
    """An ended order still takes what a broker reports late: a fill is a fact, whatever came before it."""
    return {
        _E.ACKNOWLEDGED: state,
        _E.CANCEL_REQUESTED: state,
        _E.PARTIAL_FILL: _S.PARTIALLY_FILLED if state is _S.REJECTED else state,
        _E.FILL: _S.FILLED,
    }


_ROWS: dict[OrderState, dict[OrderEvent, OrderState]] = {
    _S.INTENT: {
        _E.INTENT: _S.INTENT,
        _E.SENT: _S.SENT,
        _E.REJECTED: _S.REJECTED,
        _E.EXPIRED: _S.EXPIRED,
        _E.CANCELLED: _S.CANCELLED,
        _E.CANCEL_REQUESTED: _S.INTENT,
        _E.DRY_RUN: _S.DRY_RUN,
        _E.NOT_DELIVERED: _S.NOT_DELIVERED,
    },
    _S.SENT: {
        **_AT_BROKER,
        _E.ACKNOWLEDGED: _S.OPEN,
        _E.UNKNOWN: _S.UNKNOWN,
        _E.CANCEL_REQUESTED: _S.SENT,
    },
    _S.UNKNOWN: {
        **_AT_BROKER,
        _E.ACKNOWLEDGED: _S.OPEN,
        _E.UNKNOWN: _S.UNKNOWN,
        _E.CANCEL_REQUESTED: _S.UNKNOWN,
    },
    _S.OPEN: {**_AT_BROKER, _E.ACKNOWLEDGED: _S.OPEN, _E.CANCEL_REQUESTED: _S.OPEN},
    _S.PARTIALLY_FILLED: {
        **_AT_BROKER,
        _E.REJECTED: _S.CANCELLED,  # the rest was refused; what was filled stays filled
        _E.ACKNOWLEDGED: _S.PARTIALLY_FILLED,
        _E.CANCEL_REQUESTED: _S.PARTIALLY_FILLED,
    },
    _S.FILLED: {_E.ACKNOWLEDGED: _S.FILLED, _E.CANCEL_REQUESTED: _S.FILLED},
    _S.CANCELLED: _ended(_S.CANCELLED),
    _S.REJECTED: _ended(_S.REJECTED),
    _S.EXPIRED: _ended(_S.EXPIRED),
    _S.NOT_DELIVERED: {},
    _S.DRY_RUN: {},
}
TRANSITIONS: Final[Mapping[tuple[OrderState, OrderEvent], OrderState]] = MappingProxyType(
    {(state, event): target for state, row in _ROWS.items() for event, target in row.items()}
)
"""(state, event) -> next state; a pair that is not here is not allowed."""


class IllegalTransitionError(DomainError):
    """An event that cannot follow the order's state."""

    def __init__(self, order_id: str, state: OrderState, event: OrderEvent) -> None:
        """Names order, state and event."""
        super().__init__(f"order {order_id}: {event} cannot follow {state}")
        self.state = state
        self.event = event


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants. `quantity` is units; prices are paise, None where the type has none.

    `slice` numbers the parts of a split order, 0 for an unsplit one; `dry_run` stops at the gate.
    """

    symbol: str
    side: Side
    quantity: int
    type: OrderType = OrderType.LIMIT
    price_paise: Paise | None = None
    trigger_price_paise: Paise | None = None
    product: Product = Product.MIS
    validity: Validity = Validity.DAY
    disclosed_quantity: int = 0
    amo: bool = False
    purpose: Purpose = Purpose.ENTRY
    parent_id: str | None = None
    group_id: str | None = None
    slice: int = 0
    account: str = "default"
    broker: str = "paper"
    dry_run: bool = False


class Order(OrderRequest, frozen=True, kw_only=True):
    """One order with all that is known of it. `created_at`, `updated_at`, `expires_at` are wall time.

    `average_paise` is the mean fill price rounded to a paisa.
    """

    id: str
    state: OrderState = OrderState.INTENT
    source: Source = Source.PERSON
    strategy: str | None = None
    placed_by: str | None = None
    release: str = ""
    slot: str = ""
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None
    market_time: datetime | None = None
    filled_quantity: int = 0
    average_paise: Paise = 0
    broker_order_id: str | None = None
    cancel_requested: bool = False
    reason: Reason | None = None

    @property
    def remaining(self) -> int:
        """Units not filled yet."""
        return self.quantity - self.filled_quantity


def classify(order: Order, event_type: str, data: Mapping[str, Any]) -> OrderEvent:
    """The event of a journal entry; DomainError for a type that is not an order's."""
    event = EVENT_TYPES.get(event_type)
    if event is None:
        raise DomainError(f"{event_type!r} is not an order event")
    if event is OrderEvent.FILL and int(data["cumulative"]) < order.quantity:
        return OrderEvent.PARTIAL_FILL
    return event


def apply_event(order: Order, event_type: str, data: Mapping[str, Any], at: datetime) -> Order:
    """The order after one journal entry (`event_type`, `data` as in interfaces.md, `at` wall time).

    A fill that was already counted (its cumulative quantity is not above the known one) changes nothing.
    Raises IllegalTransitionError when the event cannot follow, DomainError when the data are impossible.
    """
    event = classify(order, event_type, data)
    is_fill = event in (OrderEvent.FILL, OrderEvent.PARTIAL_FILL)
    if is_fill and int(data["cumulative"]) <= order.filled_quantity:
        return order
    target = TRANSITIONS.get((order.state, event))
    if target is None:
        raise IllegalTransitionError(order.id, order.state, event)
    changes: dict[str, Any] = {"state": target, "updated_at": at}
    if is_fill:
        cumulative = int(data["cumulative"])
        if cumulative > order.quantity:
            raise DomainError(f"order {order.id}: filled {show_count(cumulative)} of {show_count(order.quantity)}")
        changes |= {"filled_quantity": cumulative, "average_paise": int(data["average_paise"])}
    if event is OrderEvent.CANCEL_REQUESTED:
        changes["cancel_requested"] = True
    if data.get("broker_order_id"):
        changes["broker_order_id"] = str(data["broker_order_id"])
    if target in TERMINAL_STATES and data.get("code"):
        changes["reason"] = Reason(str(data["code"]), str(data.get("message", "")), str(data.get("mend", "")))
    return msgspec.structs.replace(order, **changes)
