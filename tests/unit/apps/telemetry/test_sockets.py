"""Which WebSockets count as dropped."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from tradingengine.telemetry.metrics import Metrics
from tradingengine.telemetry.middleware import RequestMetrics

pytestmark = pytest.mark.unit

App = Callable[[Any, Any, Any], Awaitable[None]]
ACCEPT = {"type": "websocket.accept"}


class Socket:
    """The server's side of one WebSocket; it hands `codes` to the application as disconnects, one for each read."""

    def __init__(self, *codes: int, gone: bool = False) -> None:
        self.codes = list(codes)
        self.gone = gone
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        """A disconnect."""
        return {"type": "websocket.disconnect", "code": self.codes.pop(0)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Kept; an error as a server raises it when the client is gone."""
        if self.gone and message["type"] != "websocket.accept":
            raise OSError("gone")
        self.sent.append(message)


async def drops(app: App, socket: Socket, *headers: tuple[bytes, bytes]) -> dict[tuple[str, str], float]:
    """What was counted as dropped, by source and reason, after one life of a socket."""
    metrics = Metrics(component="api", release="7", slot="a")
    scope = {"type": "websocket", "path": "/ws", "headers": list(headers)}
    with contextlib.suppress(RuntimeError, OSError, asyncio.CancelledError):
        await RequestMetrics(app, metrics)(scope, socket.receive, socket.send)
    return {
        (sample.labels["source"], sample.labels["reason"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tradingengine_websocket_drops_total" and sample.value
    }


def closing(code: int | None) -> App:
    """An application that accepts, and then closes with a code, or ends without a word."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        if code is not None:
            await send({"type": "websocket.close", "code": code})

    return app


async def listening(scope: Any, receive: Any, send: Any) -> None:
    """An application that accepts and listens until the end."""
    await send(ACCEPT)
    await receive()


async def breaking(scope: Any, receive: Any, send: Any) -> None:
    """An application with an error."""
    await send(ACCEPT)
    raise RuntimeError("broken")


@pytest.mark.parametrize("code", [1001, 1008, 1012, 1013, 4401, 4409])
async def test_a_planned_end_is_no_drop(code: int) -> None:
    assert await drops(closing(code), Socket()) == {}


@pytest.mark.parametrize("code", [1000, 1002, 1011])
async def test_another_code_of_the_program_is_one(code: int) -> None:
    assert await drops(closing(code), Socket()) == {("client", "closed"): 1}


async def test_an_end_without_a_word_is_one() -> None:
    assert await drops(closing(None), Socket()) == {("client", "closed"): 1}


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1012, 4000])
async def test_a_client_that_goes_away_is_none(code: int) -> None:
    assert await drops(listening, Socket(code)) == {}


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009, 1010])
async def test_what_one_side_cannot_read_is_one(code: int) -> None:
    assert await drops(listening, Socket(code)) == {("client", "protocol"): 1}


async def test_an_error_is_one_and_marked_sockets_are_apart() -> None:
    assert await drops(breaking, Socket()) == {("client", "error"): 1}
    assert await drops(breaking, Socket(), (b"x-te-probe", b"1")) == {("probe", "error"): 1}


async def test_an_error_after_the_client_has_gone_is_none() -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()
        raise RuntimeError("too late to matter")

    async def sending(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "hello"})

    assert await drops(late, Socket(1001)) == {}
    assert await drops(sending, Socket(gone=True)) == {}


async def test_the_end_of_the_program_is_none() -> None:
    async def cancelled(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise asyncio.CancelledError

    assert await drops(cancelled, Socket()) == {}


async def test_a_refused_handshake_is_none_and_a_broken_one_is() -> None:
    def answering(status: int) -> App:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})

        return app

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1000})

    assert await drops(answering(403), Socket()) == {}
    assert await drops(refusing, Socket()) == {}
    assert await drops(answering(500), Socket()) == {("client", "error"): 1}


async def test_opened_ones_are_counted_when_the_handshake_is_complete() -> None:
    metrics = Metrics(component="api", release="7", slot="a")
    socket = Socket(1001)
    await RequestMetrics(listening, metrics)({"type": "websocket", "headers": []}, socket.receive, socket.send)
    labels = {"component": "api", "release": "7", "slot": "a", "source": "client"}
    assert metrics.registry.get_sample_value("tradingengine_websockets_opened_total", labels) == 1
    assert metrics.client_requests == 1
