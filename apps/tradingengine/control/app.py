"""The ASGI application of the control port."""

import hmac
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tradingengine.control.documents import ReleaseDocument, ServeRequest, WithdrawRequest
from tradingengine.control.state import ControlState
from tradingengine.errors import InvalidInputError, TradingEngineError
from tradingengine.telemetry.metrics import CONTENT_TYPE
from tradingengine.telemetry.request_id import stamp

MAX_BODY = 256 * 1024
PROBLEM_JSON = "application/problem+json"

T = TypeVar("T")


class UnauthorizedError(TradingEngineError):
    """No token, or a wrong one."""

    code = "unauthorized"
    status = 401
    title = "A valid control token is needed"


def create_control_app(state: ControlState) -> Starlette:
    """`/healthz`, `/readyz`, `/metrics` without a token, `/control/v1/*` with the token of the settings."""
    app = Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", _readyz, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            Route("/control/v1/state", _get_state, methods=["GET"]),
            Route("/control/v1/withdraw", _withdraw, methods=["POST"]),
            Route("/control/v1/serve", _serve, methods=["POST"]),
            Route("/control/v1/release", _put_release, methods=["PUT"]),
            Route("/control/v1/drain", _drain, methods=["POST"]),
            Route("/control/v1/resume", _resume, methods=["POST"]),
        ],
        exception_handlers={TradingEngineError: _on_error, HTTPException: _on_http_exception},
    )
    app.state.control = state
    return app


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    reasons = _state(request).unready_reasons()
    return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)


async def _metrics(request: Request) -> Response:
    return Response(_state(request).metrics.render(), headers={"content-type": CONTENT_TYPE})


async def _get_state(request: Request) -> Response:
    return _answer(_authorized(request), 200)


async def _withdraw(request: Request) -> Response:
    state = _for_components(request, "api", "dashboard")
    body = await _body(request, WithdrawRequest)
    await state.withdraw(body.release, body.spread_seconds)
    return _answer(state, 202)


async def _serve(request: Request) -> Response:
    state = _for_components(request, "api", "dashboard")
    body = await _body(request, ServeRequest)
    await state.serve(body.release)
    return _answer(state, 202)


async def _put_release(request: Request) -> Response:
    state = _for_components(request, "api", "dashboard")
    body = await _body(request, ReleaseDocument)
    await state.put_release(body.document())
    return Response(status_code=204)


async def _drain(request: Request) -> Response:
    state = _for_components(request, "edge")
    await state.drain()
    return _answer(state, 202)


async def _resume(request: Request) -> Response:
    state = _for_components(request, "edge")
    await state.resume()
    return _answer(state, 202)


def _state(request: Request) -> ControlState:
    state: ControlState = request.app.state.control
    return state


def _authorized(request: Request) -> ControlState:
    state = _state(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given, wanted = token.strip().encode("utf-8", "surrogateescape"), state.settings.current_control_token().encode()
    # compare_digest before the scheme is looked at: both checks take the same time for any input.
    if not hmac.compare_digest(given, wanted) or scheme.lower() != "bearer" or not wanted:
        raise UnauthorizedError("Send 'Authorization: Bearer TOKEN'.", headers={"www-authenticate": "Bearer"})
    return state


def _for_components(request: Request, *components: str) -> ControlState:
    state = _authorized(request)
    if state.settings.component not in components:
        raise HTTPException(404, f"A pod of component {state.settings.component} does not have this call.")
    return state


async def _body(request: Request, kind: type[T]) -> T:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise InvalidInputError(f"The body is longer than {MAX_BODY} bytes.")
    try:
        return msgspec.json.decode(bytes(raw), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The body is not a {kind.__name__}: {error}") from None


def _answer(state: ControlState, status: int) -> Response:
    return JSONResponse(state.document(), status_code=status)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TradingEngineError)  # noqa: S101 - registered for this class alone
    return problem_response(error.problem(), error.headers)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    document = {"type": "about:blank", "title": error.detail, "status": error.status_code, "detail": error.detail}
    return problem_response(document, dict(error.headers or {}))


def problem_response(document: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """An RFC 9457 answer with the document's own status."""
    return JSONResponse(stamp(document), status_code=document["status"], headers=headers, media_type=PROBLEM_JSON)
