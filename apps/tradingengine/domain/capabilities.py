"""What each broker adapter can do in this version; api and edge refuse the rest by the same table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tradingengine.domain.money import show_count
from tradingengine.domain.orders import OrderRequest, OrderType, Product, Purpose, Validity
from tradingengine.domain.positions import Position, reduces
from tradingengine.domain.reasons import Fault, ReasonCode, fault


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The values that an adapter takes; `reducing_only` are purposes that may not open or turn round a position."""

    types: frozenset[OrderType]
    products: frozenset[Product]
    validities: frozenset[Validity]
    purposes: frozenset[Purpose]
    reducing_only: frozenset[Purpose]
    disclosed_quantity: bool
    amo: bool
    slices: bool
    linked: bool


CAPABILITIES: Final[Mapping[str, Capabilities]] = MappingProxyType(
    {
        "paper": Capabilities(
            types=frozenset(OrderType),
            products=frozenset({Product.CNC, Product.MIS, Product.NRML}),
            validities=frozenset(Validity),
            purposes=frozenset({Purpose.ENTRY, Purpose.STOP, Purpose.TARGET, Purpose.EXIT}),
            reducing_only=frozenset({Purpose.STOP, Purpose.TARGET, Purpose.EXIT}),
            disclosed_quantity=False,
            amo=False,
            slices=False,
            linked=False,
        )
    }
)
"""Broker name -> what it can do."""


def unsupported(request: OrderRequest) -> Fault | None:
    """The first thing of an order that its broker cannot do in this version, None when it can do all."""
    able = CAPABILITIES.get(request.broker)
    if able is None:
        known = ", ".join(sorted(CAPABILITIES))
        return fault("broker", ReasonCode.NOT_SUPPORTED_YET, f"broker {request.broker!r}", f"Use one of: {known}")
    refused: tuple[tuple[str, bool, str], ...] = (
        ("type", request.type not in able.types, str(request.type)),
        ("product", request.product not in able.products, str(request.product)),
        ("validity", request.validity not in able.validities, str(request.validity)),
        ("purpose", request.purpose not in able.purposes, str(request.purpose)),
        ("disclosed_quantity", request.disclosed_quantity != 0 and not able.disclosed_quantity, "disclosed quantity"),
        ("amo", request.amo and not able.amo, "after-market orders"),
        ("slice", request.slice != 0 and not able.slices, "sliced orders"),
        ("parent_id", request.parent_id is not None and not able.linked, "orders linked to a parent"),
        ("group_id", request.group_id is not None and not able.linked, "order groups"),
    )
    for name, is_refused, what in refused:
        if is_refused:
            return fault(name, ReasonCode.NOT_SUPPORTED_YET, f"{what} at broker {request.broker!r}")
    return None


def adds_risk(request: OrderRequest, position: Position | None) -> Fault | None:
    """The fault of an order whose purpose is to reduce, and which does not reduce `position` (None: there is none).

    Halts let such purposes through, so they must be what they say. An exit of more than there is will be cut at the
    edge; a stop or target of more would turn the position round.
    """
    able = CAPABILITIES.get(request.broker)
    if able is None or request.purpose not in able.reducing_only:
        return None
    quantity = 1 if request.purpose is Purpose.EXIT else request.quantity
    if reduces(position, request.side, quantity):
        return None
    held = position.quantity if position is not None else 0
    code = ReasonCode.NO_POSITION if held * request.side.sign >= 0 else ReasonCode.EXCEEDS_POSITION
    detail = f"{request.purpose} {request.side} {show_count(request.quantity)}, position {show_count(held)}"
    return fault("purpose", code, detail, "Use purpose ENTRY for what opens a position, or at most its quantity")
