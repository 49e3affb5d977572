"""A crossing of two exponential moving averages: long or flat, one lot.

It shows the whole path of a strategy's order and makes no claim to earn: on prices without a trend it pays the spread
at each turn. A decision uses closed bars up to and including the one that just ended, and nothing later.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from tradingengine.domain.candles import Candle
from tradingengine.domain.orders import OrderState, Purpose, Side
from tradingengine.strategies.interface import OrderLimits, StrategyContext, StrategyFill

logger = logging.getLogger(__name__)


class EmaCrossParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one EMA cross.

    `fast` and `slow` are lengths in bars (fast below slow), `bar_seconds` the bar's length in market time, `lots` the
    size of the position, `exit_before_close_s` how long before the end of continuous trading it goes flat.
    """

    symbol: str
    name: str = "ema-cross"
    fast: int = 9
    slow: int = 21
    bar_seconds: int = 60
    lots: int = 1
    exit_before_close_s: int = 300
    limits: OrderLimits = OrderLimits()

    def __post_init__(self) -> None:
        """ValueError that names the field and the rule."""
        if not 1 <= self.fast < self.slow <= 500:
            raise ValueError(f"fast {self.fast} and slow {self.slow}: 1 <= fast < slow <= 500 is needed")
        if self.lots < 1:
            raise ValueError(f"lots {self.lots}: at least 1 is needed")
        if self.bar_seconds < 1 or 86_400 % self.bar_seconds:
            raise ValueError(f"bar_seconds {self.bar_seconds}: a divisor of 86400 is needed")
        if self.exit_before_close_s < self.bar_seconds:
            raise ValueError(f"exit_before_close_s {self.exit_before_close_s}: at least one bar is needed")


class Ema:
    """An exponential moving average of closes (paise), seeded with the mean of its first `length` values."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._weight = 2.0 / (length + 1)
        self._seen = 0
        self._value = 0.0

    def update(self, price: int) -> None:
        """Take the next close."""
        self._seen += 1
        if self._seen <= self._length:
            self._value += (price - self._value) / self._seen
        else:
            self._value += self._weight * (price - self._value)

    @property
    def value(self) -> float | None:
        """The average in paise; None before `length` values."""
        return self._value if self._seen >= self._length else None


class EmaCross:
    """The strategy; see the module's text. One symbol, one position, one order at a time."""

    def __init__(self, parameters: EmaCrossParameters) -> None:
        self._parameters = parameters
        self._reset()

    def _reset(self) -> None:
        self._fast = Ema(self._parameters.fast)
        self._slow = Ema(self._parameters.slow)
        self._above: bool | None = None

    @property
    def name(self) -> str:
        """Name from the parameters."""
        return self._parameters.name

    @property
    def symbols(self) -> Sequence[str]:
        """The one symbol."""
        return (self._parameters.symbol,)

    @property
    def bar_seconds(self) -> int:
        """Length of a bar."""
        return self._parameters.bar_seconds

    @property
    def warm_up_bars(self) -> int:
        """Four times the slow length, after which the seed no longer matters."""
        return 4 * self._parameters.slow

    @property
    def limits(self) -> OrderLimits:
        """Bounds from the parameters."""
        return self._parameters.limits

    def on_start(self, context: StrategyContext, history: Sequence[Candle]) -> None:
        """Begin anew and learn the averages from history; no order comes of it."""
        self._reset()
        for bar in history:
            self._learn(bar)

    def on_bar(self, context: StrategyContext, bar: Candle) -> None:
        """Learn the bar, then enter on a crossing from below, leave when the fast average is not above."""
        crossed_up = self._learn(bar)
        symbol = self._parameters.symbol
        if context.working(symbol):
            return
        held = context.position(symbol)
        late = context.now_ms >= context.session_close_ms - self._parameters.exit_before_close_s * 1000
        if held > 0 and (late or self._above is False):
            reason = "the session ends" if late else "fast average fell to or below the slow one"
            context.place(symbol, Side.SELL, held, purpose=Purpose.EXIT, reason=reason)
        elif held == 0 and crossed_up and not late:
            self._enter(context)

    def _enter(self, context: StrategyContext) -> None:
        instrument = context.instrument(self._parameters.symbol)
        if instrument is None or not instrument.tradable:
            return
        quantity = self._parameters.lots * instrument.lot_size
        context.place(
            instrument.symbol, Side.BUY, quantity, purpose=Purpose.ENTRY, reason="fast average rose above the slow one"
        )

    def _learn(self, bar: Candle) -> bool:
        """Take a closed bar in; whether the fast average rose above the slow one with it."""
        self._fast.update(bar.close)
        self._slow.update(bar.close)
        fast, slow = self._fast.value, self._slow.value
        if fast is None or slow is None:
            return False
        before, self._above = self._above, fast > slow
        return before is False and self._above

    def on_fill(self, context: StrategyContext, fill: StrategyFill) -> None:
        """Log it; the position is the host's business."""
        logger.info("%s: %s %d %s at %d paise", self.name, fill.side, fill.quantity, fill.symbol, fill.price_paise)

    def on_done(self, context: StrategyContext, order_id: str, state: OrderState) -> None:
        """Nothing: a failed entry waits for the next crossing, a failed exit is asked for again at the next bar."""

    def on_stop(self, context: StrategyContext) -> None:
        """Nothing is kept from one session to the next."""
        self._reset()
