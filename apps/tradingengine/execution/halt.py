"""HALT: the gate first, then open orders that add risk, confirmed by the broker's book; it survives a restart."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from tradingengine.domain.orders import OrderState, TradingState
from tradingengine.domain.reasons import ReasonCode
from tradingengine.execution import drafts
from tradingengine.execution.book import OrderBook
from tradingengine.execution.gate import GateInputs
from tradingengine.execution.loops import Backoff
from tradingengine.execution.record import Recorder
from tradingengine.execution.router import Router

log = logging.getLogger(__name__)


class Halts:
    """Halts and releases trading. Stops, targets and exits stay as far as the position says that they reduce it."""

    def __init__(self, *, recorder: Recorder, book: OrderBook, inputs: GateInputs, router: Router) -> None:
        """Acts on what the gate and the router own."""
        self._record = recorder.record
        self._book = book
        self._inputs = inputs
        self._router = router
        self._releases = 0
        self._pressed = ""

    @property
    def halted(self) -> bool:
        """Whether a halt is in force, journalled or not."""
        return self._inputs.halting or self._book.trading_state is TradingState.HALTED

    @property
    def current(self) -> str:
        """The id of the halt that holds, the newest one if it was pressed again; empty when none does."""
        return self._pressed or (self._book.halt.id if self._book.halt is not None else "")

    async def halt(self, halt_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Close the gate at once, journal it, then cancel open entries until the broker's book holds none of them.

        Returns `{"result": "confirmed", "total", "cancelled"}`; `"released"` when somebody released it before.
        """
        self._inputs.halting = True  # before the first await: nothing more passes the gate
        self._pressed = halt_id
        await self._record(drafts.trading_state(TradingState.HALTED, why=why, by=by, command_id=halt_id, halt=halt_id))
        return await self._cancel_entries(by)

    async def resume_after_restart(self, unfinished: Sequence[str]) -> None:
        """Finish what a killed process left: cancel for the halt in force, journal the end of each `unfinished` one."""
        result: dict[str, Any] = {"result": "released", "total": 0, "cancelled": 0}
        if self.halted:
            self._inputs.halting = True
            result = await self._cancel_entries("recovery")
        outcome = str(result.pop("result"))
        for halt_id in unfinished:
            await self._record(drafts.command_done(halt_id, "halt", outcome, **result))

    async def release(self, release_id: str, *, target: str, by: str, why: str) -> dict[str, Any]:
        """Open the gate again, if `target` is the halt that holds: a release never ends a halt it was not meant for.

        Returns `{"result": "released"|"not_halted"|"other_halt", "target"}`, the last with the id `halt` that holds.
        """
        if not self.halted:
            return {"result": "not_halted", "target": target}
        if target != self.current:
            message = "Another halt holds than the one that was released"
            return {"result": "other_halt", "target": target, "halt": self.current, "message": message}
        self._releases += 1
        self._pressed = ""
        state = drafts.trading_state(TradingState.ACTIVE, why=why, by=by, command_id=release_id, halt=target)
        await self._record(state)
        if not self._pressed:  # not pressed again meanwhile
            self._inputs.halting = False
        return {"result": "released", "target": target}

    async def _cancel_entries(self, by: str) -> dict[str, Any]:
        releases, backoff = self._releases, Backoff()
        entries = {order.id for order in self._book.adding_risk()}
        tried: set[str] = set()
        while self._releases == releases:
            open_ = self._book.adding_risk()
            left = [order.id for order in open_ if order.id not in tried or not self._inputs.journal_failed]
            if not left:
                break
            entries.update(left)
            tried.update(left)
            code = ReasonCode.CANCELLED_BY_HALT
            outcomes = await asyncio.gather(*(self._router.cancel(order_id, by=by, code=code) for order_id in left))
            if any(outcome.result == "unconfirmed" for outcome in outcomes):
                log.warning("halt: the broker has not confirmed every cancel; asking again", extra={"left": len(left)})
                await backoff.wait()
        states = [self._book.orders[order_id].state for order_id in entries]
        return {
            "result": "confirmed" if self._releases == releases else "released",
            "total": len(entries),
            "cancelled": states.count(OrderState.CANCELLED),
        }
