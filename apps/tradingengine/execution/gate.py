"""The risk gate: pure verdicts. What reduces risk always passes; everything else needs every check to agree."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Protocol

from tradingengine.domain.capabilities import CAPABILITIES
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.money import Paise
from tradingengine.domain.orders import Order, TradingState
from tradingengine.domain.positions import key_of
from tradingengine.domain.quotes import Quote
from tradingengine.domain.reasons import Fault, Reason, ReasonCode, reason
from tradingengine.domain.risk import Limits, day_pnl, loss_refusal, market_day, price_at_risk, value_refusal
from tradingengine.domain.validation import check_order
from tradingengine.execution.book import OrderBook

_FORGIVEN_WHEN_REDUCING: Final = frozenset({ReasonCode.BAD_LOT, ReasonCode.FREEZE_QUANTITY, ReasonCode.PRICE_BAND})
_RATE_WINDOW_SECONDS: Final = 1.0
_MOST_NAMED: Final = 5


class MarketView(Protocol):
    """What the gate needs to know of the market."""

    @property
    def run(self) -> str:
        """Id of the feed's run, as the journal's entries carry it."""
        ...

    def now(self) -> datetime:
        """Market time."""
        ...

    def instrument(self, symbol: str) -> Instrument | None:
        """The instrument of a symbol; None when unknown."""
        ...

    def is_open(self, symbol: str) -> bool:
        """Whether it trades continuously now (market time)."""
        ...

    def quote(self, symbol: str) -> Quote | None:
        """The latest quote; None when there is none or the feed has gone silent."""
        ...

    def is_fresh(self) -> bool:
        """Whether prices are arriving."""
        ...


class GateInputs:
    """What the gate reads of the rest of the edge. Flags are set by whoever owns the fact."""

    def __init__(self) -> None:
        """Closed for new risk until recovery has finished."""
        self.recovered = False
        self.draining = False
        self.journal_failed = False
        self.halting = False


class Gate:
    """Judges orders. Limits hold for new risk alone: an order that reduces is neither counted nor valued."""

    def __init__(
        self,
        book: OrderBook,
        market: MarketView,
        inputs: GateInputs,
        *,
        limits: Limits,
        monotonic: Callable[[], float],
    ) -> None:
        """The gate keeps nothing but the times of the last orders of each segment."""
        self._book = book
        self._market = market
        self._inputs = inputs
        self._limits = limits
        self._monotonic = monotonic
        self._recent: dict[str, deque[float]] = {}

    def reduces(self, order: Order, in_flight: Iterable[Order] = ()) -> bool:
        """Whether an order can only make a position smaller, counting what already works against that position."""
        return 0 < order.quantity <= self.room(order, in_flight)

    def room(self, order: Order, in_flight: Iterable[Order] = ()) -> int:
        """Units by which an order of that side may reduce its position beside what works already; 0 when by none."""
        return max(0, self.reducible(order) - self._working_units(order, in_flight))

    def _working_units(self, order: Order, in_flight: Iterable[Order]) -> int:
        return sum(self._book.working(other) for other in self.working_beside(order, in_flight))

    def reducible(self, order: Order) -> int:
        """Units of the position that an order of that side would reduce; 0 when it would not reduce any."""
        position = self._book.positions.get(key_of(order))
        return 0 if position is None else max(0, -position.quantity * order.side.sign)

    def working_beside(self, order: Order, in_flight: Iterable[Order] = ()) -> list[Order]:
        """The other orders of the same side and position that are open or on their way."""
        key = key_of(order)
        # What the book knows it knows better: an order may have filled before the broker's answer to it came.
        unheard = [other for other in in_flight if other.id not in self._book.orders]
        return [
            other
            for other in (*unheard, *self._book.open_orders())
            if other.id != order.id and other.side is order.side and key_of(other) == key
        ]

    def judge(self, order: Order, in_flight: Iterable[Order] = ()) -> Reason | None:
        """None when the order may go, else why not. A passed order counts against the rate (dry runs do not)."""
        reducing = self.reduces(order, in_flight)
        fault = self._fault(order, reducing=reducing)
        if fault is not None:
            return fault.reason()
        if reducing:
            return None
        if order.purpose in CAPABILITIES[order.broker].reducing_only:  # a known broker: checked above
            return self._no_room(order, in_flight)
        refusal = self.closed_for_new_risk() or self._market_refusal(order, in_flight)
        return refusal or self._rate_refusal(order)

    def _fault(self, order: Order, *, reducing: bool) -> Fault | None:
        fault = check_order(order, self._market.instrument(order.symbol))
        forgiven = fault is not None and reducing and fault.code in _FORGIVEN_WHEN_REDUCING
        return None if forgiven else fault

    def could_trade(self, order: Order) -> bool:
        """Whether a reducing order is well formed and its market open: nothing is cancelled for one that is not."""
        return self._fault(order, reducing=True) is None and self._market.is_open(order.symbol)

    def _no_room(self, order: Order, in_flight: Iterable[Order]) -> Reason:
        if not self.reducible(order):
            return reason(ReasonCode.NO_POSITION)
        if not self.working_beside(order, in_flight):
            return reason(ReasonCode.EXCEEDS_POSITION)
        ids = [other.id for other in self.working_beside(order, in_flight)]
        return reason(ReasonCode.ALREADY_WORKING, ", ".join(ids[:_MOST_NAMED]))

    def closed_for_new_risk(self) -> Reason | None:
        """Why no order that adds risk may go now, None when the gate is open."""
        state, inputs = self._book.trading_state, self._inputs
        closed: tuple[tuple[bool, ReasonCode], ...] = (
            (state is TradingState.HALTED or inputs.halting, ReasonCode.HALTED),
            (state is TradingState.REDUCING, ReasonCode.REDUCING),
            (inputs.journal_failed, ReasonCode.JOURNAL_FAILED),
            (not inputs.recovered, ReasonCode.NOT_RECOVERED),
            (inputs.draining, ReasonCode.DRAINING),
        )
        for is_closed, code in closed:
            if is_closed:
                return reason(code)
        return None

    def _market_refusal(self, order: Order, in_flight: Iterable[Order]) -> Reason | None:
        if not self._market.is_open(order.symbol):
            return reason(ReasonCode.SESSION_CLOSED)
        if not self._market.is_fresh():
            return reason(ReasonCode.NO_QUOTE, "the feed has gone silent")
        quote = self._market.quote(order.symbol)
        if quote is None:
            return reason(ReasonCode.NO_QUOTE, order.symbol)
        if order.symbol in self._book.unknown_symbols():
            return reason(ReasonCode.UNRESOLVED_ORDER, order.symbol)
        return self._limit_refusal(order, quote, in_flight)

    def _limit_refusal(self, order: Order, quote: Quote, in_flight: Iterable[Order]) -> Reason | None:
        position = self._book.positions.get(key_of(order))
        held = 0 if position is None else position.quantity * order.side.sign
        return loss_refusal(self._limits, self._day_pnl()) or value_refusal(
            self._limits,
            price=price_at_risk(order, quote),
            quantity=order.quantity,
            resulting=held + self._working_units(order, in_flight) + order.quantity,
        )

    def _day_pnl(self) -> Paise:
        """The market day's P&L over all positions, as the cloud's summary counts it."""
        today = (market_day(self._market.now()), self._market.run)
        pnl = 0
        for key, position in self._book.positions.items():
            day = self._book.days[key]
            quote = self._market.quote(key.symbol) if position.quantity else None
            before = day.realised_before_paise if (day.day, day.run) == today else None
            pnl += day_pnl(position, before, None if quote is None else quote.last)
        return pnl

    def _rate_refusal(self, order: Order) -> Reason | None:
        instrument = self._market.instrument(order.symbol)
        segment = str(instrument.segment) if instrument is not None else ""
        now = self._monotonic()
        recent = self._recent.setdefault(segment, deque())
        while recent and now - recent[0] >= _RATE_WINDOW_SECONDS:
            recent.popleft()
        most = self._limits.orders_per_second
        if len(recent) >= most:
            return reason(ReasonCode.ORDER_RATE, f"{most} per second in {segment}")
        if not order.dry_run:
            recent.append(now)
        return None


def is_late(order: Order, now: datetime) -> bool:
    """Whether the order's wall-clock limit has passed."""
    return order.expires_at is not None and now >= order.expires_at
