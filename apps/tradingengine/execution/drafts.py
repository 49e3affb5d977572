"""Journal drafts of order steps: the one place where the data of each event type are put together."""

from typing import Any

import msgspec

from tradingengine.brokers.port import Fill
from tradingengine.domain.ids import broker_tag
from tradingengine.domain.orders import Order, TradingState
from tradingengine.domain.reasons import Reason
from tradingengine.execution.journal import Draft


def _why(why: Reason | None) -> dict[str, Any]:
    return {} if why is None else {"code": why.code, "message": why.message, "mend": why.mend}


def intent(order: Order) -> Draft:
    """The whole order, before anything is done with it."""
    return Draft("order.intent", msgspec.to_builtins(order), order.id)


def sent(order: Order, quantity: int) -> Draft:
    """Written before the first byte goes to the broker; `quantity` units of the order are sent."""
    return Draft("order.sent", {"tag": broker_tag(order.id), "quantity": quantity}, order.id)


def acknowledged(order_id: str, broker_order_id: str) -> Draft:
    """The broker's book holds the order."""
    return Draft("order.acknowledged", {"broker_order_id": broker_order_id}, order_id)


def rejected(order_id: str, why: Reason) -> Draft:
    """Refused by gate, broker or exchange."""
    return Draft("order.rejected", _why(why), order_id)


def expired(order_id: str, why: Reason) -> Draft:
    """Too late to be sent, or its validity ended."""
    return Draft("order.expired", _why(why), order_id)


def cancelled(order_id: str, why: Reason) -> Draft:
    """What was not filled is gone."""
    return Draft("order.cancelled", _why(why), order_id)


def unknown(order_id: str, message: str) -> Draft:
    """Sent, and nobody knows yet whether it arrived."""
    return Draft("order.unknown", {"message": message}, order_id)


def dry_run(order: Order, verdict: Reason | None) -> Draft:
    """Where a dry run stops: what the gate would have said."""
    return Draft("order.dry_run", {"verdict": "accepted" if verdict is None else "refused", **_why(verdict)}, order.id)


def filled(order_id: str, fill: Fill, *, cumulative: int, average_paise: int) -> Draft:
    """One execution; cumulative units and mean price (paise) after it."""
    data = {
        "fill_id": fill.id,
        "quantity": fill.quantity,
        "price_paise": fill.price_paise,
        "cumulative": cumulative,
        "average_paise": average_paise,
    }
    return Draft("order.filled", data, order_id)


def cancel_requested(order_id: str, *, by: str, code: str) -> Draft:
    """Somebody wants the order gone; `code` becomes the reason once it is."""
    return Draft("order.cancel_requested", {"by": by, "code": code}, order_id)


def command_done(command_id: str | None, kind: str, result: str, **more: Any) -> Draft:
    """The end of a command that is not an order: cancel, halt, release, or one that could not be read."""
    return Draft("command.done", {"kind": kind, "result": result, **more}, command_id)


def trading_state(state: TradingState, *, why: str, by: str, command_id: str, halt: str) -> Draft:
    """The gate's state; `command_id` is the halt's or the release's, `halt` the halt that begins or ends."""
    return Draft("trading.state", {"state": str(state), "reason": why, "by": by, "halt": halt}, command_id)
