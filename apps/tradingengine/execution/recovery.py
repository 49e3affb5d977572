"""After a start, and after every unknown outcome: ask the broker's book, never the journal alone, and never resend."""

import asyncio
import logging
import time
from typing import Final

import msgspec

from tradingengine.brokers.port import BookRow, Broker, BrokerError
from tradingengine.domain.clock import WallClock
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import broker_tag, id_of_tag
from tradingengine.domain.orders import Order, OrderState, Purpose
from tradingengine.domain.reasons import ReasonCode, reason
from tradingengine.execution import drafts
from tradingengine.execution.book import OrderBook
from tradingengine.execution.journal import Draft, Journal
from tradingengine.execution.record import Recorder
from tradingengine.execution.router import BROKER_TIMEOUT, Router
from tradingengine.storage.sqlite import SqliteFailedError

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_AT_ONCE: Final = 8
_MOST_QUEUED: Final = 10_000
_PATIENCE: Final = 30.0


class RecoveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker said at the start: orders asked for, found, missing there, and adopted from its book."""

    asked: int
    found: int
    missing: int
    adopted: int


class Recovery:
    """Brings the book to what the broker says."""

    def __init__(
        self,
        *,
        journal: Journal,
        recorder: Recorder,
        book: OrderBook,
        broker: Broker,
        router: Router,
        wall: WallClock,
    ) -> None:
        """Nothing is asked before `run` or `watch`."""
        self._journal = journal
        self._record = recorder.record
        self._book = book
        self._broker = broker
        self._router = router
        self._wall = wall
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()

    def resolve(self, order_id: str) -> None:
        """Have an order of unknown outcome looked up; returns at once. Asking again while it waits changes nothing.

        Beyond the queue's limit it does nothing: whoever watches for stuck orders asks again.
        """
        if order_id not in self._queued and len(self._queued) < _MOST_QUEUED:
            self._queued.add(order_id)
            self._queue.put_nowait(order_id)

    async def run(self) -> RecoveryReport:
        """Reconcile everything once, however long the broker takes to answer; then journal the result."""
        open_orders = self._book.open_orders()
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def settle(order: Order) -> bool:
            async with at_once:
                return await self.settle(order.id)

        answers = await asyncio.gather(*(settle(order) for order in open_orders))
        found, asked = sum(answers), len(answers)
        adopted = await self._read_book()
        report = RecoveryReport(asked=asked, found=found, missing=asked - found, adopted=adopted)
        await self._record(Draft("edge.recovered", msgspec.to_builtins(report)))
        return report

    @property
    def waiting(self) -> int:
        """Orders that wait to be looked up, or are just being."""
        return len(self._queued)

    async def settle(self, order_id: str, *, patience: float | None = None) -> bool:
        """Ask the broker until the outcome of one order is known; False when it never arrived there.

        TimeoutError when the broker gave no answer for `patience` seconds.
        """
        order = self._book.orders[order_id]
        if order.state is OrderState.INTENT:
            # Nothing was sent: SEND_ATTEMPT is durable before the first byte leaves.
            await self._record(drafts.expired(order_id, reason(ReasonCode.EXPIRED)))
            return False
        async with asyncio.timeout(patience):
            row = await self._persistently(order)
        if row is not None:
            await self._router.on_row(row, order_id)
            await self._finish_cancel(order_id)
            return True
        if not self._book.orders[order_id].state.terminal:
            await self._record(drafts.rejected(order_id, reason(ReasonCode.NOT_AT_BROKER)))
        return False

    async def _persistently(self, order: Order) -> BookRow | None:
        """The broker's row. Its absence counts only when it was absent twice, longer apart than a row may hide."""
        tag, pause = broker_tag(order.id), _FIRST_PAUSE
        absent_since: float | None = None
        while True:
            try:
                async with asyncio.timeout(BROKER_TIMEOUT):
                    row = await self._broker.by_tag(tag)
            except (BrokerError, TimeoutError, OSError) as error:
                log.warning("the broker does not answer for a tag", extra={"order_id": order.id, "problem": str(error)})
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if row is not None:
                return row
            now = time.monotonic()
            if absent_since is not None and now - absent_since >= 2 * self._broker.visibility_seconds:
                return None
            absent_since = now if absent_since is None else absent_since
            await asyncio.sleep(max(2 * self._broker.visibility_seconds, 0.001))

    async def _finish_cancel(self, order_id: str) -> None:
        order = self._book.orders[order_id]
        if order.cancel_requested and not order.state.terminal:
            await self._router.cancel(order_id, by="recovery", code=ReasonCode(self._book.cancel_code(order_id)))

    async def _read_book(self) -> int:
        """Late fills of ended orders, and orders of ours that the journal does not know (it lost its disk)."""
        adopted = 0
        for row in await self._patiently_book():
            try:
                order_id = id_of_tag(row.tag)
            except DomainError:
                continue  # somebody else's order in the same account
            if order_id not in self._book.orders and not await self._was_journalled(order_id):
                order = _adopted(order_id, row, self._wall)
                await self._record(drafts.intent(order), drafts.sent(order, row.quantity))
                adopted += 1
            await self._router.on_row(row, order_id)
        return adopted

    async def _was_journalled(self, order_id: str) -> bool:
        """Whether the journal has an order that memory has forgotten; a failed one is not asked, and adopts nothing."""
        try:
            return await self._journal.contains(order_id)
        except SqliteFailedError:
            return True

    async def _patiently_book(self) -> list[BookRow]:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(BROKER_TIMEOUT):
                    return await self._broker.book()
            except (BrokerError, TimeoutError, OSError) as error:
                log.warning("the broker does not show its book", extra={"problem": str(error)})
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def watch(self) -> None:
        """Settle orders whose outcome became unknown, a few at a time, until cancelled.

        One that the broker does not answer for goes to the end of the queue, so that it never holds up the others.
        """
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_ONCE):
                workers.create_task(self._settle_queued())

    async def _settle_queued(self) -> None:
        while True:
            order_id = await self._queue.get()
            again = False
            try:
                order = self._book.orders.get(order_id)
                if order is not None and not order.state.terminal:
                    await self.settle(order_id, patience=_PATIENCE)
            except TimeoutError:
                again = True
            finally:
                self._queued.discard(order_id)
            if again:
                self.resolve(order_id)


def _adopted(order_id: str, row: BookRow, wall: WallClock) -> Order:
    now = wall.now()
    return Order(
        id=order_id,
        symbol=row.symbol,
        side=row.side,
        quantity=row.quantity,
        type=row.type,
        price_paise=row.price_paise,
        trigger_price_paise=row.trigger_price_paise,
        product=row.product,
        validity=row.validity,
        purpose=Purpose.ADOPTED,
        account=row.account,
        created_at=now,
        updated_at=now,
        market_time=row.placed_at,
    )
