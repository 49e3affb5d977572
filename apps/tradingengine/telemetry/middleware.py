"""ASGI middleware that counts requests. It stands outside all others, so that refused requests count too."""

from typing import Final

from tradingengine.telemetry import names
from tradingengine.telemetry.metrics import Metrics
from tradingengine.telemetry.requests import InFlight
from tradingengine.telemetry.sockets import SocketWatch
from tradingengine.telemetry.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"


class RequestMetrics:
    """Counts and times each HTTP request, and names the release that answers it.

    A WebSocket's handshake is counted as a request that began; how long it lives is no request's duration.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._who = [(b"x-te-release", metrics.release.encode()), (b"x-te-slot", metrics.slot.encode())]
        metrics.expect_requests()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        source = request_source(scope)
        if scope["type"] == "websocket":
            self._metrics.begin_socket(source=source)
            await SocketWatch(self._metrics, source, receive, send).run(self._app, scope)
            return
        await self._answer(scope, receive, send, self._metrics.begin_request(source=source))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request: InFlight) -> None:
        code = 500

        async def watch(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                # A client can tell who answered, also when the answer is an error: that is what a release is judged by.
                message["headers"] = [*message.get("headers", []), *self._who]
            request.wait()
            try:
                await send(message)
            finally:
                request.go_on()

        try:
            await self._app(scope, _body(receive, request), watch)
        finally:
            self._metrics.end_request(
                request,
                method=scope["method"] if scope["method"] in _METHODS else "OTHER",
                route=route_of(scope),
                code=code,
            )


def _body(receive: Receive, request: InFlight) -> Receive:
    """A `receive` whose waiting is the client's until its body is complete; after that nothing more is expected."""
    complete = False

    async def watch() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        request.wait()
        try:
            message = await receive()
        finally:
            request.go_on()
        complete = not message.get("more_body", False)
        return message

    return watch


def request_source(scope: Scope) -> str:
    """`probe` for a request that marks itself as one, else `client`."""
    return "probe" if any(name == names.PROBE_HEADER for name, _ in scope["headers"]) else "client"


def route_of(scope: Scope) -> str:
    """The template of the matched route, so that ids and typos in paths cannot multiply the series."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else UNMATCHED
