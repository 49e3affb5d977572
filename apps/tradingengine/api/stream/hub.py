"""Fans out to all browsers of one pod from one Redis subscription.

Prices come from the channels. What people did, and what became of it, is read from Postgres when a change is told
(by this pod's projector or by `te:changes`), and each five seconds whether or not something was told.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tradingengine.api.metrics import ApiMetrics
from tradingengine.api.stream import envelope
from tradingengine.api.stream.client import NO_SESSION, Client, bar_key
from tradingengine.control.state import ControlState
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.security import sessions
from tradingengine.storage import alerts, documents, orders, quotes, streams, users
from tradingengine.storage.documents import alert_document
from tradingengine.storage.reads import Reads
from tradingengine.telemetry.loops import run_loop

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
DERIVED_SECONDS: Final = 1.0
SESSION_SECONDS: Final = 30.0
RESTART: Final = 1012
FAILED: Final = 1011
"""An error of ours; such a socket counts as dropped."""
NOT_LOGGED_IN: Final = 4401
RELEASE_GONE: Final = 4409
_OVERLAP: Final = timedelta(seconds=10)
_MOST_CHANGES: Final = 2000
_MOST_ORDERS: Final = 1000
_NEWS: Final = timedelta(seconds=30)


class Hub:
    """The clients of one pod."""

    def __init__(self, control: ControlState, reads: Reads, subscriber: streams.Client, metrics: ApiMetrics) -> None:
        self._control = control
        self._reads = reads
        self._subscriber = subscriber
        self._metrics = metrics
        self.clients: set[Client] = set()
        self.user_release: Callable[[], dict[str, Any]] = dict
        self._quotes: dict[str, bytes] = {}
        self._last: dict[str, bytes] = {}
        self._orders: OrderedDict[str, bytes] = OrderedDict()
        self._newcomers: list[Client] = []
        self._changes: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._since = datetime.now(UTC)
        self._heard_before = False
        control.websockets = lambda: len(self.clients)
        control.on_withdraw.append(self.withdraw)
        control.on_stop.append(self.stop)
        control.on_release.append(lambda: self.changed([("status", "release")]))

    def add(self, client: Client) -> None:
        """A client has connected: greet it, and give it the quotes and summaries that are at hand."""
        settings = self._control.settings
        self.clients.add(client)
        self._control.metrics.websockets.set(len(self.clients))
        client.offer("hello", "", envelope.encode({"release": settings.release, "slot": settings.slot}))
        for kind, data in self._last.items():
            client.offer(kind, "", data)
        self.changed([("status", ""), ("position", ""), ("halt", "")])
        self._newcomers.append(client)

    def remove(self, client: Client) -> None:
        """A client is gone."""
        self.clients.discard(client)
        if not self.clients:
            self._last.clear()  # nobody keeps it fresh from now on
        self._metrics.conflated.inc(client.conflated)
        self._control.metrics.websockets.set(len(self.clients))

    def subscribed(self, client: Client) -> None:
        """A client named its symbols: give it their last quotes."""
        for symbol in client.symbols:
            if (data := self._quotes.get(symbol)) is not None:
                client.offer("quotes", symbol, data)

    async def withdraw(self, spread_seconds: float) -> None:
        """Close all sockets with 1012 over `spread_seconds`; returns at once."""
        asyncio.get_running_loop().create_task(self._close_all(spread_seconds))

    async def stop(self) -> None:
        """Close all sockets with 1012 now."""
        await self._close_all(0.0)

    async def _close_all(self, spread_seconds: float) -> None:
        clients = list(self.clients)
        for client in clients:
            client.close(RESTART)
            if spread_seconds > 0:
                await asyncio.sleep(spread_seconds / len(clients))

    def changed(self, changes: list[tuple[str, str]]) -> None:
        """Something changed in Postgres: read it and tell the clients soon. Never waits."""
        if len(self._changes) < _MOST_CHANGES:
            self._changes.update(changes)
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled; survives the loss of Postgres and of Redis."""
        metrics = self._control.metrics
        await asyncio.gather(
            run_loop("subscription", self._subscribe, metrics),
            run_loop("changes", self._tell_changes, metrics),
            run_loop("poll", self._poll, metrics),
            run_loop("derived", self._tell_derived, metrics),
            run_loop("sessions", self._check_sessions, metrics),
        )

    def broadcast(self, kind: str, key: str, data: bytes) -> None:
        """Offer one message to everybody."""
        for client in self.clients:
            client.offer(kind, key, data)

    async def _subscribe(self) -> None:
        for symbol, priced in (await self._reads.prices()).items():
            self._take_quote(symbol, priced)
        async with self._subscriber.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(streams.QUOTES, streams.CANDLES, streams.CHANGES)
            if self._heard_before:
                self._resync()  # bars that closed meanwhile come by no other way
            self._heard_before = True
            while True:
                message = await subscription.get_message(timeout=POLL_SECONDS)
                if message is not None:
                    self._take(str(message["channel"]), str(message["data"]))

    def _resync(self) -> None:
        self.broadcast("resync", "", b"{}")

    def _take(self, channel: str, text: str) -> None:
        if channel == streams.QUOTES:
            for priced in quotes.decode_message(text):
                self._take_quote(priced.quote.symbol, priced)
        elif channel == streams.CANDLES:
            self._take_candles(text)
        else:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                change = streams.loads(text)
                if change.get("from") != self._control.settings.pod:
                    self.changed([(str(change["kind"]), str(change["id"]))])

    def _take_quote(self, symbol: str, priced: quotes.Priced) -> None:
        data = envelope.encode(documents.quote_document(priced.quote, priced.at))
        self._quotes[symbol] = data
        for client in self.clients:
            if symbol in client.symbols:
                client.offer("quotes", symbol, data)

    def _take_candles(self, text: str) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            message = streams.loads(text)
            if message.get("gap"):
                self._resync()
            for item in message["c"]:
                symbol = str(item["s"])
                listening = [client for client in self.clients if symbol in client.symbols]
                if listening:
                    data = envelope.encode(_candle(symbol, item))
                    for client in listening:
                        client.offer("candle", bar_key(symbol, int(item["t"])), data)

    async def _tell_changes(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        changes, self._changes = self._changes, set()
        if not self.clients:
            return
        try:
            if self._newcomers:
                await self._greet()
            await self._tell(changes)
        except DatabaseUnavailableError:
            self._changes |= changes
            self._changed.set()
            raise

    async def _tell(self, changes: set[tuple[str, str]]) -> None:
        order_ids = sorted(ref for kind, ref in changes if kind == "order")
        for start in range(0, len(order_ids), 200):
            for order in await self._reads.orders_by_id(order_ids[start : start + 200]):
                self._tell_order(order["id"], envelope.encode(order))
        for ref in sorted(ref for kind, ref in changes if kind == "alert"):
            async with self._reads.database.connection() as connection:
                row = await alerts.by_id(connection, ref)
            if row is not None:
                self.broadcast("alert", ref, envelope.encode(alert_document(row)))
        kinds = {kind for kind, _ in changes}
        if "halt" in kinds:
            self.broadcast("halt", "", envelope.encode(await self._reads.latest_halt()))
        if "position" in kinds:
            await self._tell_positions()
        if kinds & {"status", "halt"}:
            await self._tell_status()

    def tell_order(self, document: dict[str, Any]) -> None:
        """An order as this pod has just stored it."""
        if self.clients:
            self._tell_order(document["id"], envelope.encode(document))

    def _tell_order(self, order_id: str, data: bytes) -> None:
        """To everybody, unless it was the last thing said of this order."""
        if self._orders.get(order_id) == data:
            return
        self._orders[order_id] = data
        self._orders.move_to_end(order_id)
        if len(self._orders) > _MOST_ORDERS:
            self._orders.popitem(last=False)
        self.broadcast("order", order_id, data)

    async def _greet(self) -> None:
        """Newcomers get what changed in the last half minute: their page was made before they connected."""
        newcomers, self._newcomers = self._newcomers, []
        since = datetime.now(UTC) - _NEWS
        async with self._reads.database.connection() as connection:
            touched = await orders.touched_since(connection, since, limit=100)
        for order in await self._reads.orders_by_id(touched):
            for client in newcomers:
                client.offer("order", order["id"], envelope.encode(order))

    async def _poll(self) -> None:
        """What was told and got lost: everything that changed since the last poll, and a little before it."""
        await asyncio.sleep(POLL_SECONDS)
        self._metrics.heartbeat_age.set(await self._heartbeat_age())
        if not self.clients:
            self._since = datetime.now(UTC)
            return
        since, now = self._since - _OVERLAP, datetime.now(UTC)
        async with self._reads.database.connection() as connection:
            touched = await orders.touched_since(connection, since)
            fresh = await alerts.newest(connection, limit=50, since=since)
        self._since = now
        self.changed([("order", ref) for ref in touched] + [("alert", row["id"]) for row in fresh] + [("halt", "")])

    async def _heartbeat_age(self) -> float:
        heartbeat = await self._reads.heartbeat()
        return heartbeat.age if heartbeat is not None else float("nan")

    async def _tell_derived(self) -> None:
        """Each second: what follows from prices and heartbeats. Only what differs from the last time is sent."""
        await asyncio.sleep(DERIVED_SECONDS)
        if self.clients:
            await self._tell_status()
            await self._tell_positions()
            self._tell_once("summary", envelope.encode(await self._reads.summary()))

    async def _tell_positions(self) -> None:
        self._tell_once("position", envelope.encode(await self._reads.positions()))

    async def _tell_status(self) -> None:
        status = await self._reads.status(self._control.release_document, self.user_release())
        self._tell_once("status", envelope.encode(status))

    def _tell_once(self, kind: str, data: bytes) -> None:
        if self._last.get(kind) != data:
            self._last[kind] = data
            self.broadcast(kind, "", data)

    async def _check_sessions(self) -> None:
        """Close sockets whose session is over; an open page keeps its session from going idle."""
        await asyncio.sleep(SESSION_SECONDS)
        for client in [client for client in self.clients if client.session_hash != NO_SESSION]:
            async with self._reads.database.connection() as connection:
                user = await users.session_user(connection, client.session_hash, sessions.IDLE)
            if user is None:
                client.close(NOT_LOGGED_IN)


def _candle(symbol: str, item: dict[str, Any]) -> dict[str, Any]:
    rupees = documents.optional_rupees
    return {
        "symbol": symbol,
        "time": int(item["t"]),
        "open": rupees(int(item["o"])),
        "high": rupees(int(item["h"])),
        "low": rupees(int(item["l"])),
        "close": rupees(int(item["c"])),
        "volume": int(item["v"]),
    }
