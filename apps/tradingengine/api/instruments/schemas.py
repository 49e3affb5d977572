"""What an instrument looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import Document, Rupees, Symbol


class Instrument(Document):
    """Something that can be looked at, and traded where `tradable` says so."""

    symbol: Symbol
    exchange: str
    segment: Literal["NSE_EQ", "NSE_FO", "NSE_INDEX", "MCX"]
    name: str
    kind: Literal["equity", "index", "future", "option"]
    lot_size: int
    tick_size: Rupees
    freeze_quantity: int = Field(description="Units; 0 when none is known.")
    tradable: bool


class InstrumentList(Document):
    """Found instruments, best match first."""

    items: list[Instrument]
    next_cursor: None = None
