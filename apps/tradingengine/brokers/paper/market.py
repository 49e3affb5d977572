"""What the paper broker needs to know of the market."""

from datetime import datetime
from typing import Protocol

from tradingengine.domain.instruments import Instrument
from tradingengine.domain.quotes import Quote


class Market(Protocol):
    """The market as the paper exchange sees it."""

    def quote(self, symbol: str) -> Quote | None:
        """The latest quote; None when there is none or the feed has gone silent."""
        ...

    def instrument(self, symbol: str) -> Instrument | None:
        """The instrument of a symbol; None when unknown."""
        ...

    def is_open(self, symbol: str) -> bool:
        """Whether the instrument trades continuously now (market time)."""
        ...

    def now(self) -> datetime:
        """Market time."""
        ...
