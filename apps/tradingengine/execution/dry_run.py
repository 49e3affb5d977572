"""Verdicts on dry runs of the prober: judged by form alone, journalled nowhere, counted apart."""

from typing import Final

import msgspec

from tradingengine.domain.clock import WallClock
from tradingengine.domain.errors import DomainError
from tradingengine.domain.reasons import Reason, ReasonCode, reason
from tradingengine.domain.validation import check_order
from tradingengine.execution.commands import decode_command, order_of
from tradingengine.execution.gate import MarketView, is_late
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.storage.probes import Answer

_UNDERSTOOD: Final = (
    "symbol", "side", "quantity", "type", "price_paise", "trigger_price_paise", "product", "validity", "purpose",
)  # fmt: skip


class DryRunDesk:
    """Answers the prober's questions; it knows neither book nor journal, so it can change neither."""

    def __init__(self, market: MarketView, wall: WallClock, metrics: EdgeMetrics) -> None:
        self._market = market
        self._wall = wall
        self._metrics = metrics

    def judge(self, body: str) -> Answer | None:
        """The verdict on a command; None when it is too late to be of use to anybody."""
        try:
            command = decode_command(body)
            order = order_of(command)
        except DomainError as error:
            return self._answer("", "", reason(ReasonCode.INVALID, str(error)))
        if is_late(order, self._wall.now()):
            return None
        if not order.dry_run:
            return self._answer(order.release, order.slot, reason(ReasonCode.INVALID, "no dry run"))
        fault = check_order(order, self._market.instrument(order.symbol))
        told = msgspec.to_builtins(order)
        understood = {name: told[name] for name in _UNDERSTOOD}
        return self._answer(order.release, order.slot, fault.reason() if fault is not None else None, understood)

    def _answer(
        self, release: str, slot: str, why: Reason | None, understood: dict[str, object] | None = None
    ) -> Answer:
        verdict = "accepted" if why is None else "refused"
        self._metrics.dry_run(release, slot, verdict)
        told = msgspec.to_builtins(why) if why is not None else None
        return Answer(verdict=verdict, reason=told, understood=understood)
