"""Runs strategies and confines them.

The host turns events of the feed into calls, and what a strategy asks for into actions that the execution engine
carries out. It does no input or output and waits for nothing. A strategy that raises is counted and logged; after the
third time in a session it is paused, and the others never notice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from tradingengine.domain.candles import Candle
from tradingengine.domain.ids import new_id
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.orders import Order, OrderRequest, OrderType, Product, Purpose, Side
from tradingengine.domain.positions import Position, PositionKey, apply_fill
from tradingengine.marketdata.candles import CandleAggregator, short_interval
from tradingengine.marketdata.port import Feed, FeedEvent, Prices, RunEnded, RunStarted
from tradingengine.strategies.budget import OrderBudget
from tradingengine.strategies.interface import Strategy, StrategyFill

logger = logging.getLogger(__name__)

MOST_ERRORS = 3
PRODUCT = Product.MIS
StrategyState: TypeAlias = Literal["running", "paused"]


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Send this order; its id is final, so that the strategy knows its fills."""

    strategy: str
    order_id: str
    request: OrderRequest
    reason: str


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel an own order."""

    strategy: str
    order_id: str


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy began to run or was paused, and why."""

    strategy: str
    state: StrategyState
    reason: str


Action: TypeAlias = PlaceOrder | CancelOrder | StateChanged


class StrategyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the heartbeat says of a strategy; `orders` counts those of this session, `pnl_paise` is all it made."""

    name: str
    state: StrategyState
    symbol: str
    pnl_paise: int
    orders: int


class StrategyHost:
    """Hosts strategies on one feed.

    `account` gives the account's net units by symbol, for product MIS; a strategy's own position is never taken to be
    larger, since a person may have closed it. `monotonic` is wall time in seconds for the limit per minute.
    """

    def __init__(
        self,
        feed: Feed,
        strategies: Iterable[Strategy],
        *,
        account: Callable[[str], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._slots = {strategy.name: _Slot(strategy, feed, account, monotonic) for strategy in strategies}

    @property
    def symbols(self) -> list[str]:
        """Symbols that must be subscribed."""
        return sorted({symbol for slot in self._slots.values() for symbol in slot.strategy.symbols})

    def restore(self, orders: Iterable[Order]) -> None:
        """After a restart, before the first event: rebuild positions and open orders from all orders of strategies."""
        for order in orders:
            slot = self._slots.get(order.strategy or "")
            if slot is not None:
                slot.restore(order)

    def take(self, event: FeedEvent) -> list[Action]:
        """What the strategies ask for after an event of the feed, in order."""
        actions: list[Action] = []
        for slot in self._slots.values():
            if isinstance(event, Prices):
                slot.prices(event)
            elif isinstance(event, RunStarted):
                slot.start(event)
            elif isinstance(event, RunEnded):
                slot.stop(event.at_ms)
            elif event.state == "closed":
                slot.last_bars(event.at_ms)
            actions += slot.drain()
        return actions

    def order_changed(self, order: Order, *, fill_quantity: int = 0, fill_price_paise: int = 0) -> list[Action]:
        """Tell of a change of a strategy's order, with the fill (units, paise) if that is what changed it."""
        slot = self._slots.get(order.strategy or "")
        if slot is None:
            return []
        if fill_quantity > 0:
            slot.filled(order, fill_quantity, fill_price_paise)
        if order.state.terminal:
            slot.done(order)
        return slot.drain()

    def pause(self, name: str, reason: str) -> list[Action]:
        """Stop calling a strategy until `resume`, cancel its entries; its position stays. KeyError: unknown name."""
        slot = self._slots[name]
        slot.pause(reason, by_person=True)
        return slot.drain()

    def resume(self, name: str) -> list[Action]:
        """Call a paused strategy again, from the next bar on. KeyError for an unknown name."""
        slot = self._slots[name]
        slot.resume()
        return slot.drain()

    def statuses(self) -> list[StrategyStatus]:
        """One entry for each strategy."""
        return [slot.status() for slot in self._slots.values()]


