"""Limits in money on new risk, and the day's P&L that one of them is about: pure, exact in integer paise.

Cloud and edge count the day by the same functions, so that what the dashboard shows is what the gate holds.
"""

from datetime import date, datetime

import msgspec

from tradingengine.domain.clock import IST
from tradingengine.domain.money import Paise, show_rupees
from tradingengine.domain.orders import OrderRequest, Side
from tradingengine.domain.positions import Position
from tradingengine.domain.quotes import Quote
from tradingengine.domain.reasons import Reason, ReasonCode, reason


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on new risk: values in paise, orders per second and segment. 0 paise lets no new risk through."""

    order_paise: Paise
    position_paise: Paise
    daily_loss_paise: Paise
    orders_per_second: int


class AccountingDay(msgspec.Struct, frozen=True):
    """The market day of a position's last fill: IST date, run of the feed, and what was realised before that day."""

    day: date
    run: str
    realised_before_paise: Paise


def market_day(at: datetime) -> date:
    """The IST date of a time."""
    return at.astimezone(IST).date()


def accounting_day(held: AccountingDay | None, realised: Paise, at: datetime, run: str) -> AccountingDay:
    """The accounting day after a fill at market time `at`; `realised` is what the position had realised before it."""
    day = market_day(at)
    if held is not None and (held.day, held.run) == (day, run):
        return held
    return AccountingDay(day, run, realised)


def day_pnl(position: Position, realised_before: Paise | None, last: Paise | None) -> Paise:
    """What one position adds to the day's P&L: realised today plus unrealised since it was opened.

    `realised_before` is None when it was not traded today, `last` when it has no price; both then count as nothing.
    """
    realised = 0 if realised_before is None else position.realised_paise - realised_before
    return realised + (0 if last is None else position.unrealised(last))


def price_at_risk(request: OrderRequest, quote: Quote) -> Paise:
    """The price by which an order is valued: the highest at which it can be expected to trade.

    A buy never pays more than its limit. A sale gets the bid where that is above its limit; without a limit the touch
    counts (the last price when that side is empty), or the trigger above it.
    """
    if request.side is Side.BUY and request.price_paise is not None:
        return request.price_paise
    touch = (quote.ask if request.side is Side.BUY else quote.bid) or quote.last
    return max(touch, request.price_paise or 0, request.trigger_price_paise or 0)


def value_refusal(limits: Limits, *, price: Paise, quantity: int, resulting: int) -> Reason | None:
    """Why an order of `quantity` units at `price` is too large, None when it is not.

    `resulting` is units in its direction when it and all that already works there have filled.
    """
    for code, units, limit in (
        (ReasonCode.ORDER_VALUE, quantity, limits.order_paise),
        (ReasonCode.POSITION_VALUE, resulting, limits.position_paise),
    ):
        if units * price > limit:
            return reason(code, f"{show_rupees(units * price)} of at most {show_rupees(limit)}")
    return None


def loss_refusal(limits: Limits, pnl: Paise) -> Reason | None:
    """Why the day's P&L lets no new risk through, None when it does."""
    if min(pnl, 0) > -limits.daily_loss_paise:  # a limit of 0 is reached by a day without a loss
        return None
    detail = f"P&L {show_rupees(pnl)}, loss limit {show_rupees(limits.daily_loss_paise)}"
    return reason(ReasonCode.DAILY_LOSS, detail)
