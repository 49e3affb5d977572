"""Prices on a real Redis: what late comers find, what subscribers hear, and what an outage costs."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tradingengine.config import MarketData, Replay
from tradingengine.domain.calendar import load_calendar
from tradingengine.domain.orders import Order, OrderState, Side, Source
from tradingengine.marketdata.factory import make_feed
from tradingengine.marketdata.port import Prices, RunStarted
from tradingengine.marketdata.publisher import PricePublisher, RedisSink
from tradingengine.marketdata.simulator.tape import SimulatorTape
from tradingengine.marketdata.simulator.universe import LISTINGS
from tradingengine.marketdata.tape_feed import TapeFeed
from tradingengine.storage import quotes, streams
from tradingengine.strategies.ema_cross import EmaCross, EmaCrossParameters
from tradingengine.strategies.host import Action, PlaceOrder, StrategyHost
from tradingengine.strategies.interface import OrderLimits

pytestmark = pytest.mark.integration

BOUND_S = 60
FEW = tuple(listing for listing in LISTINGS if listing.symbol in ("NSE:NIFTY", "NSE:RELIANCE", "NSE:TCS"))
SYMBOLS = {listing.symbol for listing in FEW}


class Journal:
    """Remembers the candle events that it was given."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def __call__(self, events: Sequence[dict[str, Any]]) -> None:
        """Take a batch."""
        self.events += events


@asynccontextmanager
async def publishing(url: str, journal: Journal, *, speed: float) -> AsyncIterator[tuple[TapeFeed, PricePublisher]]:
    """A simulator whose prices go to a Redis until the block is left."""
    calendar = load_calendar()
    feed = TapeFeed(SimulatorTape(calendar, 5, FEW), calendar, speed=speed)
    await feed.start()
    client = streams.command_client(url, name="test-prices")
    publisher = PricePublisher(feed, RedisSink(client), journal)

    async def pump() -> None:
        async for event in feed.events():
            if isinstance(event, RunStarted):
                feed.subscribe(SYMBOLS)
            publisher.take(event)

    tasks = [asyncio.create_task(pump()), asyncio.create_task(publisher.run())]
    try:
        yield feed, publisher
    finally:
        await feed.aclose()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()


async def _messages(url: str, channel: str, count: int) -> list[str]:
    client = streams.subscriber_client(url, name="test-subscriber")
    try:
        async with asyncio.timeout(BOUND_S), client.pubsub() as subscription:
            await subscription.subscribe(channel)
            heard: list[str] = []
            async for message in subscription.listen():
                if message["type"] == "message":
                    heard.append(message["data"])
                    if len(heard) == count:
                        break
            return heard
    finally:
        await client.aclose()


async def test_subscribers_and_late_comers_see_the_same_prices(redis_url: str) -> None:
    journal = Journal()
    async with publishing(redis_url, journal, speed=30) as (feed, publisher):
        heard = await _messages(redis_url, streams.QUOTES, 8)
        for text in heard:
            message = streams.loads(text)
            assert (message["run"], message["source"], message["speed"]) == (feed.run, "simulator", 30)
            symbols = [quote["s"] for quote in message["q"]]
            assert len(symbols) == len(set(symbols))
            assert set(symbols) <= SYMBOLS
        times = [streams.loads(text)["market_time"] for text in heard]
        assert times == sorted(times)
        reader = streams.command_client(redis_url, name="test-reader")
        try:
            found = await quotes.latest(reader)
        finally:
            await reader.aclose()
        assert set(found) == SYMBOLS
        assert found["NSE:NIFTY"].quote.bid == 0
        assert 0 < found["NSE:RELIANCE"].quote.bid < found["NSE:RELIANCE"].quote.ask
        assert publisher.dropped == 0


async def test_forming_candles_are_heard_and_closed_ones_reach_the_journal(redis_url: str) -> None:
    journal = Journal()
    async with publishing(redis_url, journal, speed=120) as (feed, publisher):
        forming = [streams.loads(text)["c"] for text in await _messages(redis_url, streams.CANDLES, 4)]
        for candle in (candle for message in forming for candle in message):
            assert candle["s"] in SYMBOLS
            assert candle["l"] <= min(candle["o"], candle["c"])
            assert candle["h"] >= max(candle["o"], candle["c"])
        async with asyncio.timeout(BOUND_S):
            while len(_rows(journal, "NSE:NIFTY")) < 375 + 45 + 2:
                await asyncio.sleep(0.02)
        rows = _rows(journal, "NSE:NIFTY")
        times = [row[0] for row in rows]
        assert times == sorted(set(times))
        # The day before and the start of today came with the run, the rest as they closed.
        assert [row[0] for row in rows[-2:]] == [rows[-3][0] + 60, rows[-3][0] + 120]
        assert [candle.row() for candle in feed.history("NSE:NIFTY", "1m", 1_000)][: len(rows)] == rows
        assert publisher.lost_candles == 0


