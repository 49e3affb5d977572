"""What a strategy is, and what it may do.

A strategy is called with closed bars only, and acts only through its context: it has no clock, no feed and no broker of
its own, so the same code runs on simulated, recorded and real prices. All calls are synchronous and must be short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tradingengine.domain.candles import Candle
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.orders import OrderState, Purpose, Side


class OrderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders a strategy may send. Exits are held by `per_bar` only: what reduces risk gets through.

    `per_bar` counts bars of the strategy's own length, `per_minute` minutes of wall time, `per_session` one session of
    the market.
    """

    per_bar: int = 1
    per_minute: int = 6
    per_session: int = 20


class StrategyFill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of an own order: units and paise, `at_ms` market time."""

    order_id: str
    symbol: str
    side: Side
    quantity: int
    price_paise: int
    at_ms: int


class StrategyContext(Protocol):
    """A strategy's hands and eyes during one call."""

    @property
    def now_ms(self) -> int:
        """Market time of the call, epoch ms: for a bar, its end."""
        ...

    @property
    def session_close_ms(self) -> int:
        """When continuous trading of this session ends, epoch ms of market time."""
        ...

    def instrument(self, symbol: str) -> Instrument | None:
        """The instrument, None when it is not priced in this session."""
        ...

    def position(self, symbol: str) -> int:
        """Own units, signed; never more than the account really holds."""
        ...

    def working(self, symbol: str) -> bool:
        """Whether an own order is on its way or open."""
        ...

    def place(self, symbol: str, side: Side, quantity: int, *, purpose: Purpose, reason: str) -> str | None:
        """Ask for a protected market order of `quantity` units; its id, or None when a limit of orders holds it back.

        `reason` is one short sentence for the log. The order still has to pass the gate.
        """
        ...

    def cancel(self, order_id: str) -> None:
        """Ask to cancel an own order; unknown ids are ignored."""
        ...


class Strategy(Protocol):
    """One strategy on one or more symbols."""

    @property
    def name(self) -> str:
        """Unique within an engine; shown to people."""
        ...

    @property
    def symbols(self) -> Sequence[str]:
        """What it needs bars of."""
        ...

    @property
    def bar_seconds(self) -> int:
        """Length of its bars in seconds of market time, a divisor of a day."""
        ...

    @property
    def warm_up_bars(self) -> int:
        """How many closed bars it wants before its first decision."""
        ...

    @property
    def limits(self) -> OrderLimits:
        """Bounds of its order rate."""
        ...

    def on_start(self, context: StrategyContext, history: Sequence[Candle]) -> None:
        """A session begins, or goes on after a restart; `history` are closed bars, oldest first, maybe few."""
        ...

    def on_bar(self, context: StrategyContext, bar: Candle) -> None:
        """A bar closed; bars of a symbol come in time order, with gaps where nothing traded."""
        ...

    def on_fill(self, context: StrategyContext, fill: StrategyFill) -> None:
        """An own order was filled, in whole or in part."""
        ...

    def on_done(self, context: StrategyContext, order_id: str, state: OrderState) -> None:
        """An own order is over: filled, cancelled, rejected or expired."""
        ...

    def on_stop(self, context: StrategyContext) -> None:
        """The session is over."""
        ...
