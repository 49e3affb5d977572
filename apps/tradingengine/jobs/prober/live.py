"""One WebSocket that is kept open: each second it is asked for a sign of life."""

import asyncio
import time
from typing import Any, Final

import aiohttp
import msgspec

from tradingengine.jobs.prober.asking import NETWORK_ERRORS, Asker
from tradingengine.jobs.prober.outcomes import LATE_SECONDS, OWN_LAG_SECONDS, Outcome, OwnLag, Result, SlotOutcomes

BEAT_SECONDS: Final = 1.0
_VERSION: Final = 1
_ENDS: Final = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


class BrokenError(Exception):
    """The socket was closed, or said what nobody can read; `outcome` is what that counts as."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


class LiveProbe:
    """The WebSocket of one slot's api. A break counts once, and the socket is opened again a second later."""

    def __init__(
        self, session: aiohttp.ClientSession, asker: Asker, base: str, outcomes: SlotOutcomes, lag: OwnLag
    ) -> None:
        self._session = session
        self._asker = asker
        self._url = f"ws{base.removeprefix('http')}/ws"
        self._outcomes = outcomes
        self._lag = lag
        self._release = ""
        self._sequence = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            started = time.monotonic()
            try:
                await self._one_life()
            except TimeoutError:
                had_time = self._lag.since(started) < OWN_LAG_SECONDS
                self._take(Outcome.LATE if had_time else Outcome.SKIPPED, detail=f"silent for {LATE_SECONDS:g} s")
            except BrokenError as error:
                self._take(error.outcome, detail=str(error))
            except NETWORK_ERRORS as error:
                self._take(Outcome.FAILED, detail=type(error).__name__)
            await asyncio.sleep(BEAT_SECONDS)

    async def _one_life(self) -> None:
        self._release, self._sequence = "", 0
        async with asyncio.timeout(LATE_SECONDS):
            socket = await self._session.ws_connect(self._url, headers=self._asker.headers(), max_msg_size=0)
        try:
            await self._hear(socket, "hello")
            while True:
                asked = time.monotonic()
                await socket.send_str('{"t":"ping"}')
                await self._hear(socket, "pong")
                self._take(Outcome.OK, seconds=time.monotonic() - asked)
                await self._listen(socket, asked + BEAT_SECONDS)
        finally:
            # Without a word: a server that hangs would not answer it, and one that is well takes no harm.
            await self._leave(socket)

    async def _leave(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async with asyncio.timeout(LATE_SECONDS):
                await socket.close()
        except (TimeoutError, *NETWORK_ERRORS):
            return

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, kind: str) -> None:
        """Wait for a message of this kind; TimeoutError when it is late."""
        async with asyncio.timeout(LATE_SECONDS):
            while await self._next(socket) != kind:
                pass

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, until: float) -> None:
        """Take what comes until a time of the monotonic clock."""
        while (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._next(socket)
            except TimeoutError:
                return

    async def _next(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """The kind of the next message, whose number must follow the one before."""
        message = await socket.receive()
        if message.type in _ENDS:
            raise BrokenError(Outcome.FAILED, f"closed with {socket.close_code}")
        document = self._read(message.data)
        self._sequence += 1
        if document is None or document.get("v") != _VERSION or document.get("seq") != self._sequence:
            raise BrokenError(Outcome.WRONG, "a message that cannot be read, or not the next one")
        if document.get("t") == "hello":
            self._release = str((document.get("d") or {}).get("release", ""))
        return str(document.get("t"))

    @staticmethod
    def _read(text: Any) -> dict[str, Any] | None:
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, TypeError):
            return None
        return document if isinstance(document, dict) else None

    def _take(self, outcome: Outcome, *, seconds: float | None = None, detail: str = "") -> None:
        self._outcomes.take("api", "socket", Result(outcome, self._release, seconds, detail))
