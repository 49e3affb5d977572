"""What a position looks like from outside."""

from typing import Annotated

from pydantic import Field

from tradingengine.api.schemas import (
    MAX_NUMBER,
    Body,
    Cursor,
    Document,
    Lax,
    Name,
    Percent,
    Rupees,
    Symbol,
    Units,
)
from tradingengine.domain.orders import Product


class Position(Document):
    """One position; P&L is of this market day, null while there is no price."""

    account: str
    broker: str
    symbol: Symbol
    product: Product
    quantity: int = Field(description="Units, negative when short.", ge=-MAX_NUMBER, le=MAX_NUMBER)
    average_price: Rupees
    last: Rupees | None
    pnl: Rupees | None
    pnl_percent: Percent | None = Field(description="Of the cost of what is open.")
    realised: Rupees
    unrealised: Rupees | None
    stop: None = Field(description="Not supported yet.")
    strategy: str | None


class PositionList(Document):
    """A page of positions: open ones first, then by symbol."""

    items: list[Position]
    next_cursor: Cursor


class ExitRequest(Body):
    """Close a position, or part of it."""

    symbol: Symbol
    product: Annotated[Product, Lax]
    quantity: Units | None = Field(None, description="Units; all that is not being closed already when left out.")
    account: Name = "default"
    broker: Name | None = Field(None, description="Default: the engine's first broker.")
