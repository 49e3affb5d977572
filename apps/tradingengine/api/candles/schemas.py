"""What candles look like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import Document, Rupees, Symbol


class Candle(Document):
    """One bar."""

    time: int = Field(description="Epoch seconds (UTC) of the bar's start, market time.")
    open: Rupees
    high: Rupees
    low: Rupees
    close: Rupees
    volume: int


class CandleList(Document):
    """Bars, oldest first."""

    symbol: Symbol
    interval: Literal["1m", "5m", "15m", "1h", "1d"]
    run: str = Field(description="Run id of the tape; empty for real prices.")
    items: list[Candle]