class _Slot:
    """One strategy with its bars, position, orders and counters; also its context."""

    def __init__(
        self, strategy: Strategy, feed: Feed, account: Callable[[str], int] | None, monotonic: Callable[[], float]
    ) -> None:
        self.strategy = strategy
        self._feed = feed
        self._account = account
        self._budget = OrderBudget(strategy.limits, monotonic)
        self._bars = CandleAggregator(strategy.bar_seconds, _interval(strategy.bar_seconds))
        self._instruments: dict[str, Instrument] = {}
        self._positions: dict[str, Position] = {}
        self._working: dict[str, tuple[str, Purpose]] = {}
        self._last: dict[str, int] = {}
        self._actions: list[Action] = []
        self._earlier: list[datetime] = []
        self._now_ms = 0
        self._close_ms = 0
        self._errors = 0
        self._state: StrategyState = "running"
        self._active = False
        self._by_person = False

    # What the strategy sees.

    @property
    def now_ms(self) -> int:
        """Market time of the call."""
        return self._now_ms

    @property
    def session_close_ms(self) -> int:
        """End of continuous trading."""
        return self._close_ms

    def instrument(self, symbol: str) -> Instrument | None:
        """The instrument in this session."""
        return self._instruments.get(symbol)

    def position(self, symbol: str) -> int:
        """Own units, signed, after a look at what the account holds."""
        own = self._position(symbol)
        if self._account is None or self.working(symbol):
            return own.quantity
        net = self._account(symbol)
        real = max(0, min(own.quantity, net)) if own.quantity > 0 else min(0, max(own.quantity, net))
        if real != own.quantity and symbol in self._last:
            # Somebody else closed it: the books agree again at the last price.
            side = Side.SELL if own.quantity > real else Side.BUY
            self._positions[symbol] = apply_fill(own, side, abs(own.quantity - real), self._last[symbol])
        return real

    def working(self, symbol: str) -> bool:
        """Whether an own order of the symbol is not over yet."""
        return any(symbol == working for working, _ in self._working.values())

    def place(self, symbol: str, side: Side, quantity: int, *, purpose: Purpose, reason: str) -> str | None:
        """Ask for an order; None when a limit holds it back."""
        if symbol not in self.strategy.symbols or quantity < 1:
            raise ValueError(f"{self.strategy.name}: {side} {quantity} {symbol} is not its to place")
        if not self._budget.take(reduces=purpose is Purpose.EXIT):
            return None
        order_id = new_id()
        request = OrderRequest(
            symbol=symbol, side=side, quantity=quantity, type=OrderType.MARKET, product=PRODUCT, purpose=purpose
        )
        self._working[order_id] = (symbol, purpose)
        self._actions.append(PlaceOrder(strategy=self.strategy.name, order_id=order_id, request=request, reason=reason))
        return order_id

    def cancel(self, order_id: str) -> None:
        """Ask to cancel an own order."""
        if order_id in self._working:
            self._actions.append(CancelOrder(strategy=self.strategy.name, order_id=order_id))

    # What the host does with it.

    def drain(self) -> list[Action]:
        """The actions since the last call."""
        actions, self._actions = self._actions, []
        return actions

    def start(self, event: RunStarted) -> None:
        """A run begins: new bars, fresh counters, history for the strategy."""
        known = {instrument.symbol: instrument for instrument in self._feed.instruments()}
        self._instruments = {symbol: known[symbol] for symbol in self.strategy.symbols if symbol in known}
        self._bars = CandleAggregator(
            self.strategy.bar_seconds, _interval(self.strategy.bar_seconds), from_open=event.at_ms <= event.open_ms
        )
        self._now_ms, self._close_ms = event.at_ms, event.close_ms
        self._errors = 0
        self._active = True
        self._budget.new_session(self._orders_since(event))
        if not self._by_person:
            self._announce("running", "the session goes on" if event.resumed else "the session began")
        self._call(lambda: self.strategy.on_start(self, self._history()))

    def _orders_since(self, event: RunStarted) -> int:
        earlier, self._earlier = self._earlier, []
        start = datetime.fromtimestamp(event.open_ms / 1000, UTC)
        end = datetime.fromtimestamp(event.close_ms / 1000, UTC)
        return sum(start <= at <= end for at in earlier) if event.resumed else 0

    def _history(self) -> Sequence[Candle]:
        """Closed bars before now; of bars below a minute maybe only a few, or none."""
        interval = _interval(self.strategy.bar_seconds)
        if interval not in ("1m", "5m", "15m") and short_interval(interval) is None:
            return ()
        bars = [
            bar
            for symbol in self.strategy.symbols
            for bar in self._feed.history(symbol, interval, self.strategy.warm_up_bars + 1)
            if (bar.time + self.strategy.bar_seconds) * 1000 <= self._now_ms
        ]
        return sorted(bars, key=lambda bar: bar.time)

    def prices(self, event: Prices) -> None:
        """Trades: bars that they close are shown to the strategy, in time order."""
        if not self._active:
            return
        for quote in event.quotes:
            if quote.symbol in self._instruments:
                self._last[quote.symbol] = quote.last
                closed = self._bars.add(quote.symbol, quote.last, quote.volume, quote.at_ms)
                if closed is not None:
                    self._bar(closed)
        for bar in self._bars.advance(event.at_ms):
            self._bar(bar)

    def last_bars(self, at_ms: int) -> None:
        """The market closed: the bars that are open end with it."""
        for bar in self._bars.finish():
            self._bar(bar)
        self._now_ms = at_ms

    def _bar(self, bar: Candle) -> None:
        self._now_ms = (bar.time + self.strategy.bar_seconds) * 1000
        self._budget.new_bar(bar.time)
        self._call(lambda: self.strategy.on_bar(self, bar))

    def stop(self, at_ms: int) -> None:
        """The run is over."""
        self._now_ms = at_ms
        self._call(lambda: self.strategy.on_stop(self))
        self._active = False

    def filled(self, order: Order, quantity: int, price_paise: int) -> None:
        """Book a fill, then tell the strategy."""
        self._positions[order.symbol] = apply_fill(self._position(order.symbol), order.side, quantity, price_paise)
        fill = StrategyFill(
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price_paise=price_paise,
            at_ms=self._now_ms,
        )
        self._call(lambda: self.strategy.on_fill(self, fill))

    def done(self, order: Order) -> None:
        """An order is over."""
        if self._working.pop(order.id, None) is not None:
            self._call(lambda: self.strategy.on_done(self, order.id, order.state))

    def restore(self, order: Order) -> None:
        """Take an order of an earlier process into the books."""
        if order.filled_quantity > 0:
            position = self._position(order.symbol)
            self._positions[order.symbol] = apply_fill(position, order.side, order.filled_quantity, order.average_paise)
        if not order.state.terminal:
            self._working[order.id] = (order.symbol, order.purpose)
        if order.market_time is not None:
            self._earlier.append(order.market_time)

    def pause(self, reason: str, *, by_person: bool = False) -> None:
        """Stop calling the strategy; its open entries are cancelled, its position stays for a person to decide.

        What a person paused stays so in the next session; a pause after failures ends with its session.
        """
        self._by_person = self._by_person or by_person
        if self._state == "paused":
            return
        for order_id, (_, purpose) in self._working.items():
            if purpose is Purpose.ENTRY:
                self._actions.append(CancelOrder(strategy=self.strategy.name, order_id=order_id))
        self._announce("paused", reason)

    def resume(self) -> None:
        """Run again."""
        self._errors = 0
        self._by_person = False
        self._announce("running", "resumed")

    def _announce(self, state: StrategyState, reason: str) -> None:
        self._state = state
        self._actions.append(StateChanged(strategy=self.strategy.name, state=state, reason=reason))

    def _call(self, action: Callable[[], None]) -> None:
        """Call into the strategy; what it raises stays here."""
        if self._state == "paused":
            return
        try:
            action()
        except Exception as error:
            self._errors += 1
            logger.exception("strategy %s failed (%d of %d)", self.strategy.name, self._errors, MOST_ERRORS)
            if self._errors >= MOST_ERRORS:
                self.pause(f"it failed {self._errors} times, last: {type(error).__name__}")

    def _position(self, symbol: str) -> Position:
        key = PositionKey("default", "paper", symbol, PRODUCT)
        return self._positions.get(symbol) or Position(key=key)

    def status(self) -> StrategyStatus:
        """State, orders of this session, gain or loss so far in paise."""
        pnl = sum(
            position.pnl(self._last.get(symbol, position.average_paise)) for symbol, position in self._positions.items()
        )
        return StrategyStatus(
            name=self.strategy.name,
            state=self._state,
            symbol=self.strategy.symbols[0] if self.strategy.symbols else "",
            pnl_paise=pnl,
            orders=self._budget.in_session,
        )


def _interval(seconds: int) -> str:
    return {60: "1m", 300: "5m", 900: "15m"}.get(seconds, f"{seconds}s")
