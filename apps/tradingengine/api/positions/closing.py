"""What of a position can still be closed; every exit is held against it while the position's row is locked."""

from tradingengine.api.problems import NoPositionError, OrderRefusedError
from tradingengine.domain.money import show_count
from tradingengine.domain.orders import Side
from tradingengine.domain.positions import PositionKey
from tradingengine.domain.reasons import ReasonCode, fault
from tradingengine.storage import orders, positions
from tradingengine.storage.postgres import Connection
from tradingengine.storage.records import StoredPosition


async def lock(connection: Connection, key: PositionKey) -> StoredPosition | None:
    """The position, locked until the transaction ends: of two exits at once the second one sees the first."""
    return (await positions.by_keys(connection, [key], lock=True)).get(key)


async def closing(
    connection: Connection,
    key: PositionKey,
    held: StoredPosition | None,
    *,
    quantity: int | None,
    side: Side | None = None,
) -> tuple[Side, int]:
    """The side that closes a locked position, and the units to close: `quantity`, or all that nobody closes yet.

    NoPositionError when nothing is left, OrderRefusedError for the wrong `side` or for more than is left.
    """
    units = held.position.quantity if held is not None else 0
    closes = Side.SELL if units > 0 else Side.BUY
    leaving = await orders.pending_exit_quantity(connection, key, closes) if units else 0
    left = abs(units) - leaving
    if left <= 0:
        detail = f"{show_count(leaving)} units are being closed already." if units else "The position is flat."
        raise NoPositionError(f"{key.symbol} {key.product}: {detail}")
    if side is not None and side is not closes:
        wrong = fault(
            "side", ReasonCode.NO_POSITION, f"{side} adds to a position of {show_count(units)}", f"Use {closes}"
        )
        raise OrderRefusedError(wrong)
    if quantity is not None and quantity > left:
        detail = f"{show_count(quantity)}, {show_count(left)} can be closed"
        raise OrderRefusedError(fault("quantity", ReasonCode.BAD_QUANTITY, detail, f"At most {show_count(left)}"))
    return closes, quantity or left
