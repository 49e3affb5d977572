"""HALT: the gate first, then the open entries, each confirmed by the broker's book; it survives a restart."""

import asyncio
import logging
from typing import Any

from tradingengine.domain.orders import Order, Purpose, TradingState
from tradingengine.domain.reasons import ReasonCode
from tradingengine.execution import drafts
from tradingengine.execution.book import OrderBook
from tradingengine.execution.gate import GateInputs
from tradingengine.execution.journal import Journal
from tradingengine.execution.router import Router
from tradingengine.storage.sqlite import SqliteFailedError

log = logging.getLogger(__name__)


class Halts:
    """Halts and releases trading. Stops, targets and exits stay: they reduce risk."""

    def __init__(self, *, journal: Journal, book: OrderBook, inputs: GateInputs, router: Router) -> None:
        """One halt at a time; a second one joins the first."""
        self._journal = journal
        self._book = book
        self._inputs = inputs
        self._router = router
        self._lock = asyncio.Lock()

    async def halt(self, halt_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Close the gate at once, journal it, cancel every open entry.

        Returns `{"result": "confirmed"|"unconfirmed", "total", "cancelled", "failed": [order ids]}`.
        """
        self._inputs.halting = True  # before the first await: nothing more passes the gate
        async with self._lock:
            await self._journalled(TradingState.HALTED, why=why, by=by, halt_id=halt_id)
            return await self._cancel_entries(by)

    async def resume_after_restart(self) -> None:
        """A halt that was in force when the process died: finish cancelling what it left."""
        if self._book.trading_state is TradingState.HALTED:
            self._inputs.halting = True
            await self._cancel_entries("recovery")

    async def release(self, *, by: str, why: str) -> dict[str, Any]:
        """Open the gate again; `{"result": "released"|"not_halted"}`."""
        async with self._lock:
            if self._book.trading_state is not TradingState.HALTED and not self._inputs.halting:
                return {"result": "not_halted"}
            await self._journalled(TradingState.ACTIVE, why=why, by=by, halt_id=None)
            self._inputs.halting = False
            return {"result": "released"}

    async def _journalled(self, state: TradingState, *, why: str, by: str, halt_id: str | None) -> None:
        try:
            await self._journal.record(drafts.trading_state(state, why=why, by=by, halt_id=halt_id))
        except SqliteFailedError as error:
            self._inputs.journal_failed = True
            log.critical("trading state not journalled; it holds in memory", extra={"problem": error.detail})

    def _entries(self) -> list[Order]:
        return [order for order in self._book.open_orders() if order.purpose is Purpose.ENTRY]

    async def _cancel_entries(self, by: str) -> dict[str, Any]:
        entries = self._entries()
        outcomes = await asyncio.gather(
            *(self._router.cancel(order.id, by=by, code=ReasonCode.CANCELLED_BY_HALT) for order in entries)
        )
        failed = [order.id for order, outcome in zip(entries, outcomes, strict=True) if outcome.result == "unconfirmed"]
        return {
            "result": "unconfirmed" if failed else "confirmed",
            "total": len(entries),
            "cancelled": sum(outcome.result == "cancelled" for outcome in outcomes),
            "failed": failed,
        }
