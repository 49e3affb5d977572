"""How errors become answers: the one place that formats them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from tradingengine.api.responses import ProblemJson
from tradingengine.api.schemas import PRINTABLE
from tradingengine.domain.errors import DomainError
from tradingengine.domain.reasons import Fault, ReasonCode
from tradingengine.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TradingEngineError,
    UnavailableError,
)
from tradingengine.telemetry.request_id import stamp

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


class EdgeSilentError(UnavailableError):
    """The edge's heart beats, but its gate did not answer a dry run in time."""

    code = "edge_silent"
    title = "The edge did not answer in time"


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


class BadJsonError(TradingEngineError):
    """The body is no JSON at all."""

    code = "bad_json"
    status = 400
    title = "The body is no JSON"


class MediaTypeError(TradingEngineError):
    """The body is of a kind that is not read."""

    code = "media_type"
    status = 415
    title = "Only JSON is read"


class UnknownInstrumentError(NotFoundError):
    """There is no instrument of that symbol."""

    code = str(ReasonCode.UNKNOWN_INSTRUMENT)
    title = "There is no such instrument"


class Problem(BaseModel):
    """RFC 9457 problem document."""

    # Some problems say more, such as the order that was stored; readers ignore what they do not know.
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/bad_tick",
                    "title": "The request has a value that is not allowed",
                    "status": 422,
                    "detail": "The price is not a whole number of ticks: ₹2,500.03, tick ₹0.05.",
                    "field": "price",
                    "mend": "Round the price to the tick size.",
                    "request_id": "5f2b0e0e6c0d4f0d9a3c8f6b1f7a2d11",
                }
            ]
        },
    )

    type: str = Field(description="Ends in the code.", pattern=r"^/problems/[a-z][a-z0-9_-]*$")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    field: str = Field("", description="What of the request is wrong.")
    mend: str = Field("", description="How to mend it.")
    request_id: str = Field("", description="The name of the request in our log.")


PROBLEM_TEXTS: Final = {
    400: "The body is no JSON.",
    401: "There is no session, or it is over.",
    403: "The person may not do this, or the request came from another site's page.",
    404: "There is nothing under that name.",
    409: "The present state does not allow this; `release-gone` asks to load the page again.",
    413: "The body is longer than 64 KiB.",
    415: "The body does not say that it is JSON.",
    422: "A value is not allowed; `field` names it and `mend` says what is.",
    429: "Too many failed logins; `Retry-After` says how long to wait.",
    500: "The server failed; the error was logged under `request_id`.",
    503: "The database, the cache or the edge does not answer.",
}


CODES: Final = "x-codes"
"""Where the answers of a call keep the codes of its own problems until the document is made (`openapi.py`)."""
ORDER_RULES: Final = (
    ReasonCode.UNKNOWN_INSTRUMENT, ReasonCode.NOT_TRADABLE, ReasonCode.BAD_QUANTITY, ReasonCode.BAD_LOT,
    ReasonCode.FREEZE_QUANTITY, ReasonCode.BAD_PRICE, ReasonCode.BAD_TICK, ReasonCode.PRICE_BAND,
    ReasonCode.BAD_TRIGGER, ReasonCode.NOT_SUPPORTED_YET, ReasonCode.NO_POSITION, ReasonCode.EXCEEDS_POSITION,
)  # fmt: skip
"""Why an order that fits the document is refused with 422 all the same."""


def problem_answer(status: int, codes: Iterable[str]) -> dict[str, Any]:
    """The OpenAPI entry of the problems of one status."""
    types = [f"/problems/{code}" for code in sorted(set(codes))]
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"type": {"enum": types}, "status": {"const": status}}},
        ]
    }
    answer: dict[str, Any] = {
        "description": PROBLEM_TEXTS[status],
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status == TooManyAttemptsError.status:
        seconds = {"type": "integer", "minimum": 1, "maximum": 86_400}
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "required": True, "schema": seconds}}
    return answer


def problems(*errors: type[TradingEngineError], rules: Iterable[str] = ()) -> dict[int | str, dict[str, Any]]:
    """The problems of a call's own; those that follow from what a call is are added by `openapi.py`.

    `rules` are further codes of 422.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for status, code in [*((error.status, error.code) for error in errors), *((422, str(rule)) for rule in rules)]:
        entry = found.setdefault(status, {"description": PROBLEM_TEXTS[status], CODES: []})
        entry[CODES].append(code)
    return found


def add_handlers(app: FastAPI) -> None:
    """Let all errors come out as problem documents."""
    app.add_exception_handler(TradingEngineError, _on_known)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(DomainError, _on_domain)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unknown)


def _answer(document: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return ProblemJson(stamp(document), status_code=document["status"], headers=headers)


async def _on_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, TradingEngineError)  # noqa: S101 - registered for this class alone
    return _answer(error.problem(), error.headers)


async def _on_domain(request: Request, error: Exception) -> Response:
    return _answer(InvalidInputError(str(error)).problem())


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _answer(_bad_json(str(first.get("ctx", {}).get("error", ""))).problem())
    field = _field(first["loc"])
    what = "control characters are not allowed" if _is_control(first) else first["msg"]
    more = len(error.errors()) - 1
    detail = f"{field}: {what}" + (f" (and {more} more)" if more else "")
    mend = MENDS.get(field) or ("Remove it." if first["type"] == "extra_forbidden" else None)
    return _answer(InvalidInputError(detail, field=field, mend=mend).problem())


MENDS: Final = {
    "Idempotency-Key": "Send a new UUID for a new order, and the same one when you repeat the request.",
}


def _field(loc: Sequence[Any]) -> str:
    place = [str(part) for part in (loc[1:] if loc[0] in ("body", "query", "path", "header", "cookie") else loc)]
    return ".".join(place)[:64] or "body"


def _is_control(fault: Mapping[str, Any]) -> bool:
    return bool(fault["type"] == "string_pattern_mismatch" and fault.get("ctx", {}).get("pattern") == PRINTABLE)


def _bad_json(why: str) -> BadJsonError:
    return BadJsonError(f"The body is no JSON{f': {why}' if why else '.'}", field="body", mend="Send a JSON document.")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    if error.status_code == BadJsonError.status:  # bytes that are no text, numbers of thousands of digits, deep nesting
        return _answer(_bad_json("").problem())
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    document = {
        "type": f"/problems/{code}",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
    }
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        headers["allow"] = ", ".join(_allowed(request))
    return _answer(document, headers)


def _allowed(request: Request) -> list[str]:
    """The methods of a path: the framework names those of the first call that has it, and of no other."""
    known: list[Route] = request.app.state.routes
    here = [route for route in known if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in route.methods or ()})


async def _on_unknown(request: Request, error: Exception) -> Response:
    log.error("an endpoint failed", extra={"route": request.url.path}, exc_info=error)
    known = TradingEngineError("The server failed; the error was logged.", mend="Try again; then look at the log.")
    return _answer(known.problem())
