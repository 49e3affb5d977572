"""The engine: takes commands and strategies' orders, keeps everything in step with the broker."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tradingengine.brokers.port import Broker
from tradingengine.domain.clock import WallClock
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import is_id
from tradingengine.domain.orders import Order, OrderState, Purpose
from tradingengine.domain.reasons import ReasonCode, reason
from tradingengine.domain.risk import Limits
from tradingengine.execution import drafts
from tradingengine.execution.book import OrderBook
from tradingengine.execution.commands import Command, CommandKind, decode_command, order_of
from tradingengine.execution.gate import Gate, GateInputs, MarketView
from tradingengine.execution.halt import Halts
from tradingengine.execution.journal import Draft, Entry, Journal
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.execution.record import Recorder
from tradingengine.execution.recovery import Recovery, RecoveryReport
from tradingengine.execution.router import Router
from tradingengine.storage.sqlite import SqliteFailedError

log = logging.getLogger(__name__)

_MOST_AT_ONCE: Final = 256
_STUCK_SECONDS: Final = 6.0
OrderListener = Callable[[Order, Entry], None]


class Engine:
    """One account at one broker, with its journal."""

    def __init__(
        self,
        *,
        journal: Journal,
        broker: Broker,
        market: MarketView,
        wall: WallClock,
        metrics: EdgeMetrics,
        limits: Limits,
    ) -> None:
        """The journal is opened by `open`; nothing is sent before `recover` has finished, but what reduces risk."""
        self.journal = journal
        self.book = OrderBook()
        self.inputs = GateInputs()
        self.broker = broker
        self._wall = wall
        self._metrics = metrics
        self.gate = Gate(self.book, market, self.inputs, limits=limits, monotonic=wall.monotonic)
        recorder = Recorder(journal, self._heard)
        journal.on_failure(self._journal_failed)
        self._record = recorder.record
        self.router = Router(
            recorder=recorder,
            book=self.book,
            gate=self.gate,
            broker=broker,
            wall=wall,
            metrics=metrics,
        )
        self.recovery = Recovery(
            journal=journal, recorder=recorder, book=self.book, broker=broker, router=self.router, wall=wall
        )
        self.router.resolve = self.recovery.resolve
        metrics.lookups.set_function(lambda: self.recovery.waiting)
        self.halts = Halts(recorder=recorder, book=self.book, inputs=self.inputs, router=self.router)
        self.order_listeners: list[OrderListener] = []
        self._working: dict[str, asyncio.Task[None]] = {}
        self._left_halts: tuple[str, ...] = ()
        self.command_errors = 0

    async def open(self) -> int:
        """Open the journal and rebuild the book from it; the number of entries read. May be tried again."""
        await self.journal.open()
        book = OrderBook()
        count = await self.journal.replay(book.apply)
        self.book.become(book)  # only once everything was read: an attempt that failed midway leaves nothing
        self.inputs.journal_failed = self.journal.failure is not None
        self._left_halts = tuple(self.book.unfinished_halts)
        self.journal.listen(self._heard)
        return count

    def _journal_failed(self) -> None:
        """Whatever was the first that could not be written, or read: new risk is refused from now on."""
        self.inputs.journal_failed = True

    def _heard(self, entry: Entry) -> None:
        """A new durable entry (or one that a failed disk refused): only now is it shown."""
        order = self.book.apply(entry)
        self._metrics.sequence.set(entry.seq)
        if order is None:
            return
        self._metrics.outcome(order, entry.type, str(entry.data.get("code") or ""))
        for listener in self.order_listeners:
            listener(order, entry)

    async def recover(self) -> RecoveryReport:
        """Reconcile with the broker, finish a halt, and open the gate for new risk."""
        report = await self.recovery.run()
        await self.halts.resume_after_restart(self._left_halts)
        self.inputs.recovered = True
        log.info("recovered", extra=msgspec.to_builtins(report))
        return report

    @property
    def idle(self) -> bool:
        """Nothing is in flight, and no outcome is open."""
        uncertain = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN)
        return (
            not self._working
            and self.router.in_flight == 0
            and all(order.state not in uncertain for order in self.book.open_orders())
        )

    def accept(self, body: str, *, command_id: str = "") -> "asyncio.Task[None] | None":
        """Take one command as it came over the link; returns at once. A known id is dropped, a bad one journalled."""
        try:
            command = decode_command(body)
        except DomainError as error:
            return self._refuse(command_id, str(error))
        if self.book.knows(command.id) or command.id in self._working:
            return None
        return self._work(command.id, self.handle(command))

    def _refuse(self, command_id: str, problem: str) -> "asyncio.Task[None] | None":
        self.command_errors += 1
        log.warning("command refused", extra={"command_id": command_id, "problem": problem})
        if not is_id(command_id) or self.book.knows(command_id) or command_id in self._working:
            return None
        refusal = reason(ReasonCode.INVALID, problem)
        entries = (
            drafts.command_done(command_id, "unreadable", "invalid", message=problem),
            drafts.rejected(command_id, refusal),
        )
        return self._work(command_id, self._record(*entries))

    def _work(self, command_id: str, coroutine: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)
        self._working[command_id] = task

        def done(finished: "asyncio.Task[None]") -> None:
            self._working.pop(command_id, None)
            if not finished.cancelled() and (error := finished.exception()) is not None:
                self.command_errors += 1
                log.error("a command failed", extra={"command_id": command_id}, exc_info=error)

        task.add_done_callback(done)
        return task

    @property
    def busy(self) -> bool:
        """Whether so many commands are at work that the next ones should wait."""
        return len(self._working) >= _MOST_AT_ONCE

    async def one_done(self) -> None:
        """Wait until at least one command at work has ended."""
        if self._working:
            await asyncio.wait(self._working.values(), return_when=asyncio.FIRST_COMPLETED)

    async def handle(self, command: Command) -> None:
        """Carry out one command to its end, once."""
        if await self._was_handled(command.id):
            return
        if command.makes_order:
            await self._handle_order(command)
            return
        by, why = command.origin.user or "", command.reason or ""
        late = command.expires_at is not None and self._wall.now() >= command.expires_at
        if command.kind is CommandKind.HALT:  # never too late: it only takes risk away
            await self._done(command, await self.halts.halt(command.id, by=by, why=why))
        elif late:
            await self._done(command, {"result": "expired"})
        elif command.kind is CommandKind.CANCEL:
            await self._done(command, await self._cancel(command, by))
        else:
            target = command.target or ""
            await self._done(command, await self.halts.release(command.id, target=target, by=by, why=why))

    async def _was_handled(self, command_id: str) -> bool:
        """Whether a command that memory has forgotten is in the journal; a failed journal holds nobody up."""
        if self.book.complete:
            return False
        try:
            return await self.journal.contains(command_id)
        except SqliteFailedError:
            return False

    async def _handle_order(self, command: Command) -> None:
        try:
            order = order_of(command)
        except DomainError as error:
            problem = reason(ReasonCode.INVALID, str(error))
            await self._record(
                drafts.command_done(command.id, "unreadable", "invalid", message=str(error)),
                drafts.rejected(command.id, problem),
            )
            return
        if command.kind is CommandKind.EXIT and order.purpose is not Purpose.EXIT:
            order = msgspec.structs.replace(order, purpose=Purpose.EXIT)
        await self.submit(order)

    async def submit(self, order: Order) -> None:
        """Place an order that the book does not know yet."""
        await self.router.place(order)

    def start(self, order: Order) -> "asyncio.Task[None] | None":
        """Place an order without waiting; None when its id is known already."""
        if self.book.knows(order.id) or order.id in self._working:
            return None
        return self._work(order.id, self.submit(order))

    def start_cancel(self, order_id: str, *, by: str, code: ReasonCode) -> None:
        """Cancel an order without waiting."""
        key = f"cancel {order_id}"
        if key not in self._working:
            self._work(key, self.router.cancel(order_id, by=by, code=code))

    def note(self, draft: Draft) -> None:
        """Journal something without waiting; a failing disk shows at the next order."""
        self.journal.append([draft]).add_done_callback(lambda future: future.cancelled() or future.exception())

    async def _cancel(self, command: Command, by: str) -> dict[str, Any]:
        outcome = await self.router.cancel(command.target or "", by=by, code=ReasonCode.CANCELLED_BY_USER)
        return {"target": command.target, **msgspec.to_builtins(outcome)}

    async def _done(self, command: Command, result: dict[str, Any]) -> None:
        outcome = str(result.pop("result"))
        await self._record(drafts.command_done(command.id, str(command.kind), outcome, **result))

    async def follow_broker(self) -> None:
        """Journal what the broker reports, until its stream ends."""
        async for row in self.broker.updates():
            try:
                await self.router.on_row(row)
            except Exception:
                order = self.book.by_tag(row.tag)
                if order is not None:
                    self.recovery.resolve(order.id)  # the broker is asked for it, or what it said would be lost
                raise

    async def watch_stuck(self) -> None:
        """Have orders looked up that were sent and then neither answered nor are on their way. Until cancelled."""
        while True:
            await asyncio.sleep(_STUCK_SECONDS)
            for order in self.book.open_orders():
                waiting = order.state in (OrderState.SENT, OrderState.UNKNOWN) and not self.router.is_in_flight(
                    order.id
                )
                if waiting and (self._wall.now() - order.updated_at).total_seconds() > _STUCK_SECONDS:
                    self.recovery.resolve(order.id)

    def drain(self) -> None:
        """No new risk from now on; cancels and exits still go."""
        self.inputs.draining = True

    def resume(self) -> None:
        """Take a drain back."""
        self.inputs.draining = False

    async def settle(self, timeout: float) -> bool:
        """Wait until all commands at work have ended; False when `timeout` seconds were not enough."""
        if self._working:
            await asyncio.wait(self._working.values(), timeout=timeout)
        return await self.router.settled(timeout) and not self._working

    def document(self) -> dict[str, Any]:
        """The edge object of `GET /control/v1/state`."""
        return {
            "epoch": self.journal.epoch,
            "sequence": self.journal.sequence,
            "idle": self.idle,
            "flat": self.book.flat,
            "trading_state": "HALTED" if self.halts.halted else str(self.book.trading_state),
            "journal": self.journal.uuid,
            "recovered": self.inputs.recovered,
        }
