"""From a body to an order."""

from typing import Any

import pytest
from tradingengine.api.orders.schemas import NewOrder
from tradingengine.api.orders.service import check, request_hash, to_request
from tradingengine.api.problems import OrderRefusedError
from tradingengine.domain.ids import new_id
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.domain.orders import OrderType, Product
from tradingengine.errors import InvalidInputError

pytestmark = pytest.mark.unit


def body(**changes: Any) -> NewOrder:
    """A limit order."""
    return NewOrder(**{"symbol": "NSE:X", "side": "BUY", "quantity": 10, "price": "100.05", **changes})


def instrument(kind: InstrumentKind = InstrumentKind.EQUITY) -> Instrument:
    """Something with a tick of 0.05."""
    segment = Segment.NSE_EQ if kind is InstrumentKind.EQUITY else Segment.NSE_FO
    return Instrument(symbol="NSE:X", exchange="NSE", segment=segment, name="X", kind=kind)


def test_money_becomes_paise_and_the_broker_is_the_engines() -> None:
    parent = new_id()
    request = to_request(body(type="SL", trigger_price="100", parent_id=parent), "paper")
    assert (request.price_paise, request.trigger_price_paise, request.broker) == (10_005, 10_000, "paper")
    assert (request.type, request.parent_id) == (OrderType.SL, parent)
    assert to_request(body(broker="other"), "paper").broker == "other"


@pytest.mark.parametrize("name", ["stop", "target"])
def test_what_cannot_be_done_yet_is_named(name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        to_request(body(**{name: "1"}), "paper")
    assert refused.value.field == name


@pytest.mark.parametrize(
    ("product", "kind", "right"),
    [
        ("CNC", InstrumentKind.EQUITY, True),
        ("MIS", InstrumentKind.EQUITY, True),
        ("NRML", InstrumentKind.EQUITY, False),
        ("CNC", InstrumentKind.OPTION, False),
        ("NRML", InstrumentKind.FUTURE, True),
        ("MIS", InstrumentKind.FUTURE, True),
    ],
)
def test_products_fit_their_segment(product: str, kind: InstrumentKind, right: bool) -> None:
    request = to_request(body(product=product), "paper")
    assert request.product is Product(product)
    if right:
        check(request, instrument(kind))
    else:
        with pytest.raises(OrderRefusedError) as refused:
            check(request, instrument(kind))
        assert refused.value.problem()["type"] == "/problems/not_supported_yet"


def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(OrderRefusedError) as refused:
        check(to_request(body(), "paper"), None)
    assert refused.value.problem()["type"] == "/problems/unknown_instrument"


def test_a_key_stands_for_operation_and_body() -> None:
    assert request_hash("order", {"a": 1, "b": 2}) == request_hash("order", {"b": 2, "a": 1})
    assert len({request_hash("order", {"a": 1}), request_hash("exit", {"a": 1}), request_hash("order", {"a": 2})}) == 3
