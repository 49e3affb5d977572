"""Limits in money: exact in integers, whatever the fills and prices."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.orders import OrderRequest, OrderType, Product, Side
from tradingengine.domain.positions import Position, PositionKey, apply_fill
from tradingengine.domain.quotes import Quote
from tradingengine.domain.reasons import ReasonCode
from tradingengine.domain.risk import (
    AccountingDay,
    Limits,
    accounting_day,
    day_pnl,
    loss_refusal,
    market_day,
    price_at_risk,
    value_refusal,
)

pytestmark = pytest.mark.unit

KEY = PositionKey("default", "paper", "NSE:A", Product.MIS)
LIMITS = Limits(order_paise=100_000, position_paise=300_000, daily_loss_paise=5_000, orders_per_second=9)
START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
PRICES = st.integers(1, 10**6)
FILLS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["r1", "r2"]), st.sampled_from(list(Side)), st.integers(1, 500), PRICES),
    max_size=30,
)


def a_quote(*, bid: int = 0, ask: int = 0, last: int) -> Quote:
    return Quote(
        symbol="NSE:A",
        last=last,
        previous_close=last,
        open=last,
        high=last,
        low=last,
        volume=0,
        bid=bid,
        ask=ask,
        bid_quantity=1 if bid else 0,
        ask_quantity=1 if ask else 0,
        at_ms=0,
    )


def request(side: Side, kind: OrderType, price: int | None = None, trigger: int | None = None) -> OrderRequest:
    return OrderRequest(
        symbol="NSE:A", side=side, quantity=1, type=kind, price_paise=price, trigger_price_paise=trigger
    )


@given(FILLS, PRICES)
def test_the_days_add_up_to_all_that_was_ever_won_or_lost(
    fills: list[tuple[bool, str, Side, int, int]], last: int
) -> None:
    position, day, at, cash = Position(key=KEY), None, START, 0
    per_day: dict[tuple[object, str], int] = {}
    for turns, run, side, quantity, price in fills:
        at += timedelta(days=1 if turns else 0)
        cash -= side.sign * quantity * price
        day = accounting_day(day, position.realised_paise, at, run if turns or day is None else day.run)
        position = apply_fill(position, side, quantity, price)
        per_day[(day.day, day.run)] = day_pnl(position, day.realised_before_paise, None)
    assert sum(per_day.values()) == position.realised_paise
    assert sum(per_day.values()) + day_pnl(position, None, last) == cash + position.quantity * last


def test_a_new_date_and_a_new_run_each_begin_a_day() -> None:
    first = accounting_day(None, 0, START, "r1")
    assert accounting_day(first, 700, START + timedelta(hours=1), "r1") is first
    midnight = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
    assert accounting_day(first, 700, midnight, "r1") == AccountingDay(market_day(midnight), "r1", 700)
    assert market_day(midnight) == market_day(START) + timedelta(days=1), "midnight is that of India"
    assert accounting_day(first, 700, START, "r2") == AccountingDay(market_day(START), "r2", 700)


@given(st.sampled_from(list(Side)), PRICES, PRICES, PRICES)
def test_a_limit_order_never_trades_above_the_price_it_is_valued_by(
    side: Side, limit: int, bid: int, spread: int
) -> None:
    quote = a_quote(bid=bid, ask=bid + spread, last=bid)
    touch = quote.ask if side is Side.BUY else quote.bid
    crosses = touch <= limit if side is Side.BUY else touch >= limit
    trades_at = touch if crosses else limit
    assert price_at_risk(request(side, OrderType.LIMIT, limit), quote) >= trades_at


@pytest.mark.parametrize(
    ("asked", "quote", "price"),
    [
        (request(Side.BUY, OrderType.LIMIT, 9000), a_quote(bid=9990, ask=10000, last=9995), 9000),
        (request(Side.SELL, OrderType.LIMIT, 11000), a_quote(bid=9990, ask=10000, last=9995), 11000),
        (request(Side.SELL, OrderType.LIMIT, 9000), a_quote(bid=9990, ask=10000, last=9995), 9990),
        (request(Side.BUY, OrderType.MARKET), a_quote(bid=9990, ask=10000, last=9995), 10000),
        (request(Side.SELL, OrderType.MARKET), a_quote(bid=9990, ask=10000, last=9995), 9990),
        (request(Side.BUY, OrderType.MARKET), a_quote(bid=9990, last=9995), 9995),
        (request(Side.SELL, OrderType.MARKET), a_quote(ask=10000, last=9995), 9995),
        (request(Side.BUY, OrderType.SL_M, trigger=10500), a_quote(bid=9990, ask=10000, last=9995), 10500),
        (request(Side.BUY, OrderType.SL, 10600, 10500), a_quote(bid=9990, ask=10000, last=9995), 10600),
    ],
)
def test_the_price_by_which_an_order_is_valued(asked: OrderRequest, quote: Quote, price: int) -> None:
    assert price_at_risk(asked, quote) == price


@given(PRICES, st.integers(1, 1000), st.integers(0, 1000))
def test_a_value_is_refused_from_the_first_paisa_above_its_limit_on(price: int, quantity: int, held: int) -> None:
    order, position = quantity * price, (held + quantity) * price

    def code(order_limit: int, position_limit: int) -> str | None:
        limits = Limits(order_paise=order_limit, position_paise=position_limit, daily_loss_paise=0, orders_per_second=1)
        found = value_refusal(limits, price=price, quantity=quantity, resulting=held + quantity)
        return None if found is None else found.code

    assert code(order, position) is None
    assert code(order - 1, position) == ReasonCode.ORDER_VALUE
    assert code(order, position - 1) == ReasonCode.POSITION_VALUE


def test_the_reasons_say_how_much_and_what_to_do() -> None:
    order = value_refusal(LIMITS, price=10_001, quantity=10, resulting=10)
    position = value_refusal(LIMITS, price=10_000, quantity=10, resulting=31)
    loss = loss_refusal(LIMITS, -5_000)
    assert order is not None
    assert position is not None
    assert loss is not None
    assert order.message.endswith("₹1,000.10 of at most ₹1,000.00.")
    assert position.message.endswith("₹3,100.00 of at most ₹3,000.00.")
    assert loss.message.endswith("P&L \u2212₹50.00, loss limit ₹50.00.")
    assert all(found.mend for found in (order, position, loss))


def test_the_daily_loss_is_reached_at_the_limit_itself() -> None:
    assert loss_refusal(LIMITS, -4_999) is None
    found = loss_refusal(LIMITS, -5_000)
    assert found is not None
    assert found.code == ReasonCode.DAILY_LOSS


@pytest.mark.parametrize("pnl", [-1, 0, 1, 10**9])
def test_a_daily_loss_of_nothing_takes_no_new_risk_whatever_was_won(pnl: int) -> None:
    found = loss_refusal(msgspec.structs.replace(LIMITS, daily_loss_paise=0), pnl)
    assert found is not None
    assert found.code == ReasonCode.DAILY_LOSS
