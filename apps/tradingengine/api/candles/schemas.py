"""What candles look like from outside."""

from pydantic import Field

from tradingengine.api.schemas import Count, Document, EpochSeconds, Rupees, Symbol
from tradingengine.domain.candles import Interval


class Candle(Document):
    """One bar."""

    time: EpochSeconds = Field(description="Epoch seconds (UTC) of the bar's start, market time.")
    open: Rupees
    high: Rupees
    low: Rupees
    close: Rupees
    volume: Count


class CandleList(Document):
    """Bars, oldest first; the next page holds older ones."""

    symbol: Symbol
    interval: Interval
    run: str = Field(description="Run id of the tape; empty for real prices.")
    items: list[Candle]
    next_cursor: str | None = Field(description="Give it as `cursor` for older bars; null when there are none.")
