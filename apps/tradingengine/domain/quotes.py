"""Quotes and ticks, prices in paise, times in epoch milliseconds of market time."""

from typing import Any

import msgspec

from tradingengine.domain.money import Paise


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One trade or price of the tape. `day_volume` is cumulative units of the day; 0 for an index."""

    symbol: str
    price: Paise
    day_volume: int
    at_ms: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The latest state of one instrument.

    `bid`, `ask` are 0 with quantity 0 when that side is empty (always so for an index). `at_ms` is the market time of
    the last trade.
    """

    symbol: str
    last: Paise
    previous_close: Paise
    open: Paise
    high: Paise
    low: Paise
    volume: int
    bid: Paise
    ask: Paise
    bid_quantity: int
    ask_quantity: int
    at_ms: int

    def wire(self) -> dict[str, Any]:
        """The short form used on channel `te:quotes` (docs/developer/interfaces.md, section 5)."""
        return {
            "s": self.symbol,
            "l": self.last,
            "pc": self.previous_close,
            "o": self.open,
            "h": self.high,
            "lo": self.low,
            "v": self.volume,
            "b": self.bid,
            "a": self.ask,
            "bq": self.bid_quantity,
            "aq": self.ask_quantity,
            "t": self.at_ms,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> "Quote":
        """The quote of a short form; KeyError when a field is missing."""
        return cls(
            symbol=data["s"],
            last=data["l"],
            previous_close=data["pc"],
            open=data["o"],
            high=data["h"],
            low=data["lo"],
            volume=data["v"],
            bid=data["b"],
            ask=data["a"],
            bid_quantity=data["bq"],
            ask_quantity=data["aq"],
            at_ms=data["t"],
        )
