"""Positions: exact in integers, whatever the fills."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.capabilities import adds_risk
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import new_id
from tradingengine.domain.orders import Order, OrderRequest, Product, Purpose, Side
from tradingengine.domain.positions import Position, PositionKey, apply_fill, key_of, position_of, reduces

pytestmark = pytest.mark.unit

KEY = PositionKey("default", "paper", "NSE:A", Product.MIS)
FILLS = st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 500), st.integers(1, 10**6)), max_size=30)


@given(FILLS, st.integers(1, 10**6))
def test_realised_and_unrealised_are_the_cash_flow(fills: list[tuple[Side, int, int]], last: int) -> None:
    position = position_of(KEY, fills)
    cash = -sum(side.sign * quantity * price for side, quantity, price in fills)
    assert position.quantity == sum(side.sign * quantity for side, quantity, _ in fills)
    assert position.pnl(last) == cash + position.quantity * last
    assert position.bought - position.sold == position.quantity
    if position.quantity == 0:
        assert position.cost_paise == 0
        assert position.average_paise == 0
    else:
        assert position.cost_paise * position.quantity > 0


def test_a_round_trip() -> None:
    position = position_of(KEY, [(Side.BUY, 10, 10000), (Side.BUY, 10, 11000)])
    assert (position.quantity, position.average_paise, position.unrealised(12000)) == (20, 10500, 30000)
    position = apply_fill(position, Side.SELL, 5, 12000)
    assert (position.quantity, position.average_paise, position.realised_paise) == (15, 10500, 7500)
    position = apply_fill(position, Side.SELL, 25, 10000)
    assert (position.quantity, position.average_paise, position.realised_paise) == (-10, 10000, 0)
    position = apply_fill(position, Side.BUY, 10, 9000)
    assert (position.quantity, position.realised_paise) == (0, 10000)


@pytest.mark.parametrize(("quantity", "price"), [(0, 1), (-1, 1), (1, -1)])
def test_an_impossible_fill_is_refused(quantity: int, price: int) -> None:
    with pytest.raises(DomainError, match="impossible"):
        apply_fill(Position(key=KEY), Side.BUY, quantity, price)


def test_what_reduces() -> None:
    long = position_of(KEY, [(Side.BUY, 10, 100)])
    short = position_of(KEY, [(Side.SELL, 10, 100)])
    assert reduces(long, Side.SELL, 10)
    assert reduces(short, Side.BUY, 1)
    assert not reduces(long, Side.SELL, 11)
    assert not reduces(long, Side.BUY, 1)
    assert not reduces(Position(key=KEY), Side.SELL, 1)
    assert not reduces(None, Side.SELL, 1)


def test_the_key_of_an_order() -> None:
    order = Order(
        id=new_id(),
        symbol="NSE:A",
        side=Side.BUY,
        quantity=1,
        created_at=datetime(2026, 1, 5, tzinfo=UTC),
        updated_at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert key_of(order) == KEY


@pytest.mark.parametrize(
    ("purpose", "side", "quantity", "held", "code"),
    [
        (Purpose.ENTRY, Side.BUY, 10, 0, None),
        (Purpose.STOP, Side.SELL, 10, 10, None),
        (Purpose.TARGET, Side.BUY, 5, -10, None),
        (Purpose.EXIT, Side.SELL, 20, 10, None),
        (Purpose.STOP, Side.SELL, 11, 10, "exceeds_position"),
        (Purpose.TARGET, Side.BUY, 10, 0, "no_position"),
        (Purpose.TARGET, Side.BUY, 10, None, "no_position"),
        (Purpose.STOP, Side.BUY, 10, 10, "no_position"),
        (Purpose.EXIT, Side.BUY, 10, 10, "no_position"),
    ],
)
def test_a_purpose_that_reduces_needs_a_position_to_reduce(
    purpose: Purpose, side: Side, quantity: int, held: int | None, code: str | None
) -> None:
    request = OrderRequest(symbol="NSE:A", side=side, quantity=quantity, purpose=purpose)
    position = None if held is None else Position(key=KEY, quantity=held, cost_paise=held * 100)
    found = adds_risk(request, position)
    assert (None if found is None else (found.field, str(found.code))) == (None if code is None else ("purpose", code))
