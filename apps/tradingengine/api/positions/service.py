"""Exits: a MARKET order that can only make a position smaller, on the stream that is read first."""

from typing import Any

from tradingengine.api.orders.service import OrderService, request_hash
from tradingengine.api.positions import closing
from tradingengine.api.positions.schemas import ExitRequest
from tradingengine.api.state import ApiState
from tradingengine.domain.orders import OrderRequest, OrderType, Purpose, Side
from tradingengine.domain.positions import PositionKey
from tradingengine.storage import placing
from tradingengine.storage.users import User


class ExitService:
    """Exits of one person."""

    def __init__(self, state: ApiState, user: User) -> None:
        self._state = state
        self._user = user
        self._orders = OrderService(state, user)

    async def exit(self, body: ExitRequest, key: str) -> tuple[dict[str, Any], bool]:
        """Store and queue an exit: its order, and whether it is new. It waits for the edge when the link is cut.

        NoPositionError when nothing is left to close, OrderRefusedError when more is asked for than there is.
        """
        digest = request_hash("exit", body.model_dump())
        broker = body.broker or self._state.settings.engine.brokers[0].name
        position = PositionKey(body.account, broker, body.symbol, body.product)
        async with self._state.database.transaction() as connection:
            held = await closing.lock(connection, position)
            # After the lock: the request that had it may have been the same one.
            known = await placing.known(connection, self._user.id, key, body.symbol)
            if known.used is not None:
                return await self._orders.repeat(connection, known.used, digest), False
            side, quantity = await closing.closing(connection, position, held, quantity=body.quantity)
            stored = self._orders.new_order(_request(position, side, quantity), kind="exit")
            document = await self._orders.store_in(connection, stored, "exit", key, digest)
            if document is None:
                return await self._orders.repeated(connection, key, digest, body.symbol), False
        await self._orders.announce(document, sent=True)
        return document, True


def _request(position: PositionKey, side: Side, quantity: int) -> OrderRequest:
    return OrderRequest(
        symbol=position.symbol,
        side=side,
        quantity=quantity,
        type=OrderType.MARKET,
        product=position.product,
        purpose=Purpose.EXIT,
        account=position.account,
        broker=position.broker,
    )
