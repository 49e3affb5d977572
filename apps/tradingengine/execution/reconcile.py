"""From a broker's row to journal entries: what we do not know yet. Pure; live updates and recovery use the same."""

from tradingengine.brokers.port import BookRow, RowState
from tradingengine.domain.money import divide_half_even
from tradingengine.domain.orders import Order, OrderState
from tradingengine.domain.reasons import ReasonCode, reason
from tradingengine.execution import drafts
from tradingengine.execution.journal import Draft

_NOT_ACKNOWLEDGED = frozenset({OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN})


def changes(order: Order, known_fills: dict[str, int], value: int, row: BookRow, cancel_code: str) -> list[Draft]:
    """The entries that bring `order` to the broker's `row`; empty when nothing is new.

    `known_fills` (fill id -> units) and `value` (exact paise) are what the journal has; `cancel_code` says why we asked
    for a cancellation, if we did.
    """
    result: list[Draft] = []
    if row.state is not RowState.REJECTED and order.state in _NOT_ACKNOWLEDGED:
        result.append(drafts.acknowledged(order.id, row.broker_order_id))
    cumulative = order.filled_quantity
    for fill in row.fills:
        if fill.id in known_fills:
            continue
        cumulative += fill.quantity
        value += fill.quantity * fill.price_paise
        average = divide_half_even(value, cumulative)
        result.append(drafts.filled(order.id, fill, cumulative=cumulative, average_paise=average))
    if not order.state.terminal and cumulative < order.quantity:
        result.extend(_ending(order, row, cumulative, cancel_code))
    return result


def _ending(order: Order, row: BookRow, cumulative: int, cancel_code: str) -> list[Draft]:
    if row.state is RowState.FILLED and row.quantity <= cumulative:  # an exit that was cut to the position
        return [drafts.cancelled(order.id, reason(ReasonCode.EXCEEDS_POSITION))]
    if row.state is RowState.CANCELLED:
        why = row.reason or reason(ReasonCode.CANCELLED_BY_USER)
        if order.cancel_requested and why.code == ReasonCode.CANCELLED_BY_USER:
            why = reason(ReasonCode(cancel_code))
        return [drafts.cancelled(order.id, why)]
    if row.state is RowState.REJECTED:
        return [drafts.rejected(order.id, row.reason or reason(ReasonCode.BROKER_REJECTED))]
    if row.state is RowState.EXPIRED:
        return [drafts.expired(order.id, row.reason or reason(ReasonCode.RUN_ENDED))]
    return []
