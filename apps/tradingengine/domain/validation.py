"""Whether an order is well formed: the checks that need nothing but the order and its instrument.

The api refuses by them with 422, the edge's gate repeats them, since an order may also be born at the edge.
"""

from tradingengine.domain.capabilities import unsupported
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.money import Paise, is_on_tick, show_count, show_rupees
from tradingengine.domain.orders import OrderRequest, OrderType, Side, Validity
from tradingengine.domain.reasons import Fault, ReasonCode, fault


def check_order(request: OrderRequest, instrument: Instrument | None) -> Fault | None:
    """The first fault of an order, None when it is well formed; `instrument` is None when the symbol is unknown."""
    if instrument is None:
        return fault("symbol", ReasonCode.UNKNOWN_INSTRUMENT, repr(request.symbol))
    if not instrument.tradable:
        return fault("symbol", ReasonCode.NOT_TRADABLE, instrument.symbol)
    return (
        check_quantity(request, instrument)
        or unsupported(request)
        or check_prices(request, instrument)
        or _check_validity(request)
    )


def check_quantity(request: OrderRequest, instrument: Instrument) -> Fault | None:
    """Whole lots, above zero, not above the freeze quantity."""
    quantity = request.quantity
    if quantity <= 0:
        return fault("quantity", ReasonCode.BAD_QUANTITY, show_count(quantity))
    if quantity % instrument.lot_size:
        return fault(
            "quantity", ReasonCode.BAD_LOT, f"{show_count(quantity)}, lot size {show_count(instrument.lot_size)}"
        )
    most = instrument.freeze_quantity
    if most and quantity > most:
        return fault("quantity", ReasonCode.FREEZE_QUANTITY, f"{show_count(quantity)} is above {show_count(most)}")
    if request.disclosed_quantity < 0 or request.disclosed_quantity > quantity:
        return fault("disclosed_quantity", ReasonCode.BAD_QUANTITY, mend="Disclose between zero and the quantity")
    return None


def check_prices(request: OrderRequest, instrument: Instrument) -> Fault | None:
    """Price and trigger are there exactly when the type needs them, on tick, in the band, and on the right sides."""
    price, trigger = request.price_paise, request.trigger_price_paise
    if request.type.needs_price != (price is not None):
        wanted = "needs" if request.type.needs_price else "takes no"
        return fault("price", ReasonCode.BAD_PRICE, f"{request.type} {wanted} price")
    if request.type.needs_trigger != (trigger is not None):
        wanted = "needs" if request.type.needs_trigger else "takes no"
        return fault("trigger_price", ReasonCode.BAD_TRIGGER, f"{request.type} {wanted} trigger price")
    if price is not None and (found := _check_price("price", price, instrument)):
        return found
    if trigger is not None and (found := _check_price("trigger_price", trigger, instrument)):
        return found
    if price is not None and trigger is not None and (price - trigger) * request.side.sign < 0:
        side = "at or above" if request.side is Side.BUY else "at or below"
        return fault("price", ReasonCode.BAD_TRIGGER, mend=f"The limit of an SL {request.side} lies {side} its trigger")
    return None


def _check_price(field: str, price: Paise, instrument: Instrument) -> Fault | None:
    if price <= 0:
        return fault(field, ReasonCode.BAD_PRICE, show_rupees(price))
    if not is_on_tick(price, instrument.tick_paise):
        tick = show_rupees(instrument.tick_paise)
        return fault(field, ReasonCode.BAD_TICK, f"{show_rupees(price)}, tick {tick}")
    low, high = instrument.lower_band_paise, instrument.upper_band_paise
    if (low is not None and price < low) or (high is not None and price > high):
        band = f"{show_rupees(low or 0)} to {show_rupees(high) if high is not None else 'none'}"
        return fault(field, ReasonCode.PRICE_BAND, f"{show_rupees(price)}, band {band}")
    return None


def _check_validity(request: OrderRequest) -> Fault | None:
    if request.validity is Validity.IOC and request.type in (OrderType.SL, OrderType.SL_M):
        return fault("validity", ReasonCode.INVALID, "a stop order cannot be IOC", "Use DAY for SL and SL_M")
    return None
