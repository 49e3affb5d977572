"""Dry runs of the prober: the way of an order up to the edge's gate and back, without a trace in any store.

Form, coding and transport are tried by the same code that real orders take. What depends on the moment (halt, session,
age of prices, rates, positions) is left out here and at the gate, so that one order has one verdict at any hour.
"""

import time
from typing import Any

import msgspec

from tradingengine.api.auth import PROBER
from tradingengine.api.orders.schemas import NewOrder
from tradingengine.api.orders.service import OrderService, check, to_request
from tradingengine.api.problems import EdgeSilentError, ForbiddenError
from tradingengine.api.state import ApiState
from tradingengine.domain.reasons import ReasonCode, reason
from tradingengine.errors import CacheUnavailableError
from tradingengine.storage import placing, probes, streams
from tradingengine.storage.heartbeat import Heartbeat


class DryRuns:
    """Dry runs of one pod."""

    def __init__(self, state: ApiState) -> None:
        self._state = state

    async def judge(self, body: NewOrder) -> dict[str, Any]:
        """The document of a verdict.

        ForbiddenError for an order that is none, OrderRefusedError and InvalidInputError as for any order,
        EdgeSilentError when the edge lives and does not answer, CacheUnavailableError without Redis.
        """
        if not body.dry_run:
            raise ForbiddenError("The prober places dry runs alone.", field="dry_run", mend="Send dry_run: true.")
        started = time.perf_counter()
        async with self._state.database.connection() as connection:
            known = await placing.known(connection, PROBER.id, "", body.symbol)
        request = to_request(body, self._state.settings.engine.brokers[0].name)
        check(request, known.instrument)
        if not _answers(await self._state.reads.heartbeat()):
            return _document("not_applicable", msgspec.to_builtins(reason(ReasonCode.EDGE_UNREACHABLE)))
        orders = OrderService(self._state, PROBER)
        order = orders.new_order(request, kind="place").order
        command = orders.command("place", order.id, order.expires_at, order=order)
        try:
            answer = await probes.ask(self._state.cache, command.id, command.body())
        except streams.CACHE_ERRORS as error:
            raise CacheUnavailableError(f"The dry run was not sent: {type(error).__name__}.") from None
        if answer is None:
            raise EdgeSilentError(f"No answer within {probes.ANSWER_SECONDS:g} s, though the edge is heard.")
        self._count(answer, time.perf_counter() - started)
        return _document(answer.verdict, answer.reason, answer.understood)

    def _count(self, answer: probes.Answer, seconds: float) -> None:
        metrics = self._state.metrics
        if answer.verdict == "accepted":
            metrics.order("probe", "taken", "none")
            metrics.order_took("probe", seconds)
        else:
            metrics.order("probe", "refused", str((answer.reason or {}).get("code", ReasonCode.INVALID)))


def _answers(heartbeat: Heartbeat | None) -> bool:
    """Whether an edge is heard that knows dry runs of probes."""
    return heartbeat is not None and heartbeat.fresh and bool(heartbeat.document.get("probes"))


def _document(verdict: str, why: Any, understood: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"verdict": verdict, "reason": why, "understood": understood}
