"""What a position looks like from outside."""

from pydantic import Field

from tradingengine.api.orders.schemas import ProductName
from tradingengine.api.schemas import Body, Document, Rupees, Symbol


class Position(Document):
    """One position; P&L is of this market day, null while there is no price."""

    account: str
    broker: str
    symbol: Symbol
    product: ProductName
    quantity: int = Field(description="Units, negative when short.")
    average_price: Rupees
    last: Rupees | None
    pnl: Rupees | None
    pnl_percent: str | None = Field(description="Of the cost of what is open.")
    realised: Rupees
    unrealised: Rupees | None
    stop: None = Field(description="Not supported yet.")
    strategy: str | None


class PositionList(Document):
    """All positions."""

    items: list[Position]
    next_cursor: None = None


class ExitRequest(Body):
    """Close a position, or part of it."""

    symbol: Symbol
    product: ProductName
    quantity: int | None = Field(None, description="Units; all that is not being closed already when left out.", gt=0)
    account: str = Field("default", max_length=64)
    broker: str | None = Field(None, max_length=64)
