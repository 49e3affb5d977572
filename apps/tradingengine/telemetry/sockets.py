"""WebSockets as a release is judged by them: how many were opened, and which of them broke by a fault of the program.

A client that goes away is none, whether it says so or its network is gone; neither is a planned end: a withdrawal or a
restart (1012), a session that is over or a release that is gone (4000 and above), a refusal (1008, or 403 instead of a
handshake). What remains is a fault: the program raised an error, or closed with another code, or simply ended; or one
side could not read what the other one had sent. The page is part of the release, so that counts whoever noticed it.
"""

import asyncio
from typing import Final

from tradingengine.telemetry.metrics import Metrics
from tradingengine.telemetry.types import ASGIApp, Message, Receive, Scope, Send

_PLANNED: Final = frozenset({1001, 1008, 1012, 1013})
_UNREADABLE: Final = frozenset({1002, 1003, 1007, 1009, 1010})
_OWN_CODES: Final = 4000
_BROKEN_HANDSHAKE: Final = 500


class SocketWatch:
    """Stands between the server and the application for one WebSocket."""

    def __init__(self, metrics: Metrics, source: str, receive: Receive, send: Send) -> None:
        self._metrics = metrics
        self._source = source
        self._receive = receive
        self._send = send
        self._accepted = False
        self._ended = False
        self._reason: str | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """The whole life of the socket; then it is known whether it was dropped."""
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            raise
        except BaseException:
            if not self._ended:
                self._reason = "error"
            raise
        else:
            if self._accepted and not self._ended:
                self._reason = "closed"  # ended without a word: the client sees a broken connection
        finally:
            if self._reason is not None:
                self._metrics.socket_dropped(source=self._source, reason=self._reason)

    async def receive(self) -> Message:
        """What the server says; a disconnect tells how the client left."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            if not self._ended and message.get("code") in _UNREADABLE:
                self._reason = "protocol"
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        """What the application says."""
        try:
            await self._send(message)
        except OSError:  # the client is gone: a server says so by this error
            self._ended = True
            raise
        if message["type"] == "websocket.accept":
            self._accepted = True
            self._metrics.socket_opened(source=self._source)
        elif message["type"] == "websocket.close" and not self._ended:
            self._ended = True
            if self._accepted and not is_planned(message.get("code", 1000)):
                self._reason = "closed"
        elif message["type"] == "websocket.http.response.start":
            self._ended = True
            if message["status"] >= _BROKEN_HANDSHAKE:
                self._reason = "error"


def is_planned(code: int) -> bool:
    """Whether the program closes with this code when all is well."""
    return code in _PLANNED or code >= _OWN_CODES
