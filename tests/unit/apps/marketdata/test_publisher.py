"""Prices on their way up: conflated for browsers, complete for the journal, and never holding up the feed."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.marketdata import publisher as module
from tradingengine.marketdata.port import FeedEvent, Prices, RunEnded, RunStarted
from tradingengine.marketdata.publisher import PricePublisher, candle_events
from tradingengine.marketdata.tape_feed import TapeFeed

from tests.unit.apps.marketdata.conftest import OPEN_MS, FakeTime, SmallTape

pytestmark = pytest.mark.unit


class Sink:
    """Remembers what it was given; fails while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.quotes: list[dict[str, Any]] = []
        self.candles: list[dict[str, Any]] = []
        self.last: dict[str, str] = {}

    async def publish(self, quotes: str | None, last: Mapping[str, str], candles: str | None) -> None:
        """Take messages."""
        if self.down:
            raise ConnectionError("gone")
        if quotes is not None:
            self.quotes.append(json.loads(quotes))
        if candles is not None:
            self.candles.append(json.loads(candles))
        self.last.update(last)

    async def forget(self) -> None:
        """Empty the hash."""
        if self.down:
            raise ConnectionError("gone")
        self.last.clear()


class Journal:
    """Remembers candle events; refuses while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.events: list[dict[str, Any]] = []

    async def __call__(self, events: Sequence[dict[str, Any]]) -> None:
        """Take a batch."""
        if self.down:
            raise RuntimeError("disk full")
        self.events += events

    def rows(self, symbol: str) -> list[list[int]]:
        """All rows of a symbol."""
        return [row for event in self.events if event["symbol"] == symbol for row in event["candles"]]


@pytest.fixture
async def feed(calendar: Calendar, wall: FakeTime) -> TapeFeed:
    """A feed of two shares, started."""
    tape = SmallTape(symbols=("NSE:ABC", "NSE:XYZ"))
    made = TapeFeed(tape, calendar, monotonic=wall.monotonic, sleep=wall.sleep)
    await made.start()
    made.subscribe(["NSE:ABC", "NSE:XYZ"])
    return made


async def _until_ms(feed: TapeFeed, publisher: PricePublisher, offset_ms: int) -> FeedEvent:
    async for event in feed.events():
        publisher.take(event)
        if isinstance(event, Prices) and event.at_ms >= OPEN_MS + offset_ms:
            return event
    raise AssertionError("the tape ended first")


async def test_quotes_are_conflated_to_the_newest_of_each_symbol(feed: TapeFeed) -> None:
    sink = Sink()
    publisher = PricePublisher(feed, sink)
    await _until_ms(feed, publisher, 10_000)
    await publisher.publish_once()
    await publisher.publish_once()
    assert len(sink.quotes) == publisher.published == 1
    message = sink.quotes[0]
    assert (message["run"], message["source"], message["speed"]) == (feed.run, "simulator", 1.0)
    assert message["market_time"] == "2026-01-05T03:45:10.000000Z"
    assert {quote["s"]: quote["l"] for quote in message["q"]} == {"NSE:ABC": 10_050, "NSE:XYZ": 10_050}
    assert {symbol: json.loads(text)["q"][0]["l"] for symbol, text in sink.last.items()} == {
        "NSE:ABC": 10_050,
        "NSE:XYZ": 10_050,
    }
    assert [candle["t"] * 1000 - OPEN_MS for candle in sink.candles[0]["c"]] == [0, 0]
    assert sink.candles[0]["c"][0]["v"] == 110


async def test_redis_down_is_dropped_counted_and_the_hash_heals(feed: TapeFeed) -> None:
    sink = Sink()
    publisher = PricePublisher(feed, sink)
    sink.down = True
    await _until_ms(feed, publisher, 5_000)
    for _ in range(3):
        await publisher.publish_once()
    assert (publisher.dropped, publisher.published) == (3, 0)
    sink.down = False
    await publisher.publish_once()
    assert publisher.published == 1
    assert set(sink.last) == {"NSE:ABC", "NSE:XYZ"}
    assert sink.quotes == []


async def test_a_new_run_empties_the_hash(feed: TapeFeed) -> None:
    sink = Sink()
    publisher = PricePublisher(feed, sink)
    sink.last["NSE:OLD"] = "{}"
    publisher.take(RunStarted(run=feed.run, at_ms=0, open_ms=0, close_ms=1, resumed=False))
    await publisher.publish_once()
    assert sink.last == {}


async def test_every_closed_candle_reaches_the_journal_once(feed: TapeFeed) -> None:
    journal = Journal()
    publisher = PricePublisher(feed, Sink(), journal)
    journal.down = True
    async for event in feed.events():
        publisher.take(event)
        if isinstance(event, RunEnded):
            break
        await publisher.journal_once()
        journal.down = isinstance(event, Prices) and event.at_ms < OPEN_MS + 65_000
    await publisher.journal_once()
    assert publisher.journal_failures > 0
    assert publisher.waiting_candles == 0
    times = [row[0] * 1000 - OPEN_MS for row in journal.rows("NSE:ABC")]
    # The two candles of the day before come first, since the run began in this process.
    assert times == [-86_400_000, -86_340_000, 0, 60_000, 120_000]
    assert [row[5] for row in journal.rows("NSE:XYZ")][2:] == [600, 600, 300]


async def test_a_refused_batch_is_tried_again_at_a_calm_pace(feed: TapeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, pauses = Journal(), []
    publisher = PricePublisher(feed, Sink(), journal)
    await _until_ms(feed, publisher, 125_000)
    journal.down = True

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        journal.down = False
        if len(pauses) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await publisher._journal_loop()
    assert pauses == [module.JOURNAL_AGAIN_S, module.JOURNAL_EVERY_S]
    assert publisher.waiting_candles == 0


async def test_a_journal_that_never_comes_back_costs_the_oldest_candles(
    feed: TapeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_CANDLES", 3)
    publisher = PricePublisher(feed, Sink(), Journal())
    await _until_ms(feed, publisher, 125_000)
    assert (publisher.waiting_candles, publisher.lost_candles) == (3, 5)


async def test_a_slow_sink_does_not_hold_up_the_journal(feed: TapeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Sink):
        async def publish(self, quotes: str | None, last: Mapping[str, str], candles: str | None) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(module, "JOURNAL_EVERY_S", 0.001)
    journal = Journal()
    publisher = PricePublisher(feed, Stuck(), journal)
    task = asyncio.create_task(publisher.run())
    try:
        await _until_ms(feed, publisher, 61_000)
        async with asyncio.timeout(10):
            while len(journal.rows("NSE:ABC")) < 3:
                await asyncio.sleep(0.001)
    finally:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_candles_of_a_symbol_come_in_events_of_bounded_size() -> None:
    candles = [
        Candle(symbol="NSE:ABC", interval="1m", time=60 * number, open=1, high=1, low=1, close=1, volume=1)
        for number in reversed(range(1_100))
    ]
    events = candle_events(candles)
    assert [len(event["candles"]) for event in events] == [500, 500, 100]
    times = [row[0] for event in events for row in event["candles"]]
    assert times == sorted(times)


async def _play_day(
    calendar: Calendar, speed: float, *, publish_every_s: float = 0.25, down: range = range(0)
) -> tuple[Sink, TapeFeed, PricePublisher]:
    """A short day at a speed, published as the loop does; the sink refuses the publications numbered in `down`."""
    wall, sink = FakeTime(), Sink()
    tape = SmallTape(seconds=1_505, symbols=("NSE:ABC", "NSE:XYZ"))
    feed = TapeFeed(tape, calendar, speed=speed, monotonic=wall.monotonic, sleep=wall.sleep)
    await feed.start()
    feed.subscribe(["NSE:ABC", "NSE:XYZ"])
    publisher = PricePublisher(feed, sink)
    due, number = wall.now, 0
    async for event in feed.events():
        if isinstance(event, RunEnded):
            break
        publisher.take(event)
        while wall.now >= due:
            sink.down = number in down
            await publisher.publish_once()
            due, number = due + publish_every_s, number + 1
    sink.down = False
    await publisher.publish_once()
    return sink, feed, publisher


def _said(sink: Sink) -> dict[str, list[list[int]]]:
    """All rows that browsers were told, by symbol, in order."""
    said: dict[str, list[list[int]]] = {"NSE:ABC": [], "NSE:XYZ": []}
    for message in sink.candles:
        for bar in message["c"]:
            said[bar["s"]].append([bar[name] for name in "tohlcv"])
    return said


@pytest.mark.parametrize("down", [range(0), range(2, 6)], ids=["heard", "deaf for a while"])
@pytest.mark.parametrize("speed", [1, 60, 120, 1000])
async def test_the_last_word_about_each_bar_is_its_closed_form(calendar: Calendar, speed: float, down: range) -> None:
    sink, feed, _ = await _play_day(calendar, speed, down=down)
    for symbol, rows in _said(sink).items():
        closed = [bar.row() for bar in feed.history(symbol, "1m", 1_000) if bar.time * 1000 >= OPEN_MS]
        assert len(closed) == 26
        assert list({row[0]: row for row in rows}.values()) == closed
        # A chart takes no bar that is older than its last one.
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)


async def test_bars_that_a_deaf_sink_cost_are_counted_and_told_as_a_gap(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNSENT_BARS", 4)
    sink, _, publisher = await _play_day(calendar, 120, down=range(2, 40))
    assert publisher.dropped_bars > 0
    assert [message.get("gap", False) for message in sink.candles].count(True) == 1


async def test_a_bar_of_another_run_is_not_told_late(feed: TapeFeed) -> None:
    sink = Sink()
    publisher = PricePublisher(feed, sink)
    sink.down = True
    await _until_ms(feed, publisher, 65_000)
    await publisher.publish_once()
    publisher.take(RunStarted(run=feed.run, at_ms=0, open_ms=0, close_ms=1, resumed=False))
    sink.down = False
    await publisher.publish_once()
    assert sink.candles == []


async def test_a_forming_bar_waits_until_the_one_before_is_known_as_closed(feed: TapeFeed) -> None:
    sink = Sink()
    publisher = PricePublisher(feed, sink)
    await _until_ms(feed, publisher, 59_000)
    late = []
    async for event in feed.events():
        late.append(event)
        if isinstance(event, Prices) and event.at_ms >= OPEN_MS + 62_000:
            break
    # The tape is two seconds into the next minute, of which nobody has told the publisher yet.
    await publisher.publish_once()
    assert [bar["t"] * 1000 - OPEN_MS for message in sink.candles for bar in message["c"]] == []
    for event in late:
        if isinstance(event, Prices):
            publisher.take(event)
    await publisher.publish_once()
    assert [bar["t"] * 1000 - OPEN_MS for bar in sink.candles[0]["c"]] == [0, 0, 60_000, 60_000]
