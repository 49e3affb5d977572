"""The way of an order: expiry, gate, journal, broker, journal. And the way back: what the broker says, journalled.

The journal is written before the first byte goes to the broker, so after a crash the broker can be asked about
everything that may have been sent. An order is placed once, cancels may be repeated. Once the journal has failed, only
what reduces risk is sent, with memory in the journal's place; the next start finds it in the broker's book.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from tradingengine.brokers.port import BookRow, Broker, BrokerError, NotSentError, OutcomeUnknownError
from tradingengine.domain.clock import WallClock
from tradingengine.domain.ids import broker_tag
from tradingengine.domain.orders import Order, OrderState, Purpose
from tradingengine.domain.reasons import Reason, ReasonCode, reason
from tradingengine.execution import drafts
from tradingengine.execution.book import OrderBook
from tradingengine.execution.gate import Gate, is_late
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.execution.reconcile import changes
from tradingengine.execution.record import Recorder

log = logging.getLogger(__name__)

BROKER_TIMEOUT: Final = 5.0
_CANCEL_ATTEMPTS: Final = 5
_CANCEL_PAUSE: Final = 0.5
_RESTING: Final = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED})


class CancelOutcome(msgspec.Struct, frozen=True):
    """What became of a cancellation: `result` is cancelled, ended, unknown_order or unconfirmed."""

    result: str
    state: str
    message: str = ""


class Router:
    """Places and cancels orders at one broker."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        book: OrderBook,
        gate: Gate,
        broker: Broker,
        wall: WallClock,
        metrics: EdgeMetrics,
    ) -> None:
        """`resolve` is called with an order id whenever an outcome is unknown; the owner sets it."""
        self._record = recorder.record
        self._book = book
        self._gate = gate
        self._broker = broker
        self._wall = wall
        self._metrics = metrics
        self._in_flight: dict[str, Order] = {}
        self._passed: dict[str, Order] = {}
        self._landed: dict[str, asyncio.Event] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.resolve: Callable[[str], None] = lambda order_id: None

    @property
    def in_flight(self) -> int:
        """Orders between their arrival here and the broker's answer."""
        return len(self._in_flight)

    def is_in_flight(self, order_id: str) -> bool:
        """Whether the order is on its way right now."""
        return order_id in self._in_flight

    async def place(self, order: Order) -> Reason | None:
        """The whole way of a new order (not yet in the book); why it was refused, None when it went to the broker."""
        with self._flying(order):
            started = time.perf_counter()
            if is_late(order, self._wall.now()):
                late = reason(ReasonCode.EXPIRED)
                await self._record(drafts.intent(order), drafts.expired(order.id, late))
                return late
            if self._book.is_cancelled_ahead(order.id):
                why = reason(ReasonCode.CANCELLED_BY_USER)
                await self._record(drafts.intent(order), drafts.cancelled(order.id, why))
                return why
            sized = await self._sized(order)
            others = list(self._passed.values())
            verdict = self._gate.judge(sized, others)
            self._metrics.stage(order, "gate", started)
            if order.dry_run:
                await self._record(drafts.intent(order), drafts.dry_run(order, verdict))
                return verdict
            if verdict is not None:
                await self._record(drafts.intent(order), drafts.rejected(order.id, verdict))
                return verdict
            self._passed[order.id] = sized  # before the next await: whoever is judged next counts it
            return await self._send(order, sized, others, started)

    @contextmanager
    def _flying(self, order: Order) -> Iterator[None]:
        self._in_flight[order.id] = order
        self._landed[order.id] = asyncio.Event()
        try:
            yield
        finally:
            self._in_flight.pop(order.id, None)
            self._passed.pop(order.id, None)
            self._landed.pop(order.id).set()

    async def _sized(self, order: Order) -> Order:
        """An exit, cut to what it can reduce. One of the whole position first cancels what rests in its way."""
        if order.purpose is not Purpose.EXIT:
            return order
        whole = self._gate.reducible(order)
        blocked = self._gate.room(order, self._passed.values()) < whole <= order.quantity
        if blocked and not order.dry_run and self._gate.could_trade(order):
            resting = [other for other in self._gate.working_beside(order) if other.state in _RESTING]
            code = ReasonCode.CANCELLED_BY_EXIT
            await asyncio.gather(*(self.cancel(other.id, by=order.id, code=code) for other in resting))
        room = self._gate.room(order, self._passed.values())
        return msgspec.structs.replace(order, quantity=min(order.quantity, room)) if room else order

    async def _send(self, order: Order, sized: Order, others: list[Order], started: float) -> Reason | None:
        """Journal and send; `sized` is the order with the quantity that goes out."""
        reducing = self._gate.reduces(sized, others)
        journalled = await self._record(drafts.intent(order), drafts.sent(order, sized.quantity))
        self._metrics.stage(order, "journal", started)
        # The disk took its time: a halt or the order's own limit may have come in between.
        late = reason(ReasonCode.EXPIRED) if is_late(order, self._wall.now()) else None
        unsafe = None if journalled else reason(ReasonCode.JOURNAL_FAILED)
        stopped = late or (None if reducing else self._gate.closed_for_new_risk() or unsafe)
        if stopped is not None:
            draft = drafts.expired if late else drafts.cancelled
            await self._record(draft(order.id, stopped))
            return stopped
        try:
            async with asyncio.timeout(BROKER_TIMEOUT):
                row = await self._broker.place(sized, broker_tag(order.id))
        except NotSentError as error:
            refusal = reason(ReasonCode.BROKER_UNREACHABLE, error.detail)
            await self._record(drafts.rejected(order.id, refusal))
            return refusal
        except (OutcomeUnknownError, TimeoutError, BrokerError, OSError) as error:
            await self._record(drafts.unknown(order.id, str(error) or type(error).__name__))
            self.resolve(order.id)
            return None
        self._metrics.stage(order, "broker", started)
        await self.on_row(row)
        return row.reason

    async def on_row(self, row: BookRow, order_id: str | None = None) -> None:
        """Journal what a broker's row says that is not known yet. Safe to repeat, in any order."""
        order = self._book.orders.get(order_id) if order_id else self._book.by_tag(row.tag)
        if order is None:
            return
        lock = self._locks.setdefault(order.id, asyncio.Lock())
        async with lock:
            order = self._book.orders[order.id]
            known, value = self._book.fills_of(order.id), self._book.value_of(order.id)
            found = changes(order, known, value, row, self._book.cancel_code(order.id))
            if found:
                await self._record(*found)

    async def cancel(self, order_id: str, *, by: str, code: ReasonCode) -> CancelOutcome:
        """Cancel an order and wait until the broker's book says so; tried a few times when it does not answer."""
        landed = self._landed.get(order_id)
        if landed is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(BROKER_TIMEOUT):
                    await landed.wait()
        order = self._book.orders.get(order_id)
        if order is None:
            self._book.cancel_ahead(order_id)  # no await since the look at `_landed`: it cannot slip in between
            return CancelOutcome("unknown_order", "", "No order of that id has reached the edge; it will not be sent")
        if order.state.terminal:
            return CancelOutcome("ended", str(order.state))
        if not order.cancel_requested:
            await self._record(drafts.cancel_requested(order_id, by=by, code=str(code)))
        for attempt in range(_CANCEL_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_CANCEL_PAUSE)
            if await self._cancel_once(order_id):
                break
        return self._cancel_outcome(order_id)

    async def _cancel_once(self, order_id: str) -> bool:
        order = self._book.orders[order_id]
        if order.state.terminal:
            return True
        try:
            async with asyncio.timeout(BROKER_TIMEOUT):
                row = await self._broker.cancel(broker_tag(order_id))
        except (BrokerError, TimeoutError, OSError) as error:
            log.warning("cancel not confirmed", extra={"order_id": order_id, "problem": str(error)})
            if order.state is OrderState.UNKNOWN:
                self.resolve(order_id)
            return False
        await self.on_row(row, order_id)
        return row.state.terminal

    def _cancel_outcome(self, order_id: str) -> CancelOutcome:
        order = self._book.orders[order_id]
        if order.state is OrderState.CANCELLED:
            return CancelOutcome("cancelled", str(order.state))
        if order.state.terminal:
            return CancelOutcome("ended", str(order.state))
        return CancelOutcome("unconfirmed", str(order.state), "The broker has not confirmed; it is asked again")

    async def settled(self, timeout: float) -> bool:
        """Wait until nothing is in flight; False when `timeout` seconds were not enough."""
        deadline = time.monotonic() + timeout
        while self._landed and (left := deadline - time.monotonic()) > 0:
            waiting = [asyncio.ensure_future(event.wait()) for event in self._landed.values()]
            _, pending = await asyncio.wait(waiting, timeout=left)
            for task in pending:
                task.cancel()
        return not self._landed
