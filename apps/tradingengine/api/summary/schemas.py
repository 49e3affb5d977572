"""What the summary looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import Document, Rupees


class Pnl(Document):
    """The market day's P&L; percent is of the cash position limit."""

    value: Rupees
    percent: str | None
    loss_limit: Rupees
    sparkline: list[Rupees] = Field(description="One value each 15 s, oldest first.")


class Exposure(Document):
    """Open value at last prices."""

    value: Rupees
    limit: Rupees


class OrderCounts(Document):
    """Orders since midnight IST."""

    filled: int
    open: int
    rejected: int
    total: int
    median_ack_ms: int | None = Field(description="Creation to the broker's acknowledgement.")


class StrategyItem(Document):
    """One strategy."""

    name: str
    state: Literal["running", "paused"]
    symbol: str | None
    pnl: Rupees | None
    orders: int


class Strategies(Document):
    """All strategies."""

    running: int
    paused: int
    items: list[StrategyItem]


class Summary(Document):
    """The four tiles."""

    pnl: Pnl
    exposure: Exposure
    orders: OrderCounts
    strategies: Strategies
