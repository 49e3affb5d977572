"""The fill model, pure: which part of an order trades against a quote, and at what price.

Honest where it matters: a buyer pays the ask and a seller gets the bid; a limit that merely touches the last price gets
nothing; no more than the quoted quantity trades, and what one order took is gone for the next until the quote moves.
MARKET is a limit with protection, as brokers send it.
"""

from typing import Final

import msgspec

from tradingengine.domain.instruments import Instrument
from tradingengine.domain.money import Paise, round_to_tick
from tradingengine.domain.orders import OrderType, Side
from tradingengine.domain.quotes import Quote

PROTECTION_BASIS_POINTS: Final = 100


class Taken(msgspec.Struct):
    """What own orders have taken of one displayed quote."""

    quote: Quote
    bid_units: int = 0
    ask_units: int = 0


class Liquidity:
    """Displayed quantity per symbol that is still there for own orders."""

    def __init__(self) -> None:
        """Nothing is taken yet."""
        self._taken: dict[str, Taken] = {}

    def available(self, quote: Quote, side: Side) -> int:
        """Units left on the side that an order of `side` trades against."""
        taken = self._of(quote)
        return quote.ask_quantity - taken.ask_units if side is Side.BUY else quote.bid_quantity - taken.bid_units

    def take(self, quote: Quote, side: Side, units: int) -> None:
        """Use up displayed quantity."""
        taken = self._of(quote)
        if side is Side.BUY:
            taken.ask_units += units
        else:
            taken.bid_units += units

    def _of(self, quote: Quote) -> Taken:
        taken = self._taken.get(quote.symbol)
        if taken is None:
            taken = self._taken[quote.symbol] = Taken(quote)
        elif taken.quote is not quote:
            before, taken.quote = taken.quote, quote
            # A side whose price and size stand unchanged is the same offer: what was taken of it stays taken.
            if (before.bid, before.bid_quantity) != (quote.bid, quote.bid_quantity):
                taken.bid_units = 0
            if (before.ask, before.ask_quantity) != (quote.ask, quote.ask_quantity):
                taken.ask_units = 0
        return taken


def opposite(quote: Quote, side: Side) -> Paise:
    """The price that an order of `side` would trade at now; 0 when nobody offers."""
    return quote.ask if side is Side.BUY else quote.bid


def protected_limit(quote: Quote, side: Side, instrument: Instrument) -> Paise:
    """The limit of a MARKET order: one percent through the opposite side (or the last price), on tick, in the band."""
    reference = opposite(quote, side) or quote.last
    moved = reference * (10_000 + side.sign * PROTECTION_BASIS_POINTS)
    limit = round_to_tick(moved // 10_000, instrument.tick_paise, up=side is Side.SELL)
    if side is Side.BUY and instrument.upper_band_paise is not None:
        limit = min(limit, instrument.upper_band_paise)
    if side is Side.SELL and instrument.lower_band_paise is not None:
        limit = max(limit, instrument.lower_band_paise)
    return max(limit, instrument.tick_paise)


def triggers(kind: OrderType, side: Side, trigger: Paise | None, quote: Quote) -> bool:
    """Whether a stop order's trigger is reached by the last price."""
    if not kind.needs_trigger or trigger is None:
        return False
    return quote.last >= trigger if side is Side.BUY else quote.last <= trigger


def execution(side: Side, limit: Paise, remaining: int, quote: Quote, available: int) -> tuple[int, Paise] | None:
    """(units, price) that trade now, None when the limit is not crossed or nothing is left."""
    price = opposite(quote, side)
    units = min(remaining, available)
    if price <= 0 or units <= 0 or (limit - price) * side.sign < 0:
        return None
    return units, price
