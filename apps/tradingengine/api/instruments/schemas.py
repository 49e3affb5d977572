"""What an instrument looks like from outside."""

from pydantic import Field

from tradingengine.api.schemas import MAX_NUMBER, Count, Cursor, Document, Rupees, Symbol
from tradingengine.domain.instruments import InstrumentKind, Segment


class Instrument(Document):
    """Something that can be looked at, and traded where `tradable` says so."""

    symbol: Symbol
    exchange: str
    segment: Segment
    name: str
    kind: InstrumentKind
    lot_size: int = Field(ge=1, le=MAX_NUMBER)
    tick_size: Rupees
    freeze_quantity: Count = Field(description="Units; 0 when none is known.")
    tradable: bool


class InstrumentList(Document):
    """A page of found instruments, best match first."""

    items: list[Instrument]
    next_cursor: Cursor
