"""One browser on the WebSocket: what waits for it is the latest value of each key, never a queue of old ones.

A bar is a key of its own by its minute: a later bar never takes the place of one that waits, so the last word about
each bar reaches the browser, however fast bars come.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from tradingengine.api.stream import envelope

CONFLATE_SECONDS: Final = 0.1
MAX_PENDING: Final = 500
MAX_PENDING_BARS: Final = 10_000
"""Three seconds of the fastest tape with all symbols that one client may name."""
MAX_SYMBOLS: Final = 200
SEND_TIMEOUT: Final = 10.0
_NOW: Final = frozenset({"hello", "order", "halt", "alert", "pong", "resync"})
"""These leave at once; the others wait for the rest of their 100 ms."""

NO_SESSION: Final = b""
"""Of a client that nobody logged in: the prober, by its token."""

Send = Callable[[str], Awaitable[None]]


class SlowClientError(Exception):
    """The client did not take one message for ten seconds."""


def bar_key(symbol: str, time: int) -> str:
    """The key of a bar's messages; `time` is its start in epoch seconds."""
    return f"{symbol} {time}"


class Client:
    """Messages for one socket. `offer` never waits; `pump` sends."""

    def __init__(self, send: Send, *, session_hash: bytes = NO_SESSION) -> None:
        self._send = send
        self.session_hash = session_hash
        self.symbols: frozenset[str] = frozenset()
        self._pending: dict[tuple[str, str], bytes] = {}
        self._bars: dict[tuple[str, str], bytes] = {}
        self._urgent = asyncio.Event()
        self._any = asyncio.Event()
        self._sequence = 0
        self.conflated = 0
        self.close_code: int | None = None

    def offer(self, kind: str, key: str, data: bytes) -> None:
        """Put a message in place of an older one with the same kind and key.

        A client that is so slow that too many keys wait loses them all and is told to ask anew (`resync`), this message
        behind it.
        """
        place = (kind, key)
        waiting, most = (self._bars, MAX_PENDING_BARS) if kind == "candle" else (self._pending, MAX_PENDING)
        if place in waiting:
            self.conflated += 1
        elif len(waiting) >= most:
            self.conflated += len(self._pending) + len(self._bars)
            self._pending.clear()
            self._bars.clear()
            self._pending["resync", ""] = b"{}"
            self._urgent.set()
        waiting[place] = data
        self._any.set()
        if kind in _NOW:
            self._urgent.set()

    def subscribe(self, text: str) -> str | None:
        """Take a message of the client: the kind of the answer it needs (`pong`), None otherwise. Junk is ignored."""
        try:
            message: Any = orjson.loads(text)
        except ValueError:
            return None
        if not isinstance(message, dict):
            return None
        if message.get("t") == "ping":
            return "pong"
        data = message.get("d")
        symbols = data.get("symbols") if isinstance(data, dict) else None
        if message.get("t") == "subscribe" and isinstance(symbols, list):
            wanted = [symbol for symbol in symbols if isinstance(symbol, str) and len(symbol) <= 64]
            self.symbols = frozenset(wanted[:MAX_SYMBOLS])
        return None

    def close(self, code: int) -> None:
        """Let `pump` end with this close code."""
        self.close_code = code
        self._any.set()
        self._urgent.set()

    async def pump(self) -> int:
        """Send what is offered until `close`; the close code. SlowClientError when a message is not taken."""
        loop = asyncio.get_running_loop()
        while self.close_code is None:
            await self._any.wait()
            started = loop.time()
            await self._flush()
            await self._rest(CONFLATE_SECONDS - (loop.time() - started))
        return self.close_code

    async def _rest(self, seconds: float) -> None:
        """The rest of the 100 ms, unless something came that leaves at once."""
        if seconds <= 0 or self.close_code is not None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _flush(self) -> None:
        pending, self._pending = self._pending | self._bars, {}
        self._bars = {}
        self._any.clear()
        self._urgent.clear()
        quotes = [data for (kind, _), data in pending.items() if kind == "quotes"]
        messages = [(kind, data) for (kind, _), data in pending.items() if kind != "quotes"]
        if quotes:
            messages.append(("quotes", envelope.join(quotes)))
        for kind, data in messages:
            self._sequence += 1
            try:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await self._send(envelope.wrap(kind, self._sequence, data))
            except TimeoutError:
                raise SlowClientError from None
