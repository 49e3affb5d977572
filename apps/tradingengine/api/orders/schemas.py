"""What an order looks like from outside."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tradingengine.api.schemas import (
    MAX_NUMBER,
    MAX_UNITS,
    Body,
    Count,
    Cursor,
    Document,
    Lax,
    Name,
    OrderId,
    Price,
    Rupees,
    Symbol,
    Time,
    Units,
    json_integer,
)
from tradingengine.domain.orders import (
    Delivery,
    OrderState,
    OrderType,
    Product,
    Purpose,
    Side,
    Source,
    Validity,
)

MAX_SLICES = 1000


class NewOrder(Body):
    """An order to place. Prices are rupees as text; what this version cannot do yet is refused with 422."""

    symbol: Symbol
    side: Annotated[Side, Lax]
    quantity: Units = Field(description="Units, whole lots.")
    type: Annotated[OrderType, Lax] = OrderType.LIMIT
    price: Price | None = Field(None, description="LIMIT and SL: rupees.")
    trigger_price: Price | None = Field(None, description="SL and SL_M: rupees.")
    product: Annotated[Product, Lax] = Product.MIS
    validity: Annotated[Validity, Lax] = Validity.DAY
    disclosed_quantity: Annotated[int, Field(ge=0, le=MAX_UNITS), BeforeValidator(json_integer)] = Field(
        0, description="Not supported yet."
    )
    amo: bool = Field(False, description="After-market order. Not supported yet.")
    purpose: Annotated[Purpose, Lax] = Purpose.ENTRY
    parent_id: OrderId | None = Field(None, description="Not supported yet.")
    group_id: OrderId | None = Field(None, description="Not supported yet.")
    slice: Annotated[int, Field(ge=0, le=MAX_SLICES), BeforeValidator(json_integer)] = Field(
        0, description="Not supported yet."
    )
    stop: Price | None = Field(None, description="Not supported yet.")
    target: Price | None = Field(None, description="Not supported yet.")
    account: Name = "default"
    broker: Name | None = Field(None, description="Default: the engine's first broker.")
    dry_run: bool = Field(False, description="Travels the whole path and stops at the edge's gate.")


class Reason(Document):
    """Why an order was refused or ended."""

    code: str
    message: str
    mend: str


class TimelineEntry(Document):
    """One step of an order."""

    state: OrderState
    at: Time
    market_time: Time | None = Field(default=None, description="Time of the tape; null for a step before the edge.")
    ms: Count = Field(description="Milliseconds since the first step.")
    quantity: Count | None = None
    price: Rupees | None = None


class Order(Document):
    """One order with its timeline."""

    id: OrderId
    account: str
    broker: str
    symbol: Symbol
    side: Side
    type: OrderType
    product: Product
    validity: Validity
    quantity: int = Field(ge=1, le=MAX_NUMBER)
    filled_quantity: Count
    price: Rupees | None
    trigger_price: Rupees | None
    average_price: Rupees | None
    disclosed_quantity: Count
    amo: bool
    purpose: Purpose
    parent_id: str | None
    group_id: str | None
    slice: Count
    state: OrderState
    delivery: Delivery
    cancel_requested: bool
    reason: Reason | None
    source: Source
    strategy: str | None
    placed_by: str | None
    dry_run: bool
    expires_at: Time | None
    created_at: Time
    updated_at: Time
    market_time: Time | None
    timeline: list[TimelineEntry]


class Understood(Document):
    """An order as it arrived at the edge; money in paise, as it travels."""

    symbol: Symbol
    side: Side
    quantity: Count
    type: OrderType
    price_paise: Count | None
    trigger_price_paise: Count | None
    product: Product
    validity: Validity
    purpose: Purpose


class DryRun(Document):
    """What the edge's gate says of an order of the prober."""

    verdict: Annotated[
        Literal["accepted", "refused", "not_applicable"],
        Field(description="`not_applicable` while no edge is heard, or it answers no dry runs."),
    ]
    reason: Reason | None
    understood: Understood | None


class OrderPage(Document):
    """A page of orders, newest first."""

    items: list[Order]
    next_cursor: Cursor


NEW_ORDER_EXAMPLES = {
    "limit": {
        "summary": "Buy ten shares at a limit",
        "value": {"symbol": "NSE:RELIANCE", "side": "BUY", "quantity": 10, "type": "LIMIT", "price": "2500.05"},
    },
    "market": {
        "summary": "Sell at market, protected",
        "value": {"symbol": "NSE:RELIANCE", "side": "SELL", "quantity": 10, "type": "MARKET", "product": "MIS"},
    },
    "stop": {
        "summary": "A stop order with a limit",
        "value": {
            "symbol": "NSE:RELIANCE", "side": "SELL", "quantity": 10, "type": "SL", "price": "2449.00",
            "trigger_price": "2450.00",
        },
    },
}  # fmt: skip
