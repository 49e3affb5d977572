"""ASGI middleware that counts requests. It stands outside all others, so that refused requests count too."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from tradingengine.telemetry import names
from tradingengine.telemetry.metrics import Metrics

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"


class RequestMetrics:
    """Counts and times each HTTP request, and names the release that answers it.

    A WebSocket's handshake is counted as a request that began.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._who = [(b"x-te-release", metrics.release.encode()), (b"x-te-slot", metrics.slot.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        source = request_source(scope)
        self._metrics.begin_request(source=source)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        code = 500

        async def watch(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                # A client can tell who answered, also when the answer is an error: that is what a release is judged by.
                message["headers"] = [*message.get("headers", []), *self._who]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._metrics.end_request(
                method=scope["method"] if scope["method"] in _METHODS else "OTHER",
                route=route_of(scope),
                code=code,
                source=source,
                seconds=time.perf_counter() - started,
            )


def request_source(scope: Scope) -> str:
    """`probe` for a request that marks itself as one, else `client`."""
    return "probe" if any(name == names.PROBE_HEADER for name, _ in scope["headers"]) else "client"


def route_of(scope: Scope) -> str:
    """The template of the matched route, so that ids and typos in paths cannot multiply the series."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else UNMATCHED
