"""What became of the orders that people asked for, by release: one that refuses good orders is not a good release.

Requests that are refused before anybody knows whether they are an order (no session, a foreign page, no JSON) are not
counted: whoever sends such things could make a release look bad.
"""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tradingengine.api.metrics import ApiMetrics
from tradingengine.api.problems import EdgeUnreachableError, OrderRefusedError
from tradingengine.domain.errors import DomainError
from tradingengine.errors import InvalidInputError, TradingEngineError
from tradingengine.telemetry.middleware import request_source

_NOBODYS: Final = frozenset({400, 401, 403, 413, 415})
_CREATED: Final = 201
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OrderRoute(APIRoute):
    """A route whose POST is an order; its other methods are none."""

    def get_route_handler(self) -> Handler:
        """The framework's handler, with its outcome counted."""
        handle = super().get_route_handler()
        return _counted(handle) if "POST" in (self.methods or ()) else handle


def _counted(handle: Handler) -> Handler:
    async def count(request: Request) -> Response:
        metrics: ApiMetrics = request.app.state.metrics
        source, started = request_source(request.scope), time.perf_counter()
        try:
            answer = await handle(request)
        except Exception as error:
            outcome = outcome_of(error)
            if outcome is not None:
                metrics.order(source, *outcome)
            raise
        if answer.status_code == _CREATED:  # a repeated key is answered with the first order, and counted once
            metrics.order(source, "taken", "none")
            metrics.order_took(source, time.perf_counter() - started)
        return answer

    return count


def outcome_of(error: Exception) -> tuple[str, str] | None:
    """Outcome and reason of an order that was not taken; None for a request that was none."""
    if isinstance(error, RequestValidationError):
        is_json = all(fault["type"] != "json_invalid" for fault in error.errors())
        return ("refused", InvalidInputError.code) if is_json else None
    if isinstance(error, DomainError):
        return "refused", InvalidInputError.code
    if isinstance(error, EdgeUnreachableError):
        return "undelivered", error.code
    if isinstance(error, TradingEngineError | HTTPException):
        status = error.status if isinstance(error, TradingEngineError) else error.status_code
        if status in _NOBODYS:
            return None
        code = error.code if isinstance(error, TradingEngineError) else "http"
        code = error.fault_code if isinstance(error, OrderRefusedError) else code
        return ("refused" if status < TradingEngineError.status else "failed"), code
    return "failed", TradingEngineError.code
