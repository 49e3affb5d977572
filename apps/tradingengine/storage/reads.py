"""Everything that people read, in one place for api and dashboard: the documents of `/v1` and of first page loads.

All reads of Redis are for show: when it is gone, prices and the edge are unknown, and the rest is still answered.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from tradingengine.config import EngineConfig
from tradingengine.domain.candles import INTERVALS, Interval, bar_start, next_bar_start, resample
from tradingengine.domain.clock import IST, rfc3339
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.money import format_rupees
from tradingengine.domain.risk import day_pnl, market_day
from tradingengine.errors import DatabaseUnavailableError, NotFoundError
from tradingengine.storage import alerts, documents, halts, market, orders, paging, positions, quotes, streams
from tradingengine.storage.heartbeat import Heartbeat, read_heartbeat
from tradingengine.storage.paging import Page
from tradingengine.storage.postgres import Connection, Database
from tradingengine.storage.quotes import Priced
from tradingengine.storage.records import StoredPosition

MAX_PAGE: Final = 500
MAX_CANDLES: Final = 2000
MAX_MINUTES: Final = 40_000  # what one answer may be made of
SPARK_POINTS: Final = 60
HEARTBEAT_SECONDS: Final = 0.2
SAMPLE_SECONDS: Final = 15
_SLOW_SECONDS: Final = 0.25


class Reads:
    """Read access to one engine. Raises DatabaseUnavailableError where Postgres is needed and gone."""

    def __init__(
        self,
        database: Database,
        cache: streams.Client,
        engine: EngineConfig,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.database = database
        self.cache = cache
        self.engine = engine
        self.now = now
        self._heard: tuple[Heartbeat | None, float] = (None, 0.0)
        self._states: dict[str, tuple[str, datetime]] = {}

    async def heartbeat(self) -> Heartbeat | None:
        """The edge's last heartbeat, however old; None when there never was one or Redis is gone.

        Read five times a second at most.
        """
        clock = asyncio.get_running_loop().time
        known, read_at = self._heard
        elapsed = clock() - read_at
        if known is not None and known.fresh and elapsed < HEARTBEAT_SECONDS:
            return Heartbeat(document=known.document, age=known.age + elapsed)
        try:
            known = await read_heartbeat(self.cache, now=self.now())
        except streams.CACHE_ERRORS:
            known = None
        self._heard = (known, clock())
        return known

    async def prices(self, symbols: Sequence[str] | None = None) -> dict[str, Priced]:
        """Latest quotes by symbol; empty when Redis is gone."""
        try:
            return await quotes.latest(self.cache, symbols)
        except streams.CACHE_ERRORS:
            return {}

    async def quotes(self, symbols: Sequence[str]) -> list[dict[str, Any]]:
        """Quotes in the order asked for; symbols without a price are left out."""
        found = await self.prices(symbols)
        return [documents.quote_document(found[s].quote, found[s].at) for s in symbols if s in found]

    async def instrument(self, symbol: str) -> Instrument | None:
        """One active instrument."""
        async with self.database.connection() as connection:
            return await market.instrument(connection, symbol)

    async def known_symbols(self, symbols: Sequence[str]) -> set[str]:
        """Those of the symbols that are, or ever were, an instrument here."""
        async with self.database.connection() as connection:
            return await market.known_symbols(connection, symbols)

    async def instruments(self, query: str, *, cursor: str | None = None, limit: int) -> Page:
        """A page of a search by symbol and name, best match first."""
        start, limit = int(cursor or 0), max(1, min(limit, MAX_PAGE))
        async with self.database.connection() as connection:
            found = await market.search_instruments(connection, query, limit=start + limit + 1)
        return paging.by_offset([documents.instrument_document(item) for item in found], cursor, limit)

    async def order(self, order_id: str) -> dict[str, Any]:
        """One order; NotFoundError when there is none."""
        found = await self.orders_by_id([order_id])
        if not found:
            raise NotFoundError(f"There is no order {order_id}.", field="id")
        return found[0]

    async def orders_by_id(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Orders in the order of `ids`; unknown ones are left out."""
        async with self.database.connection() as connection:
            stored = await orders.by_ids(connection, ids)
            timelines = await orders.timelines(connection, list(stored))
        return [documents.order_document(stored[i], timelines.get(i, ())) for i in ids if i in stored]

    async def orders(self, state: str, *, cursor: str | None, limit: int) -> Page:
        """A page of orders, newest first."""
        limit = max(1, min(limit, MAX_PAGE))
        async with self.database.connection() as connection:
            stored = await orders.page(connection, state, before=cursor, limit=limit + 1)
            shown = stored[:limit]
            timelines = await orders.timelines(connection, [item.order.id for item in shown])
        items = [documents.order_document(item, timelines.get(item.order.id, ())) for item in shown]
        return {"items": items, "next_cursor": shown[-1].order.id if len(stored) > limit else None}

    async def positions(self) -> list[dict[str, Any]]:
        """Open positions and those closed on this market day."""
        heartbeat, stored = await asyncio.gather(self.heartbeat(), self._stored_positions())
        day, run = self._market_day(heartbeat), heartbeat.run if heartbeat is not None else None
        shown = [item for item in stored if item.position.quantity or _is_today(item, day, run)]
        prices = await self.prices([item.position.key.symbol for item in shown])
        return [
            documents.position_document(item, _last(prices, item), today=_is_today(item, day, run)) for item in shown
        ]

    async def _stored_positions(self) -> list[StoredPosition]:
        async with self.database.connection() as connection:
            return await positions.everything(connection)

    def _market_day(self, heartbeat: Heartbeat | None) -> date:
        return market_day(self._market_time(heartbeat) or self.now())

    def _market_time(self, heartbeat: Heartbeat | None) -> datetime | None:
        """Market time; None while only the edge could tell it. Real prices have the wall clock's."""
        told = heartbeat.market_time if heartbeat is not None else None
        return told or (self.now() if self.engine.market_data.source == "broker" else None)

    def _day_start(self) -> datetime:
        """Midnight IST of the wall clock's day, UTC."""
        return self.now().astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    async def pnl_paise(self) -> tuple[int, int]:
        """The day's P&L and the exposure (open value at last price, at cost where there is none), both in paise."""
        heartbeat, stored = await asyncio.gather(self.heartbeat(), self._stored_positions())
        day, run = self._market_day(heartbeat), heartbeat.run if heartbeat is not None else None
        prices = await self.prices([item.position.key.symbol for item in stored if item.position.quantity])
        pnl = exposure = 0
        for item in stored:
            position, last = item.position, _last(prices, item)
            pnl += day_pnl(position, item.realised_before_paise if _is_today(item, day, run) else None, last)
            exposure += abs(position.quantity * last) if last is not None else abs(position.cost_paise)
        return pnl, exposure

    async def summary(self) -> dict[str, Any]:
        """The four tiles."""
        (pnl, exposure), heartbeat = await asyncio.gather(self.pnl_paise(), self.heartbeat())
        since = self._day_start()
        async with self.database.connection() as connection:
            counts = await orders.statistics(connection, since)
            spark = await positions.samples(connection, since, limit=SPARK_POINTS)
        risk = self.engine.risk
        capital = risk.cash.position * 100
        return {
            "pnl": {
                "value": format_rupees(pnl),
                "percent": documents.percent(pnl, capital),
                "loss_limit": format_rupees(risk.daily_loss * 100),
                "sparkline": [format_rupees(value) for value in spark],
            },
            "exposure": {"value": format_rupees(exposure), "limit": format_rupees(capital)},
            "orders": {name: counts[name] for name in ("filled", "open", "rejected", "total", "median_ack_ms")},
            "strategies": documents.strategies_document(heartbeat),
        }

    async def sample_pnl(self) -> None:
        """Keep the day's P&L of this quarter of a minute, for the sparkline."""
        pnl, _ = await self.pnl_paise()
        epoch = int(self.now().timestamp())
        bucket = datetime.fromtimestamp(epoch - epoch % SAMPLE_SECONDS, UTC)
        async with self.database.connection() as connection:
            await positions.add_sample(connection, bucket, pnl)

    async def alerts(self, *, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of alerts, newest first; a cursor is one of ours (`paging.ALERT_CURSOR`)."""
        limit = max(1, min(limit, MAX_PAGE))
        after = paging.split_time_cursor(cursor) if cursor is not None else None
        async with self.database.connection() as connection:
            rows = await alerts.page(connection, limit=limit + 1, after=after)
        shown = rows[:limit]
        more = paging.time_cursor(shown[-1]["at"], shown[-1]["id"]) if len(rows) > limit else None
        return {"items": [documents.alert_document(row) for row in shown], "next_cursor": more}

    async def halt(self) -> dict[str, Any] | None:
        """The halt that is not released, None when there is none."""
        async with self.database.connection() as connection:
            return await self.halt_in(connection)

    async def latest_halt(self) -> dict[str, Any] | None:
        """The newest halt, released or not; None when there never was one."""
        async with self.database.connection() as connection:
            row = await halts.latest(connection)
        return documents.halt_document(row, self.now()) if row is not None else None

    async def halt_in(self, connection: Connection) -> dict[str, Any] | None:
        """`halt` on a connection at hand."""
        row = await halts.active(connection)
        return documents.halt_document(row, self.now()) if row is not None else None

    async def candles(self, symbol: str, interval: Interval, *, limit: int, before: int | None) -> Page:
        """Bars of the current run that start before `before` (epoch seconds), oldest first; the next page is older."""
        limit = max(1, min(limit, MAX_CANDLES))
        heartbeat = await self.heartbeat()
        async with self.database.connection() as connection:
            run = heartbeat.run if heartbeat is not None else await market.latest_run(connection)
            page: Page = {"symbol": symbol, "interval": interval, "run": run, "items": [], "next_cursor": None}
            end = next_bar_start(before, interval) if before is not None else None
            newest = await market.newest_candle_time(connection, symbol, run, end)
            if newest is None:
                return page
            seconds = INTERVALS[interval]
            # Nights and holidays hold no bars: look back over twice the span, bounded by whole days for short ones.
            since = bar_start(newest - max(2 * limit * seconds, 4 * 86_400), interval)
            minutes = await market.candles(
                connection, symbol, run, since=since, before=end, limit=min((limit + 1) * (seconds // 60), MAX_MINUTES)
            )
            bars = resample(minutes, interval)[-limit:]
            older = await market.newest_candle_time(connection, symbol, run, bars[0].time) if bars else None
        more = str(bars[0].time) if older is not None else None
        return {**page, "items": [documents.candle_document(bar) for bar in bars], "next_cursor": more}

    async def status(self, release: dict[str, Any] | None, user_release: dict[str, Any]) -> dict[str, Any]:
        """Mode, market, feed, edge, brokers, halt and release; `release` and `user_release` are the pod's own."""
        heartbeat = await self.heartbeat()
        try:
            halt = await self.halt()
        except DatabaseUnavailableError:
            halt = None
        engine, feed = self.engine, heartbeat.feed if heartbeat is not None else {}
        document = heartbeat.document if heartbeat is not None else {}
        broker = document.get("broker") or {"name": engine.brokers[0].name, "state": "unknown"}
        return {
            "mode": engine.mode,
            "environment": engine.environment,
            "now": rfc3339(self.now()),
            "market": {
                "source": feed.get("source") or engine.market_data.source,
                "market_time": feed.get("market_time"),
                "speed": feed.get("speed"),
                "run": feed.get("run"),
                "sessions": documents.sessions_document(heartbeat, engine.segments, self._market_time(heartbeat)),
            },
            "feed": documents.feed_state(heartbeat),
            "edge": edge_document(heartbeat),
            "brokers": [{"name": broker.get("name"), "state": broker.get("state")}],
            "halt": halt,
            "release": release,
            "user_release": user_release,
        }

    async def system(self) -> list[dict[str, Any]]:
        """The health matrix: what runs, since when this pod sees it so, how fast it answers, how to mend it."""
        return [self._since(item) for item in await self._health()]

    def _since(self, item: dict[str, Any]) -> dict[str, Any]:
        """The item with the time since which its state is what it is; null for what does not exist."""
        if item["state"] == "absent":
            return item
        state, since = self._states.get(item["name"], ("", self.now()))
        if state != item["state"]:
            since = self.now()
            self._states[item["name"]] = (item["state"], since)
        return {**item, "since": rfc3339(since)}

    async def _health(self) -> list[dict[str, Any]]:
        database, cache, heartbeat = await asyncio.gather(self._database_item(), self._cache_item(), self.heartbeat())
        feed = documents.feed_state(heartbeat)
        feed_ok = {"live": "ok", "stale": "degraded"}.get(feed["state"], "down")
        broker = (heartbeat.document.get("broker") or {}) if heartbeat is not None and heartbeat.fresh else {}
        broker_ok = "ok" if broker.get("state") in ("connected", "ok") else "down"
        return [
            _item("api", "ok", latency_ms=0, detail="This pod answers."),
            database,
            _item("replica", "absent", detail="No replica in this version."),
            cache,
            _item("vault", "absent", detail="Secrets are Kubernetes Secrets in this version."),
            _item("feed", feed_ok, latency_ms=feed["age_ms"], detail=f"Prices are {feed['state']}.",
                  mend=None if feed_ok == "ok" else "Look at the edge; prices come from there."),
            _item(f"broker {broker.get('name') or self.engine.brokers[0].name}", broker_ok,
                  detail=str(broker.get("state") or "unknown"),
                  mend=None if broker_ok == "ok" else "Look at the edge's console."),
            _edge_item(heartbeat),
            _item("models", "absent", detail="No models in this version."),
        ]  # fmt: skip

    async def _database_item(self) -> dict[str, Any]:
        try:
            seconds = await self.database.ping()
        except DatabaseUnavailableError:
            return _item("database", "down", detail="Postgres does not answer.", mend="Check its pod and volume.")
        state = "ok" if seconds < _SLOW_SECONDS else "degraded"
        return _item("database", state, latency_ms=round(seconds * 1000), detail="Postgres answers.")

    async def _cache_item(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self.cache.ping()
        except streams.CACHE_ERRORS:
            return _item(
                "cache", "down", detail="Redis does not answer.", mend="Check its pod; no order is lost by it."
            )
        seconds = loop.time() - started
        state = "ok" if seconds < _SLOW_SECONDS else "degraded"
        return _item("cache", state, latency_ms=round(seconds * 1000), detail="Redis answers.")


def edge_document(heartbeat: Heartbeat | None) -> dict[str, Any]:
    """The edge as the cloud sees it."""
    if heartbeat is None:
        return {
            "state": "unreachable", "age_ms": None, "epoch": None, "trading_state": None, "unshipped": None,
            "version": None,
        }  # fmt: skip
    document = heartbeat.document
    return {
        "state": "connected" if heartbeat.fresh else "unreachable",
        "age_ms": round(heartbeat.age * 1000),
        "epoch": document.get("epoch"),
        "trading_state": document.get("trading_state"),
        "unshipped": document.get("unshipped"),
        "version": document.get("version"),
    }


def _item(
    name: str, state: str, *, latency_ms: int | None = None, detail: str, mend: str | None = None
) -> dict[str, Any]:
    return {"name": name, "state": state, "since": None, "latency_ms": latency_ms, "detail": detail, "mend": mend}


def _edge_item(heartbeat: Heartbeat | None) -> dict[str, Any]:
    age_ms = round(heartbeat.age * 1000) if heartbeat is not None else None
    if heartbeat is None or not heartbeat.fresh:
        return _item("edge", "down", latency_ms=age_ms, detail="No heartbeat for more than 3 s.",
                     mend="Check the edge node's power and network; it trades on by itself.")  # fmt: skip
    if heartbeat.journal_failed:
        return _item("edge", "degraded", latency_ms=age_ms, detail="Its journal cannot be written: only what reduces "
                     "risk goes.", mend="Free or replace the edge's disk, then restart its pod.")  # fmt: skip
    return _item("edge", "ok", latency_ms=age_ms, detail="The link is up.")


def _is_today(stored: StoredPosition, day: date, run: str | None) -> bool:
    return stored.day == day and (run is None or stored.run == run)


def _last(prices: dict[str, Priced], stored: StoredPosition) -> int | None:
    priced = prices.get(stored.position.key.symbol)
    return priced.quote.last if priced is not None else None
