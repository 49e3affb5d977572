"""How errors become answers: the one place that formats them."""

import logging
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tradingengine.api.responses import ProblemJson
from tradingengine.domain.errors import DomainError
from tradingengine.domain.reasons import Fault
from tradingengine.errors import ConflictError, InvalidInputError, TradingEngineError, UnavailableError

log = logging.getLogger(__name__)


class NotLoggedInError(TradingEngineError):
    """There is no session, or it is over."""

    code = "not_logged_in"
    status = 401
    title = "Log in first"


class ForbiddenError(TradingEngineError):
    """The person may not do this."""

    code = "forbidden"
    status = 403
    title = "You may not do this"


class CrossOriginError(TradingEngineError):
    """Another site's page sent the request."""

    code = "cross_origin"
    status = 403
    title = "Requests of other sites are refused"


class TooManyAttemptsError(TradingEngineError):
    """Too many failed logins."""

    code = "too_many_attempts"
    status = 429
    title = "Too many failed logins"


class IdempotencyConflictError(ConflictError):
    """The key was used for another request."""

    code = "idempotency_conflict"
    title = "The Idempotency-Key was used for another request"


class EdgeUnreachableError(UnavailableError):
    """The order was stored as not delivered, since the edge is silent."""

    code = "edge_unreachable"
    title = "The edge cannot be reached: the order was not sent and never will be"


class PricesStaleError(InvalidInputError):
    """New risk is not taken on prices that nobody can see."""

    code = "prices_stale"
    title = "Prices are stale: new risk is refused"


class HaltedError(ConflictError):
    """Trading is halted."""

    code = "halted"
    title = "Trading is halted"


class OrderDoneError(ConflictError):
    """The order is over."""

    code = "order_done"
    title = "The order is over"


class NoPositionError(ConflictError):
    """There is nothing to exit."""

    code = "no_position"
    title = "There is no such position"


class OrderRefusedError(InvalidInputError):
    """An order that is not well formed; its code is the fault's."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, field=fault.field, mend=fault.mend or None)
        self.fault_code = str(fault.code)

    def problem(self) -> dict[str, Any]:
        """The problem with the fault's own code."""
        return {**super().problem(), "type": f"/problems/{self.fault_code}"}


class Problem(BaseModel):
    """RFC 9457 problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/bad_tick",
                    "title": "The request has a value that is not allowed",
                    "status": 422,
                    "detail": "The price is not a whole number of ticks: ₹2,500.03, tick ₹0.05.",
                    "field": "price",
                    "mend": "Round the price to the tick size.",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    mend: str | None = None


_TEXTS: Final = {
    401: "There is no session, or it is over.",
    403: "The person may not do this, or the request came from another site's page.",
    404: "There is nothing under that name.",
    409: "The present state does not allow this.",
    422: "A value is not allowed; `field` names it and `mend` says what is.",
    429: "Too many failed logins; `Retry-After` says how long to wait.",
    503: "The database, the cache or the edge does not answer.",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems that an endpoint may answer with; 503 is always one of them."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": _TEXTS[code], "content": content} for code in (*codes, 503)}


def add_handlers(app: FastAPI) -> None:
    """Let all errors come out as problem documents."""
    app.add_exception_handler(TradingEngineError, _on_known)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(DomainError, _on_domain)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unknown)


async def _on_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, TradingEngineError)  # noqa: S101 - registered for this class alone
    return ProblemJson(error.problem(), status_code=error.status, headers=error.headers)


async def _on_domain(request: Request, error: Exception) -> Response:
    return ProblemJson(InvalidInputError(str(error)).problem(), status_code=422)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    first = error.errors()[0]
    loc = first["loc"]
    place = [str(part) for part in (loc[1:] if loc[0] in ("body", "query", "path", "header", "cookie") else loc)]
    field = ".".join(place) or "body"
    more = len(error.errors()) - 1
    detail = f"{field}: {first['msg']}" + (f" (and {more} more)" if more else "")
    mend = "Remove it." if first["type"] == "extra_forbidden" else None
    return ProblemJson(InvalidInputError(detail, field=field, mend=mend).problem(), status_code=422)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    document = {
        "type": f"/problems/{code}",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
    }
    return ProblemJson(document, status_code=error.status_code, headers=error.headers)


async def _on_unknown(request: Request, error: Exception) -> Response:
    log.error("an endpoint failed", extra={"route": request.url.path}, exc_info=error)
    known = TradingEngineError("The server failed; the error was logged.", mend="Try again; then look at the log.")
    return ProblemJson(known.problem(), status_code=500)
