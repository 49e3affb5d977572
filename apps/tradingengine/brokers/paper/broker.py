"""The paper broker: the same port, the same latencies and refusals as a real one, no money.

Placing waits a small, bounded, seeded latency on the way in; what is in the book then exists, whether or not the caller
hears of it. Quotes and the end of a session come in by `on_quotes` and `on_session_closed`, from the task that reads
the feed.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tradingengine.brokers.paper.book import PaperBook, Resting, trading_day
from tradingengine.brokers.paper.market import Market
from tradingengine.brokers.paper.matching import Liquidity, execution, protected_limit, triggers
from tradingengine.brokers.port import BookRow, BrokerError, Fill, NotSentError, OutcomeUnknownError, RowState
from tradingengine.domain.capabilities import CAPABILITIES, Capabilities, unsupported
from tradingengine.domain.orders import Order, OrderType, Validity
from tradingengine.domain.quotes import Quote
from tradingengine.domain.reasons import Reason, ReasonCode, reason
from tradingengine.storage.sqlite import SqliteFileError

T = TypeVar("T")
LATENCY_SECONDS: Final = 0.020
_JITTER: Final = 0.5
_MOST_UNHEARD: Final = 10_000


class PaperBroker:
    """One paper account. `latency` is the mean way to the exchange in seconds, varied by half, from `seed`."""

    def __init__(self, path: Path, market: Market, *, seed: int = 1, latency: float = LATENCY_SECONDS) -> None:
        """`path` is the book's file; nothing is opened before `start`."""
        self._book = PaperBook(path)
        self._market = market
        self._latency = latency
        self._random = random.Random(seed)  # noqa: S311 - a model of latency, not a secret
        self._resting: dict[str, Resting] = {}
        self._liquidity = Liquidity()
        self._unheard: dict[str, BookRow] = {}
        self._news = asyncio.Event()
        self._lock = asyncio.Lock()
        self._started = False

    @property
    def name(self) -> str:
        """`paper`."""
        return "paper"

    @property
    def state(self) -> str:
        """`connected` while the book can be written."""
        return "connected" if self._started and not self._book.failed else "down"

    @property
    def capabilities(self) -> Capabilities:
        """What paper can do in this version."""
        return CAPABILITIES["paper"]

    @property
    def visibility_seconds(self) -> float:
        """Longer than the longest way to the exchange."""
        return 0.05 + 2 * self._latency

    async def start(self) -> None:
        """Open the book and take up the orders that rest in it; those of another day expired while nobody was here.

        OutcomeUnknownError when the book cannot be used; it may be called again.
        """
        self._resting = {resting.row.tag: resting for resting in await _ask(self._book.open())}
        today = trading_day(self._market.now())
        stale = [item for item in self._resting.values() if item.day != today]
        await self._end(stale, RowState.EXPIRED, reason(ReasonCode.RUN_ENDED))
        self._started = True

    async def close(self) -> None:
        """Close the book; `updates` ends."""
        self._started = False
        self._news.set()
        await self._book.close()

    def abandon(self) -> None:
        """Drop everything as a killed process would."""
        self._started = False
        self._book.abandon()

    async def place(self, order: Order, tag: str) -> BookRow:
        """Take an order into the book after the latency, and match it at once against the quote."""
        self._check_started()
        if self._book.failed:
            raise NotSentError("the paper book cannot be written")
        if len(self._unheard) >= _MOST_UNHEARD:
            raise NotSentError(f"{len(self._unheard)} changes were not taken up")
        await self._travel()
        # Once it has arrived, the order is in the book whether or not the caller still waits.
        return await asyncio.shield(self._arrive(order, tag))

    async def _arrive(self, order: Order, tag: str) -> BookRow:
        async with self._lock:
            refusal = self._refusal(order)
            resting = await self._enter(order, tag, refusal)
            if resting is None:
                raise OutcomeUnknownError(f"the book holds tag {tag} already")
            if refusal is None:
                self._resting[tag] = resting
                resting = await self._work(resting)
            return resting.row

    async def cancel(self, tag: str) -> BookRow:
        """Cancel what is not filled; the row afterwards."""
        self._check_started()
        await self._travel()
        return await asyncio.shield(self._cancel(tag))

    async def _cancel(self, tag: str) -> BookRow:
        async with self._lock:
            resting = self._resting.get(tag)
            if resting is None:
                row = await _ask(self._book.by_tag(tag))
                if row is None:
                    raise BrokerError(f"the paper book has no order with tag {tag}")
                return row
            (ended,) = await self._end([resting], RowState.CANCELLED, reason(ReasonCode.CANCELLED_BY_USER))
            return ended.row

    async def by_tag(self, tag: str) -> BookRow | None:
        """The book's row, or None when the order never arrived."""
        self._check_started()
        async with self._lock:
            return await _ask(self._book.by_tag(tag))

    async def book(self) -> list[BookRow]:
        """All rows of the market's current day, and all that are open."""
        self._check_started()
        async with self._lock:
            return await _ask(self._book.rows(trading_day(self._market.now())))

    async def updates(self) -> AsyncIterator[BookRow]:
        """Rows as they change; of one that changed again before it was taken, the latest alone, which says it all."""
        while True:
            if not self._unheard:
                await self._news.wait()
            self._news.clear()
            while self._unheard:  # one by one: what a consumer that stumbles has not seen stays for the next
                yield self._unheard.pop(next(iter(self._unheard)))
            if not self._started:
                return

    def take_updates(self) -> list[BookRow]:
        """What has changed and was not taken yet."""
        self._news.clear()
        rows = list(self._unheard.values())
        self._unheard.clear()
        return rows

    @property
    def unheard(self) -> int:
        """Orders with changes that nobody has taken; at the limit new orders are refused."""
        return len(self._unheard)

    async def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """Prices moved: work on what rests there, against each quote in its turn, so that no trigger is missed."""
        if self._started and self._resting:
            # Whoever stops waiting for it does not leave file and memory apart.
            await asyncio.shield(self._take_quotes(quotes))

    async def _take_quotes(self, quotes: Sequence[Quote]) -> None:
        async with self._lock:
            symbols = {item.row.symbol for item in self._resting.values()}
            changed: dict[str, Resting] = {}
            for quote in quotes:
                if quote.symbol not in symbols or not self._market.is_open(quote.symbol):
                    continue
                for resting in self._by_age(quote.symbol):
                    item = changed.get(resting.row.tag, resting)
                    after = item if item.row.state.terminal else self._match(item, quote)
                    if after != resting:
                        changed[resting.row.tag] = after
            await self._publish(list(changed.values()))

    async def on_session_closed(self) -> list[BookRow]:
        """Trading is over for the day: DAY orders expire; their rows."""
        if not self._started:
            return []
        return await asyncio.shield(self._close_session())

    async def _close_session(self) -> list[BookRow]:
        async with self._lock:
            over = await self._end(list(self._resting.values()), RowState.EXPIRED, reason(ReasonCode.RUN_ENDED))
            return [item.row for item in over]

    def _by_age(self, symbol: str) -> list[Resting]:
        here = [item for item in self._resting.values() if item.row.symbol == symbol]
        return sorted(here, key=lambda item: item.row.broker_order_id)

    def _check_started(self) -> None:
        if not self._started:
            raise NotSentError("the paper broker is not running")

    async def _travel(self) -> None:
        if self._latency > 0:
            await asyncio.sleep(self._latency * (1 + self._random.uniform(-_JITTER, _JITTER)))
        self._check_started()

    def _refusal(self, order: Order) -> Reason | None:
        if (missing := unsupported(order)) is not None:
            return missing.reason()
        if self._market.instrument(order.symbol) is None:
            return reason(ReasonCode.UNKNOWN_INSTRUMENT, order.symbol)
        if not self._market.is_open(order.symbol):
            return reason(ReasonCode.SESSION_CLOSED)
        return None

    async def _enter(self, order: Order, tag: str, refusal: Reason | None) -> Resting | None:
        now = self._market.now()
        number = await _ask(self._book.next_number())
        row = BookRow(
            tag=tag,
            broker_order_id=f"P{number:012d}",
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            type=order.type,
            product=order.product,
            validity=order.validity,
            price_paise=order.price_paise,
            trigger_price_paise=order.trigger_price_paise,
            account=order.account,
            state=_first_state(order.type) if refusal is None else RowState.REJECTED,
            reason=refusal,
            placed_at=now,
        )
        resting = Resting(row, order.price_paise, not order.type.needs_trigger, trading_day(now))
        entered = await _ask(self._book.insert(resting))
        return resting if entered else None

    async def _work(self, item: Resting) -> Resting:
        """Match a new order against the present quote; durable before anybody hears of it.

        Without a quote it rests until one comes: the gate has let through only what reduces.
        """
        quote = self._market.quote(item.row.symbol)
        if quote is None and item.row.validity is Validity.IOC:
            (ended,) = await self._end([item], RowState.CANCELLED, reason(ReasonCode.IOC_UNFILLED))
            return ended
        after = item if quote is None else self._match(item, quote)
        if after != item:
            await self._publish([after])
        return after

    def _match(self, item: Resting, quote: Quote) -> Resting:
        """The order after a quote, equal to `item` when nothing happened; memory changes in `_publish` alone."""
        row, limit, triggered = item.row, item.limit, item.triggered
        if not triggered and triggers(row.type, row.side, row.trigger_price_paise, quote):
            triggered = True
            row = msgspec.structs.replace(row, state=RowState.OPEN)
        instrument = self._market.instrument(row.symbol)
        if triggered and limit is None and instrument is not None:
            limit = protected_limit(quote, row.side, instrument)
        if triggered and limit is not None:
            available = self._liquidity.available(quote, row.side)
            traded = execution(row.side, limit, row.quantity - row.filled, quote, available)
            if traded is not None:
                self._liquidity.take(quote, row.side, traded[0])
                row = _with_fill(row, *traded, self._market.now())
        if row.validity is Validity.IOC and not row.state.terminal:
            row = _ended(row, RowState.CANCELLED, reason(ReasonCode.IOC_UNFILLED))
        return Resting(row=row, limit=limit, triggered=triggered, day=item.day)

    async def _end(self, items: list[Resting], state: RowState, why: Reason) -> list[Resting]:
        ended = [msgspec.structs.replace(item, row=_ended(item.row, state, why)) for item in items]
        await self._publish(ended)
        return ended

    async def _publish(self, changed: list[Resting]) -> None:
        """Write, and only then put in place and tell: a write that fails leaves memory as the file is."""
        await _ask(self._book.save(changed))
        for item in changed:
            if item.row.state.terminal:
                self._resting.pop(item.row.tag, None)
            else:
                self._resting[item.row.tag] = item
            self._unheard[item.row.tag] = item.row
        self._news.set()


async def _ask(answer: Awaitable[T]) -> T:
    """A book that cannot be read or written is a broker that does not answer."""
    try:
        return await answer
    except SqliteFileError as error:
        raise OutcomeUnknownError(error.detail, mend=error.mend) from error


def _first_state(kind: OrderType) -> RowState:
    return RowState.TRIGGER_PENDING if kind.needs_trigger else RowState.OPEN


def _ended(row: BookRow, state: RowState, why: Reason) -> BookRow:
    return msgspec.structs.replace(row, state=state, reason=why)


def _with_fill(row: BookRow, units: int, price: int, at: datetime) -> BookRow:
    fill = Fill(f"{row.broker_order_id}-{len(row.fills) + 1}", units, price, at)
    fills = (*row.fills, fill)
    state = RowState.FILLED if row.filled + units == row.quantity else row.state
    return msgspec.structs.replace(row, fills=fills, state=state)
