"""What an order looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import Body, Document, OrderId, Rupees, Symbol, Time

SideName = Literal["BUY", "SELL"]
TypeName = Literal["LIMIT", "MARKET", "SL", "SL_M"]
ProductName = Literal["CNC", "MIS", "NRML", "MTF"]
ValidityName = Literal["DAY", "IOC"]
PurposeName = Literal["ENTRY", "STOP", "TARGET", "EXIT", "HEDGE", "ADOPTED"]


class NewOrder(Body):
    """An order to place. Prices are rupees as text; what this version cannot do yet is refused with 422."""

    symbol: Symbol
    side: SideName
    quantity: int = Field(description="Units, whole lots.", examples=[10])
    type: TypeName = "LIMIT"
    price: str | None = Field(None, description="LIMIT and SL: rupees.", examples=["2500.05"], max_length=20)
    trigger_price: str | None = Field(None, description="SL and SL_M: rupees.", max_length=20)
    product: ProductName = "MIS"
    validity: ValidityName = "DAY"
    disclosed_quantity: int = 0
    amo: bool = False
    purpose: PurposeName = "ENTRY"
    parent_id: str | None = None
    group_id: str | None = None
    slice: int = Field(0, ge=0)
    stop: str | None = Field(None, description="Not supported yet.")
    target: str | None = Field(None, description="Not supported yet.")
    account: str = Field("default", max_length=64)
    broker: str | None = Field(None, description="Default: the engine's first broker.", max_length=64)
    dry_run: bool = Field(False, description="Travels the whole path and stops at the edge's gate.")


class Reason(Document):
    """Why an order was refused or ended."""

    code: str
    message: str
    mend: str


class TimelineEntry(Document):
    """One step of an order."""

    state: str
    at: Time
    ms: int = Field(description="Milliseconds since the first step.")
    quantity: int | None = None
    price: Rupees | None = None


class Order(Document):
    """One order with its timeline."""

    id: OrderId
    account: str
    broker: str
    symbol: Symbol
    side: SideName
    type: TypeName
    product: ProductName
    validity: ValidityName
    quantity: int
    filled_quantity: int
    price: Rupees | None
    trigger_price: Rupees | None
    average_price: Rupees | None
    disclosed_quantity: int
    amo: bool
    purpose: PurposeName
    parent_id: str | None
    group_id: str | None
    slice: int
    state: Literal[
        "INTENT", "SENT", "OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "REJECTED", "EXPIRED", "UNKNOWN",
        "NOT_DELIVERED", "DRY_RUN",
    ]  # fmt: skip
    delivery: Literal["pending", "delivered", "unknown", "not_delivered"]
    cancel_requested: bool
    reason: Reason | None
    source: Literal["person", "strategy"]
    strategy: str | None
    placed_by: str | None
    dry_run: bool
    expires_at: Time | None
    created_at: Time
    updated_at: Time
    market_time: Time | None
    timeline: list[TimelineEntry]


class OrderPage(Document):
    """A page of orders, newest first."""

    items: list[Order]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


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
