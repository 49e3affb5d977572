"""A feed that plays what a test gives it, and orders that are filled at once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from tradingengine.domain.candles import Candle
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.domain.orders import Order, OrderState, Source
from tradingengine.domain.quotes import Quote
from tradingengine.marketdata.port import FeedEvent, Prices, RunEnded, RunStarted, SessionChanged
from tradingengine.strategies.host import Action, PlaceOrder, StrategyHost

SYMBOL = "NSE:ABC"
OPEN_MS = 1_767_584_700_000
CLOSE_MS = OPEN_MS + 375 * 60_000
NOW = datetime(2026, 1, 5, tzinfo=UTC)


class ScriptedFeed:
    """What a host asks of a feed: instruments and history."""

    def __init__(self, history: Sequence[Candle] = (), *, lot_size: int = 1, tradable: bool = True) -> None:
        self._history = list(history)
        self._instrument = Instrument(
            symbol=SYMBOL,
            exchange="NSE",
            segment=Segment.NSE_EQ,
            name="ABC",
            kind=InstrumentKind.EQUITY,
            lot_size=lot_size,
            tradable=tradable,
        )

    def instruments(self) -> Sequence[Instrument]:
        """One share."""
        return (self._instrument,)

    def history(self, symbol: str, interval: str, count: int) -> list[Candle]:
        """What the test gave."""
        return self._history[-count:] if symbol == SYMBOL else []


def started(at_ms: int = OPEN_MS, *, resumed: bool = False) -> RunStarted:
    """A session from 09:15 to 15:30."""
    return RunStarted(run="run", at_ms=at_ms, open_ms=OPEN_MS, close_ms=CLOSE_MS, resumed=resumed)


def quote(price: int, at_ms: int) -> Quote:
    """A trade at a price in paise."""
    return Quote(
        symbol=SYMBOL,
        last=price,
        previous_close=price,
        open=price,
        high=price,
        low=price,
        volume=0,
        bid=price - 5,
        ask=price,
        bid_quantity=1,
        ask_quantity=1,
        at_ms=at_ms,
    )


def minutes(closes: Sequence[int], first_ms: int = OPEN_MS) -> list[FeedEvent]:
    """One trade in each minute, and the end of the minute."""
    events: list[FeedEvent] = []
    for number, close in enumerate(closes):
        at_ms = first_ms + number * 60_000
        events.append(Prices(at_ms=at_ms + 1_000, quotes=(quote(close, at_ms),)))
        events.append(Prices(at_ms=at_ms + 60_000, quotes=()))
    return events


def ended() -> list[FeedEvent]:
    """The market closes and the run ends."""
    return [SessionChanged(at_ms=CLOSE_MS, state="closed"), RunEnded(run="run", at_ms=CLOSE_MS)]


def order_of(action: PlaceOrder, state: OrderState = OrderState.OPEN, *, filled: int = 0, average: int = 0) -> Order:
    """The order that the engine makes of an action."""
    fields = {name: getattr(action.request, name) for name in action.request.__struct_fields__}
    return Order(
        **fields,
        id=action.order_id,
        state=state,
        source=Source.STRATEGY,
        strategy=action.strategy,
        created_at=NOW,
        updated_at=NOW,
        market_time=datetime.fromtimestamp(OPEN_MS / 1000 + 60, UTC),
        filled_quantity=filled,
        average_paise=average,
    )


class Desk:
    """Runs events through a host and fills its orders at the last price; keeps what was asked for."""

    def __init__(self, host: StrategyHost, *, fill: bool = True) -> None:
        self.host = host
        self.actions: list[Action] = []
        self.orders: list[tuple[int, PlaceOrder]] = []
        self.net: Mapping[str, int] = {}
        self._fill = fill

    def play(self, events: Sequence[FeedEvent]) -> None:
        """Give events to the host, in order."""
        price = 0
        for event in events:
            if isinstance(event, Prices) and event.quotes:
                price = event.quotes[-1].last
            self._carry_out(self.host.take(event), event.at_ms, price)

    def _carry_out(self, actions: Sequence[Action], at_ms: int, price: int) -> None:
        self.actions += actions
        for action in actions:
            if isinstance(action, PlaceOrder):
                self.orders.append((at_ms, action))
                if self._fill:
                    quantity = action.request.quantity
                    order = order_of(action, OrderState.FILLED, filled=quantity, average=price)
                    more = self.host.order_changed(order, fill_quantity=quantity, fill_price_paise=price)
                    self._carry_out(more, at_ms, price)

    def trades(self) -> list[tuple[int, str, str, int]]:
        """(minute of the session at which it was decided, side, purpose, units) of all orders."""
        return [
            ((at_ms - OPEN_MS) // 60_000, str(one.request.side), str(one.request.purpose), one.request.quantity)
            for at_ms, one in self.orders
        ]


def replace_state(order: Order, state: OrderState) -> Order:
    """The same order in another state."""
    return msgspec.structs.replace(order, state=state)
