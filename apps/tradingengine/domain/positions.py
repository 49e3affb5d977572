"""Position arithmetic from fills, exact in integer paise (average-cost method)."""

from collections.abc import Iterable

import msgspec

from tradingengine.domain.errors import DomainError
from tradingengine.domain.money import Paise, divide_half_even
from tradingengine.domain.orders import Order, Product, Side


class PositionKey(msgspec.Struct, frozen=True, order=True):
    """What makes a position one position."""

    account: str
    broker: str
    symbol: str
    product: Product


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Net units (negative when short), the exact cost of what is open, and what was realised, in paise.

    `cost_paise` carries the sign of `quantity`; realised + unrealised always equals the cash flow exactly.
    """

    key: PositionKey
    quantity: int = 0
    cost_paise: Paise = 0
    realised_paise: Paise = 0
    bought: int = 0
    sold: int = 0

    @property
    def average_paise(self) -> Paise:
        """Mean price of the open units, rounded to a paisa; 0 when flat."""
        return divide_half_even(abs(self.cost_paise), abs(self.quantity)) if self.quantity else 0

    def unrealised(self, last: Paise) -> Paise:
        """Gain (+) or loss (-) of the open units at price `last`."""
        return self.quantity * last - self.cost_paise

    def pnl(self, last: Paise) -> Paise:
        """Realised plus unrealised at price `last`."""
        return self.realised_paise + self.unrealised(last)


def key_of(order: Order) -> PositionKey:
    """The position that an order's fills belong to."""
    return PositionKey(order.account, order.broker, order.symbol, order.product)


def apply_fill(position: Position, side: Side, quantity: int, price: Paise) -> Position:
    """The position after one fill of `quantity` units (above 0) at `price` paise; may turn it round."""
    if quantity <= 0 or price < 0:
        raise DomainError(f"a fill of {quantity} at {price} paise is impossible")
    signed = side.sign * quantity
    closing = min(quantity, abs(position.quantity)) if position.quantity * signed < 0 else 0
    closed_cost = divide_half_even(position.cost_paise * closing, abs(position.quantity)) if closing else 0
    opening = quantity - closing
    return msgspec.structs.replace(
        position,
        quantity=position.quantity + signed,
        cost_paise=position.cost_paise - closed_cost + side.sign * opening * price,
        realised_paise=position.realised_paise - side.sign * closing * price - closed_cost,
        bought=position.bought + (quantity if side is Side.BUY else 0),
        sold=position.sold + (quantity if side is Side.SELL else 0),
    )


def position_of(key: PositionKey, fills: Iterable[tuple[Side, int, Paise]]) -> Position:
    """The position that fills (side, units, price in paise), in order, add up to."""
    position = Position(key=key)
    for side, quantity, price in fills:
        position = apply_fill(position, side, quantity, price)
    return position


def reduces(position: Position | None, side: Side, quantity: int) -> bool:
    """Whether an order of `quantity` units can only make the position smaller, never turn it round."""
    if position is None:
        return False
    return position.quantity * side.sign < 0 and quantity <= abs(position.quantity)
