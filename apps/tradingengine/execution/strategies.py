"""Carries out what strategies ask for: their orders take the same way as everybody's."""

import logging
from datetime import timedelta
from typing import Any, Final

import msgspec

from tradingengine.domain.clock import WallClock
from tradingengine.domain.orders import Order, OrderState, OrderType, Product, Purpose, Source
from tradingengine.domain.reasons import ReasonCode
from tradingengine.execution.engine import Engine
from tradingengine.execution.journal import Draft, Entry
from tradingengine.marketdata.port import Feed, FeedEvent
from tradingengine.strategies.catalogue import default_strategies
from tradingengine.strategies.host import Action, CancelOrder, PlaceOrder, StrategyHost

log = logging.getLogger(__name__)

MARKET_LIFETIME: Final = timedelta(seconds=5)
LIMIT_LIFETIME: Final = timedelta(seconds=30)


class StrategyRunner:
    """One host on one feed, wired to the engine."""

    def __init__(self, *, engine: Engine, feed: Feed, wall: WallClock, release: str) -> None:
        """The feed has started and the engine's book is rebuilt, so that strategies find their orders again."""
        self._engine = engine
        self._wall = wall
        self._release = release
        self.host = StrategyHost(
            feed,
            default_strategies(feed.source, feed.instruments(), feed.speed),
            account=self._net,
            monotonic=wall.monotonic,
        )
        self.host.restore(order for order in engine.book.orders.values() if order.source is Source.STRATEGY)
        engine.order_listeners.append(self._order_changed)

    def _net(self, symbol: str) -> int:
        positions = self._engine.book.positions
        return sum(p.quantity for key, p in positions.items() if key.symbol == symbol and key.product is Product.MIS)

    async def take(self, event: FeedEvent) -> None:
        """Let the strategies see an event of the feed; what they ask for is started, not waited for."""
        self._carry_out(self.host.take(event))

    def _order_changed(self, order: Order, entry: Entry) -> None:
        if order.source is not Source.STRATEGY:
            return
        quantity = price = 0
        if entry.type == "order.filled":
            quantity, price = int(entry.data["quantity"]), int(entry.data["price_paise"])
        self._carry_out(self.host.order_changed(order, fill_quantity=quantity, fill_price_paise=price))

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, PlaceOrder):
                self._place(self._order(action))
            elif isinstance(action, CancelOrder):
                self._engine.start_cancel(action.order_id, by=action.strategy, code=ReasonCode.CANCELLED_BY_USER)
            else:
                data = {"strategy": action.strategy, "state": action.state, "reason": action.reason}
                self._engine.note(Draft("strategy.state", data))

    def _place(self, order: Order) -> None:
        """Send it on its way; while the gate is shut, an order that adds risk does not even begin."""
        shut = self._engine.gate.closed_for_new_risk()
        if shut is None or order.purpose is Purpose.EXIT or self._engine.gate.reduces(order):
            self._engine.start(order)
            return
        log.info("a strategy's order was held back", extra={"strategy": order.strategy, "reason": shut.code})
        refused = msgspec.structs.replace(order, state=OrderState.REJECTED, reason=shut)
        self._carry_out(self.host.order_changed(refused))

    def _order(self, action: PlaceOrder) -> Order:
        now = self._wall.now()
        lifetime = MARKET_LIFETIME if action.request.type is OrderType.MARKET else LIMIT_LIFETIME
        return Order(
            **msgspec.structs.asdict(action.request),
            id=action.order_id,
            source=Source.STRATEGY,
            strategy=action.strategy,
            release=self._release,
            created_at=now,
            updated_at=now,
            expires_at=now + lifetime,
        )

    def documents(self) -> list[dict[str, Any]]:
        """The part `strategies` of the heartbeat."""
        return [msgspec.to_builtins(status) for status in self.host.statuses()]
