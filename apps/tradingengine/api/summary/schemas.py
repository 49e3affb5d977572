"""What the summary looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import Count, Document, Percent, Rupees


class Pnl(Document):
    """The market day's P&L; percent is of the cash position limit."""

    value: Rupees
    percent: Percent | None
    loss_limit: Rupees
    sparkline: list[Rupees] = Field(description="One value each 15 s, oldest first.")


class Exposure(Document):
    """Open value at last prices."""

    value: Rupees
    limit: Rupees


class OrderCounts(Document):
    """Orders since midnight IST."""

    filled: Count
    open: Count
    rejected: Count
    total: Count
    median_ack_ms: Count | None = Field(description="Creation to the broker's acknowledgement.")


class StrategyItem(Document):
    """One strategy."""

    name: str
    state: Literal["running", "paused"]
    symbol: str | None
    pnl: Rupees | None
    orders: Count


class Strategies(Document):
    """All strategies."""

    running: Count
    paused: Count
    items: list[StrategyItem]


class Summary(Document):
    """The four tiles."""

    pnl: Pnl
    exposure: Exposure
    orders: OrderCounts
    strategies: Strategies