def _rows(journal: Journal, symbol: str) -> list[list[int]]:
    return [row for event in journal.events if event["symbol"] == symbol for row in event["candles"]]


async def test_without_redis_prices_flow_and_the_journal_is_complete(unused_tcp_port: int) -> None:
    journal = Journal()
    async with publishing(f"redis://127.0.0.1:{unused_tcp_port}/0", journal, speed=120) as (feed, publisher):
        async with asyncio.timeout(BOUND_S):
            while publisher.dropped < 3 or len(_rows(journal, "NSE:TCS")) < 375 + 45 + 1:
                await asyncio.sleep(0.02)
        assert publisher.published == 0
        assert feed.age_ms() < 5_000


async def test_after_an_outage_the_hash_is_whole_again(redis_url: str, unused_tcp_port: int) -> None:
    async with asyncio.timeout(BOUND_S):
        proxy = await _Proxy.start(redis_url, unused_tcp_port)
        try:
            async with publishing(proxy.url, Journal(), speed=5) as (_, publisher):
                while publisher.published < 2:
                    await asyncio.sleep(0.02)
                await proxy.cut()
                while publisher.dropped < 2:
                    await asyncio.sleep(0.02)
                reader = streams.command_client(redis_url, name="test-reader")
                await reader.delete(streams.QUOTES_LAST)
                before = publisher.published
                await proxy.heal()
                while publisher.published < before + 20:
                    await asyncio.sleep(0.02)
                found = await quotes.latest(reader)
                await reader.aclose()
                assert set(found) == SYMBOLS
        finally:
            await proxy.cut()


class _Proxy:
    """A way to Redis that can be cut and healed."""

    def __init__(self, host: str, port: int, own_port: int, url: str) -> None:
        self._target = (host, port)
        self._own_port = own_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = url

    @classmethod
    async def start(cls, redis_url: str, own_port: int) -> "_Proxy":
        """Listen on a port of loopback."""
        scheme, _, rest = redis_url.partition("://")
        credentials, _, address = rest.rpartition("@")
        host, _, tail = address.partition(":")
        port, _, path = tail.partition("/")
        prefix = f"{credentials}@" if credentials else ""
        proxy = cls(host, int(port), own_port, f"{scheme}://{prefix}127.0.0.1:{own_port}/{path}")
        await proxy.heal()
        return proxy

    async def heal(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._own_port)

    async def cut(self) -> None:
        """Drop all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, up_writer}
        await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))
        self._writers -= {writer, up_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def _fill(host: StrategyHost, feed: TapeFeed, actions: list[Action], fills: list[tuple[Side, int]]) -> None:
    """Fill orders at the quote's other side, as the paper broker does."""
    for action in actions:
        if not isinstance(action, PlaceOrder):
            continue
        quote = feed.quote(action.request.symbol)
        assert quote is not None
        price = quote.ask if action.request.side is Side.BUY else quote.bid
        quantity = action.request.quantity
        now = feed.clock.now()
        fields = {name: getattr(action.request, name) for name in action.request.__struct_fields__}
        order = Order(
            **fields, id=action.order_id, state=OrderState.FILLED, source=Source.STRATEGY, strategy=action.strategy,
            created_at=now, updated_at=now, filled_quantity=quantity, average_paise=price,
        )  # fmt: skip
        fills.append((action.request.side, price))
        _fill(host, feed, host.order_changed(order, fill_quantity=quantity, fill_price_paise=price), fills)


@pytest.mark.skipif(not os.environ.get("DATA_DIR"), reason="DATA_DIR names no folder of recordings")
async def test_real_recordings_are_traded_through() -> None:
    folder = Path(os.environ["DATA_DIR"])
    feed = make_feed(MarketData(source="replay", replay=Replay(start="2021-06-09", speed=1_000)), folder, None)
    await feed.start()
    limits = OrderLimits(per_bar=1, per_minute=1_000, per_session=1_000)
    host = StrategyHost(feed, [EmaCross(EmaCrossParameters(symbol="NSE:RELIANCE", limits=limits))])
    fills: list[tuple[Side, int]] = []
    last_ms = 0
    async with asyncio.timeout(120):
        async for event in feed.events():
            if isinstance(event, RunStarted):
                feed.subscribe(host.symbols)
            _fill(host, feed, host.take(event), fills)
            if isinstance(event, Prices):
                last_ms = event.at_ms
            elif not isinstance(event, RunStarted) and last_ms and feed.sessions()["NSE_EQ"].state == "closed":
                break
    await feed.aclose()
    assert len(fills) >= 4
    assert [side for side, _ in fills] == [Side.BUY, Side.SELL] * (len(fills) // 2)
    earned = sum(price if side is Side.SELL else -price for side, price in fills)
    assert host.statuses()[0].pnl_paise == earned
