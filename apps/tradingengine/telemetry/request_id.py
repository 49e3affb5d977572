"""`X-Request-Id`: one name for a request in its answer, in its problem document and in every line of the log about it.

A caller may bring the name, so that its own log and ours can be laid side by side; what could break a log line or a
header is not taken, and the request gets a new name instead.
"""

import logging
import re
from typing import Any, Final

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id

from tradingengine.telemetry.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-Id"
PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{7,63}$"
"""What is taken from a caller: 8 to 64 letters, digits, `.`, `_`, `-`; a UUID is one."""
_VALID: Final = re.compile(PATTERN)
_NAME: Final = HEADER.lower().encode()


def request_id() -> str | None:
    """The name of the request that is served here; None outside of requests."""
    return correlation_id.get()


def stamp(document: dict[str, Any]) -> dict[str, Any]:
    """A problem document with the `request_id` by which its cause is found in the log."""
    name = request_id()
    return {**document, "request_id": name} if name is not None else document


class RequestId:
    """Names each request and WebSocket, and says the name in the answer, whoever gives it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._named = CorrelationIdMiddleware(self._with_handshakes, header_name=HEADER, validator=_is_valid)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        await self._named(scope, receive, send)

    async def _with_handshakes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The library names answers of HTTP; this adds the answers to handshakes of WebSockets, refusals too."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        answered = False

        async def named(message: Message) -> None:
            nonlocal answered
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                answered = True
                message["headers"] = [*message.get("headers", []), (_NAME, (request_id() or "").encode())]
            elif message["type"] == "websocket.close" and not answered and _can_refuse(scope):
                answered = True
                await _refuse(named)
                return
            await send(message)

        await self._app(scope, receive, named)


def _can_refuse(scope: Scope) -> bool:
    return "websocket.http.response" in scope.get("extensions", {})


async def _refuse(named: Send) -> None:
    """What a server answers by itself to a handshake that is closed: 403 without a body."""
    headers = [(b"content-length", b"0")]
    await named({"type": "websocket.http.response.start", "status": 403, "headers": headers})
    await named({"type": "websocket.http.response.body", "body": b""})


def _is_valid(name: str) -> bool:
    return _VALID.fullmatch(name) is not None


class RequestIdFilter(logging.Filter):
    """Puts `request_id` on each record that is written while a request is served."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        name = request_id()
        if name is not None:
            record.request_id = name
        return True
