"""ASGI middleware of pods that serve people: releases that are gone, other sites' requests, headers, long bodies."""

import json
from collections import deque
from typing import Any, Final

from tradingengine.control.release_path import path_release
from tradingengine.control.state import ControlState
from tradingengine.errors import ConflictError, TradingEngineError
from tradingengine.telemetry.request_id import stamp
from tradingengine.telemetry.types import ASGIApp, Message, Receive, Scope, Send

RELEASE_HEADER: Final = b"x-te-release"
MAX_BODY_BYTES: Final = 64 * 1024
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ReleaseGoneError(ConflictError):
    """The page that asks is of a release that this pod does not serve (any more): it should reload."""

    code = "release-gone"
    title = "This release is gone; reload the page"


class BodyTooLongError(TradingEngineError):
    """The request's body is longer than anything that is asked for here."""

    code = "body_too_long"
    status = 413
    title = "The request's body is too long"


class ReleaseGuard:
    """Answers 409 `release-gone` before anything is done: to all while withdrawn, else to a page of another release.

    Which one a page is of its path says, or `x-te-release`. WebSockets pass: their endpoint closes them with a code
    that the page understands.
    """

    def __init__(self, app: ASGIApp, control: ControlState) -> None:
        self._app = app
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "http" and (error := self._refusal(scope)) is not None:
            await send_problem(send, error)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ReleaseGoneError | None:
        own = self._control.settings.release
        if self._control.withdrawn:
            return ReleaseGoneError(f"Release {own or '-'} was withdrawn.", mend="Reload the page.")
        given = path_release(scope) or header(scope, RELEASE_HEADER)
        if given and own and given != own:
            return ReleaseGoneError(f"The page is of release {given}, this is {own}.", mend="Reload the page.")
        return None


class BodyLimit:
    """Refuses bodies above 64 KiB: by the announced length, or by reading ahead those that announce none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = header(scope, b"content-length")
        if length is not None:
            fits = length.isdigit() and int(length) <= MAX_BODY_BYTES
        else:
            receive, fits = await _read_ahead(receive)
        if not fits:
            await send_problem(send, BodyTooLongError(f"At most {MAX_BODY_BYTES} bytes are taken."))
            return
        await self._app(scope, receive, send)


async def _read_ahead(receive: Receive) -> tuple[Receive, bool]:
    """A `receive` that gives what was read once more, and whether the body fits."""
    messages: deque[Message] = deque()
    size, more = 0, True
    while more and size <= MAX_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        more = message["type"] == "http.request" and bool(message.get("more_body"))

    async def again() -> Message:
        return messages.popleft() if messages else await receive()

    return again, size <= MAX_BODY_BYTES


class SecurityHeaders:
    """Adds headers to every HTTP answer that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in self._headers if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, with_headers)


COMMON_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name, None when there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def is_safe(method: str) -> bool:
    """Whether a method changes nothing."""
    return method in _SAFE


async def send_problem(send: Send, error: TradingEngineError) -> None:
    """Answer with an error's problem document."""
    body = json.dumps(stamp(error.problem())).encode()
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": error.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
