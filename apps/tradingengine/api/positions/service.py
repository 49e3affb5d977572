"""Exits: a MARKET order that can only make a position smaller, on the stream that is read first."""

from typing import Any

from tradingengine.api.orders.service import OrderService, request_hash
from tradingengine.api.positions.schemas import ExitRequest
from tradingengine.api.problems import NoPositionError, OrderRefusedError
from tradingengine.api.state import ApiState
from tradingengine.domain.orders import OrderRequest, OrderType, Product, Purpose, Side
from tradingengine.domain.positions import PositionKey
from tradingengine.domain.reasons import ReasonCode, fault
from tradingengine.storage import orders, placing, positions
from tradingengine.storage.postgres import Connection
from tradingengine.storage.records import StoredOrder
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
        async with self._state.database.transaction() as connection:
            known = await placing.known(connection, self._user.id, key, body.symbol)
            if known.used is not None:
                return await self._orders.repeat(connection, known.used, digest), False
            stored = await self._order(connection, body)
            document = await self._orders.store_in(connection, stored, "exit", key, digest)
            if document is None:
                return await self._orders.repeated(connection, key, digest, body.symbol), False
        await self._orders.announce(document, sent=True)
        return document, True

    async def _order(self, connection: Connection, body: ExitRequest) -> StoredOrder:
        broker = body.broker or self._state.settings.engine.brokers[0].name
        key = PositionKey(body.account, broker, body.symbol, Product(body.product))
        # Locked: of two exits at once the second one sees the first.
        held = (await positions.by_keys(connection, [key], lock=True)).get(key)
        quantity = held.position.quantity if held is not None else 0
        leaving = await orders.pending_exit_quantity(connection, key.account, key.broker, key.symbol, body.product)
        left = abs(quantity) - leaving
        if left <= 0:
            detail = f"{leaving} units are being closed already." if quantity else "The position is flat."
            raise NoPositionError(f"{body.symbol} {body.product}: {detail}")
        if body.quantity is not None and body.quantity > left:
            raise OrderRefusedError(
                fault("quantity", ReasonCode.BAD_QUANTITY, f"{body.quantity}, {left} can be closed", f"At most {left}")
            )
        request = OrderRequest(
            symbol=body.symbol,
            side=Side.SELL if quantity > 0 else Side.BUY,
            quantity=body.quantity or left,
            type=OrderType.MARKET,
            product=key.product,
            purpose=Purpose.EXIT,
            account=key.account,
            broker=key.broker,
        )
        return self._orders.new_order(request, kind="exit")
