"""The port that every broker adapter implements.

A broker's book is the truth about what it holds. Each answer and each update is a whole `BookRow`, with all its fills,
so that a lost, doubled or late update is healed by the next one, and recovery reads the same thing as the live stream.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from tradingengine.domain.capabilities import Capabilities
from tradingengine.domain.money import Paise
from tradingengine.domain.orders import Order, OrderType, Product, Side, Validity
from tradingengine.domain.reasons import Reason
from tradingengine.errors import TradingEngineError


class BrokerError(TradingEngineError):
    """Root of what an adapter raises."""

    code = "broker"
    title = "The broker did not do as asked"


class OutcomeUnknownError(BrokerError):
    """The request may or may not have arrived: ask the book by tag, never send again."""

    code = "broker_outcome_unknown"


class NotSentError(BrokerError):
    """The request certainly did not leave (refused connection, local refusal)."""

    code = "broker_not_sent"


class RowState(StrEnum):
    """State of an order in a broker's book."""

    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def terminal(self) -> bool:
        """Whether the order is over at the broker."""
        return self not in (RowState.OPEN, RowState.TRIGGER_PENDING)


class Fill(msgspec.Struct, frozen=True):
    """One execution: units at paise each; `id` is unique in the broker's book, `at` is market time."""

    id: str
    quantity: int
    price_paise: Paise
    at: datetime


class BookRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order as the broker knows it, with all its fills in the order in which they happened."""

    tag: str
    broker_order_id: str
    symbol: str
    side: Side
    quantity: int
    type: OrderType
    product: Product
    validity: Validity
    price_paise: Paise | None
    trigger_price_paise: Paise | None
    account: str
    state: RowState
    fills: tuple[Fill, ...] = ()
    reason: Reason | None = None
    placed_at: datetime

    @property
    def filled(self) -> int:
        """Units filled so far."""
        return sum(fill.quantity for fill in self.fills)


class Broker(Protocol):
    """One account at one broker."""

    @property
    def name(self) -> str:
        """The name in the engine's resource, e.g. `paper`."""
        ...

    @property
    def state(self) -> str:
        """`connected` or `down`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do in this version."""
        ...

    @property
    def visibility_seconds(self) -> float:
        """How long an order that arrived may be missing from the book's answers."""
        ...

    async def start(self) -> None:
        """Connect; BrokerError when that is impossible."""
        ...

    async def close(self) -> None:
        """Disconnect; what is open stays open at the broker."""
        ...

    async def place(self, order: Order, tag: str) -> BookRow:
        """Send a new order once. The row may already be REJECTED.

        Raises OutcomeUnknownError when it may have arrived, NotSentError when it surely did not.
        """
        ...

    async def cancel(self, tag: str) -> BookRow:
        """Ask for the cancellation of an open order; the row afterwards (a fill may have come first).

        Raises OutcomeUnknownError, NotSentError, or BrokerError when the book has no such order.
        """
        ...

    async def by_tag(self, tag: str) -> BookRow | None:
        """The book's row for a tag, None when it surely has none; OutcomeUnknownError when it does not answer."""
        ...

    async def book(self) -> list[BookRow]:
        """All rows of the current day and all that are open; OutcomeUnknownError when it does not answer."""
        ...

    def updates(self) -> AsyncIterator[BookRow]:
        """Rows as they change, for one consumer, until `close`."""
        ...
