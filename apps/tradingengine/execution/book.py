"""The edge's order book in memory: what the journal says, and nothing else.

`apply` is the only way in, for replay at the start and for every new entry; so a restart shows what was shown before.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tradingengine.domain.clock import parse_rfc3339
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import broker_tag
from tradingengine.domain.orders import Order, OrderState, Purpose, TradingState, apply_event
from tradingengine.domain.positions import Position, PositionKey, apply_fill, key_of
from tradingengine.domain.reasons import ReasonCode
from tradingengine.domain.risk import AccountingDay, accounting_day
from tradingengine.execution.journal import Entry

log = logging.getLogger(__name__)

_MOST_ENDED: Final = 20_000
_MOST_COMMANDS: Final = 50_000


class Halt(msgspec.Struct, frozen=True):
    """The halt that holds: its command's id, who asked, when (RFC 3339)."""

    id: str
    by: str
    at: str


class OrderBook:
    """Orders, fills, positions and the trading state, rebuilt from the journal."""

    def __init__(self) -> None:
        """Empty, ACTIVE."""
        self.orders: dict[str, Order] = {}
        self.positions: dict[PositionKey, Position] = {}
        self.days: dict[PositionKey, AccountingDay] = {}
        self.trading_state = TradingState.ACTIVE
        self.trading_reason = ""
        self.halt: Halt | None = None
        self.unfinished_halts: dict[str, None] = {}
        self.illegal = 0
        self.oldest_ms = 0
        self._open: dict[str, Order] = {}
        self._fills: dict[str, dict[str, int]] = {}
        self._values: dict[str, int] = {}
        self._cancel_codes: dict[str, str] = {}
        self._cut: dict[str, int] = {}
        self._commands: OrderedDict[str, None] = OrderedDict()
        self._cancelled_ahead: OrderedDict[str, None] = OrderedDict()
        self._timeline: dict[str, list[dict[str, Any]]] = {}

    def become(self, other: "OrderBook") -> None:
        """Hold what `other` holds, in place of what was here."""
        self.__dict__.update(other.__dict__)

    def apply(self, entry: Entry) -> Order | None:
        """Take one journal entry; the order it changed, None when it changed none.

        An entry that cannot follow is counted in `illegal` and logged: the journal keeps it, the order stays as it was.
        """
        if entry.type == "order.intent":
            return self._begin(entry)
        if entry.type.startswith("order."):
            return self._change(entry)
        if entry.type == "trading.state":
            self._set_trading(entry)
        elif entry.type == "command.done":
            self._end_command(entry)
        return None

    def _begin(self, entry: Entry) -> Order | None:
        order = msgspec.convert(entry.data, Order)
        if order.id in self.orders:
            return None
        self._put(order)
        self._note(entry, order)
        self._forget_ended()
        return order

    def _change(self, entry: Entry) -> Order | None:
        order = self.orders.get(entry.id or "")
        if order is None:
            return None
        try:
            changed = apply_event(order, entry.type, entry.data, parse_rfc3339(entry.at))
        except DomainError as error:
            self.illegal += 1
            log.warning("journal entry does not fit its order", extra={"seq": entry.seq, "problem": str(error)})
            return None
        if entry.type == "order.filled" and changed is not order:
            self._fill(changed, entry)
        if entry.type == "order.sent":
            self._cut[order.id] = order.quantity - int(entry.data.get("quantity", order.quantity))
        if entry.type == "order.cancel_requested":
            self._cancel_codes[order.id] = str(entry.data.get("code") or ReasonCode.CANCELLED_BY_USER)
        self._put(changed)
        self._note(entry, changed)
        return changed

    def _put(self, order: Order) -> None:
        self.orders[order.id] = order
        if order.state.terminal:
            self._open.pop(order.id, None)
        else:
            self._open[order.id] = order

    def _fill(self, order: Order, entry: Entry) -> None:
        data = entry.data
        quantity, price = int(data["quantity"]), int(data["price_paise"])
        self._fills.setdefault(order.id, {})[str(data["fill_id"])] = quantity
        self._values[order.id] = self._values.get(order.id, 0) + quantity * price
        key = key_of(order)
        position = self.positions.get(key) or Position(key=key)
        at = parse_rfc3339(entry.market_time or entry.at)
        self.days[key] = accounting_day(self.days.get(key), position.realised_paise, at, entry.run)
        self.positions[key] = apply_fill(position, order.side, quantity, price)

    def _set_trading(self, entry: Entry) -> None:
        self.trading_state = TradingState(entry.data["state"])
        self.trading_reason = str(entry.data.get("reason") or "")
        halted = self.trading_state is TradingState.HALTED
        self.halt = Halt(entry.id or "", str(entry.data.get("by") or ""), entry.at) if halted else None
        if halted and entry.id is not None:
            # From now on the same command is known: a halt that was released must not come back with it.
            _remember(self._commands, entry.id)
            self.unfinished_halts[entry.id] = None

    def _note(self, entry: Entry, order: Order) -> None:
        step: dict[str, Any] = {"state": str(order.state), "event": entry.type, "at": entry.at}
        for name in ("quantity", "price_paise", "code"):
            if name in entry.data and entry.type != "order.intent":
                step[name] = entry.data[name]
        self._timeline.setdefault(order.id, []).append(step)

    def _end_command(self, entry: Entry) -> None:
        if entry.id is not None:
            _remember(self._commands, entry.id)
            self.unfinished_halts.pop(entry.id, None)
        if entry.data.get("result") == "unknown_order" and entry.data.get("target"):
            self.cancel_ahead(str(entry.data["target"]))

    def cancel_ahead(self, order_id: str) -> None:
        """Remember the cancel of an order that has not come yet: it travels on a stream that is read first."""
        _remember(self._cancelled_ahead, order_id)

    def is_cancelled_ahead(self, order_id: str) -> bool:
        """Whether an order was cancelled before it came."""
        return order_id in self._cancelled_ahead

    def _forget_ended(self) -> None:
        if len(self.orders) - len(self._open) <= _MOST_ENDED:
            return
        oldest = next(order_id for order_id, order in self.orders.items() if order.state.terminal)
        for table in (self.orders, self._fills, self._values, self._cancel_codes, self._cut, self._timeline):
            table.pop(oldest, None)

    def knows(self, command_id: str) -> bool:
        """Whether an order or a finished command of that id is in memory (older ones are in the journal alone)."""
        return command_id in self.orders or command_id in self._commands

    @property
    def complete(self) -> bool:
        """Whether memory still holds every command and order, so that `knows` is the whole answer."""
        return len(self.orders) - len(self._open) < _MOST_ENDED and len(self._commands) < _MOST_COMMANDS

    def open_orders(self) -> list[Order]:
        """Orders that may still change, oldest first."""
        return list(self._open.values())

    def working(self, order: Order) -> int:
        """Units of an order that may still fill: less than what remains when it was cut to its position."""
        return order.remaining - self._cut.get(order.id, 0)

    def adding_risk(self) -> list[Order]:
        """Open entries, and other open orders beyond what their position would take, the oldest being taken first."""
        left = {key: position.quantity for key, position in self.positions.items()}
        found = []
        for order in self._open.values():
            key, sign, units = key_of(order), order.side.sign, self.working(order)
            if order.purpose is not Purpose.ENTRY and 0 < units <= -left.get(key, 0) * sign:
                left[key] += units * sign
            else:
                found.append(order)
        return found

    def fills_of(self, order_id: str) -> dict[str, int]:
        """Fill id -> units of what is journalled of an order."""
        return self._fills.get(order_id, {})

    def value_of(self, order_id: str) -> int:
        """Exact sum of price times units of an order's fills, paise."""
        return self._values.get(order_id, 0)

    def cancel_code(self, order_id: str) -> str:
        """Why the order was asked to go."""
        return self._cancel_codes.get(order_id, str(ReasonCode.CANCELLED_BY_USER))

    def timeline(self, order_id: str) -> list[dict[str, Any]]:
        """The steps of an order, oldest first."""
        return self._timeline.get(order_id, [])

    def by_tag(self, tag: str) -> Order | None:
        """The open order of a broker tag."""
        return next((order for order in self._open.values() if broker_tag(order.id) == tag), None)

    def unknown_symbols(self) -> set[str]:
        """Symbols with an order whose outcome nobody knows."""
        return {order.symbol for order in self._open.values() if order.state is OrderState.UNKNOWN}

    def latest(self, limit: int) -> Iterator[Order]:
        """The newest orders first."""
        for order_id in list(reversed(self.orders))[:limit]:
            yield self.orders[order_id]

    @property
    def flat(self) -> bool:
        """No position and nothing open."""
        return not self._open and all(position.quantity == 0 for position in self.positions.values())


def _remember(ids: OrderedDict[str, None], new: str) -> None:
    ids[new] = None
    if len(ids) > _MOST_COMMANDS:
        ids.popitem(last=False)
