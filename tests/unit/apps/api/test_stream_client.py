"""One browser's messages: the latest of each key, at most each 100 ms, never a growing queue."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tradingengine.api.stream import client as module
from tradingengine.api.stream.client import MAX_PENDING, MAX_SYMBOLS, Client, SlowClientError, bar_key

from tests.waiting import until

pytestmark = pytest.mark.unit


class Socket:
    """Takes messages, or holds them up until `free` is set."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, text: str) -> None:
        """Take one message when free."""
        await self.free.wait()
        self.messages.append(json.loads(text))


async def pumping(body: Callable[[Client, Socket], Awaitable[None]]) -> int:
    """Run `body` beside a client's pump; the close code."""
    socket = Socket()
    client = Client(socket.send)
    pump = asyncio.create_task(client.pump())
    await body(client, socket)
    client.close(1012)
    return await asyncio.wait_for(pump, timeout=10)


async def test_messages_are_numbered_and_quotes_come_as_one_list() -> None:
    async def body(client: Client, socket: Socket) -> None:
        client.offer("quotes", "A", b'{"symbol":"A"}')
        client.offer("quotes", "B", b'{"symbol":"B"}')
        client.offer("order", "1", b'{"id":"1"}')
        await until(lambda: len(socket.messages) == 2)
        assert [(message["t"], message["seq"], message["d"]) for message in socket.messages] == [
            ("order", 1, {"id": "1"}),
            ("quotes", 2, [{"symbol": "A"}, {"symbol": "B"}]),
        ]
        assert all(message["v"] == 1 and message["at"] > 0 for message in socket.messages)

    assert await pumping(body) == 1012


async def test_a_slow_client_gets_the_latest_and_not_the_past() -> None:
    async def body(client: Client, socket: Socket) -> None:
        socket.free.clear()
        client.offer("summary", "", b"0")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in range(1, 50):
            client.offer("summary", "", str(number).encode())
            client.offer("quotes", "A", str(number).encode())
        assert client.conflated >= 96
        socket.free.set()
        await until(lambda: len(socket.messages) >= 2 and socket.messages[-1]["d"] == [49])
        assert [message["d"] for message in socket.messages if message["t"] == "summary"][-1] == 49
        assert len(socket.messages) <= 4

    await pumping(body)


async def test_too_many_keys_become_one_resync() -> None:
    async def body(client: Client, socket: Socket) -> None:
        socket.free.clear()
        client.offer("order", "first", b"{}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in range(MAX_PENDING + 1):
            client.offer("order", str(number), b"{}")
        socket.free.set()
        await until(lambda: any(message["t"] == "resync" for message in socket.messages))
        assert len(socket.messages) < 10

    await pumping(body)


async def test_urgent_messages_do_not_wait_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFLATE_SECONDS", 30.0)

    async def body(client: Client, socket: Socket) -> None:
        client.offer("summary", "", b"1")
        await until(lambda: len(socket.messages) == 1)
        client.offer("summary", "", b"2")
        client.offer("order", "1", b"{}")
        await until(lambda: len(socket.messages) == 3)

    await pumping(body)


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_TIMEOUT", 0.01)
    socket = Socket()
    socket.free.clear()
    client = Client(socket.send)
    client.offer("order", "1", b"{}")
    with pytest.raises(SlowClientError):
        await asyncio.wait_for(client.pump(), timeout=10)


def test_what_a_client_says_is_taken_with_care() -> None:
    async def send(text: str) -> None:
        raise AssertionError(text)

    client = Client(send)
    assert client.subscribe('{"t":"ping"}') == "pong"
    for junk in ("", "[]", "5", '{"t":"subscribe"}', '{"t":"subscribe","d":{"symbols":"A"}}', '{"t":"x","d":[]}'):
        assert client.subscribe(junk) is None
    assert client.symbols == frozenset()
    many = [f"S{number}" for number in range(MAX_SYMBOLS + 50)]
    assert client.subscribe(json.dumps({"t": "subscribe", "d": {"symbols": [5, "x" * 100, *many]}})) is None
    assert client.symbols == frozenset(many[:MAX_SYMBOLS])


async def test_a_closed_bar_is_never_conflated_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(client: Client, socket: Socket) -> None:
        socket.free.clear()
        client.offer("candle", bar_key("A", 0), b"0")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for minute in range(MAX_PENDING * 2):
            client.offer("candle", bar_key("A", minute), b'"forming"')
            client.offer("candle", bar_key("A", minute), str(minute).encode())
        socket.free.set()
        await until(lambda: bool(socket.messages) and socket.messages[-1]["d"] == MAX_PENDING * 2 - 1)
        told = [message["d"] for message in socket.messages if message["t"] == "candle"]
        assert told[1:] == list(range(MAX_PENDING * 2)), "each bar once, in its last form, in order"
        assert not any(message["t"] == "resync" for message in socket.messages)

    await pumping(body)


async def test_too_many_bars_become_one_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_BARS", 10)

    async def body(client: Client, socket: Socket) -> None:
        socket.free.clear()
        client.offer("order", "first", b"{}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for minute in range(12):
            client.offer("candle", bar_key("A", minute), str(minute).encode())
        socket.free.set()
        await until(lambda: len(socket.messages) == 4)
        # The page asks anew, and what came after is on top of that.
        assert [(message["t"], message["d"]) for message in socket.messages[1:]] == [
            ("resync", {}),
            ("candle", 10),
            ("candle", 11),
        ]

    await pumping(body)
