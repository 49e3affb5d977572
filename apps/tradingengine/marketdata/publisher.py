"""Prices on their way up: conflated copies to Redis for browsers, closed candles to the journal for the record.

The feed is never held up: `take` only notes what is newest, and a task of its own sends it. What Redis does not take in
time is dropped and counted, since the next copy is newer anyway. Closed candles are not copies: the closed form is the
last word about a bar, at any speed of the tape. They wait for the journal, and for browsers beside it, up to a bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import SystemClock, WallClock, rfc3339
from tradingengine.domain.quotes import Quote
from tradingengine.marketdata.port import Feed, FeedEvent, Prices, RunStarted
from tradingengine.storage import streams

logger = logging.getLogger(__name__)

PUBLISH_EVERY_S = 0.25
JOURNAL_EVERY_S = 1.0
JOURNAL_AGAIN_S = 30.0
MOST_WAITING_CANDLES = 50_000
MOST_UNSENT_BARS = 20_000  # closed bars that wait for Redis; beyond it browsers are told that some are missing
CANDLES_PER_EVENT = 500
RESUMED_MINUTES = 30
FULL_MINUTES = 800  # two sessions and some

CandleEvent = dict[str, Any]
"""Data of the journal's `candles.closed`: symbol, interval, candles as rows."""

JournalCandles = Callable[[Sequence[CandleEvent]], Awaitable[None]]
"""Writes a batch to the journal; it returns when the batch is durable."""


class PriceSink(Protocol):
    """Where the copies go."""

    async def publish(self, quotes: str | None, last: Mapping[str, str], candles: str | None) -> None:
        """Send a quote message, the messages for the hash by symbol, and a candle message; None or empty: nothing."""
        ...

    async def forget(self) -> None:
        """Empty the hash: the quotes of another run are no longer the last ones."""
        ...


class RedisSink:
    """The sink of the product: `te:quotes`, `te:quotes:last` and `te:candles`, in one round trip."""

    def __init__(self, client: streams.Client) -> None:
        self._client = client

    async def publish(self, quotes: str | None, last: Mapping[str, str], candles: str | None) -> None:
        """Send what there is; any of `streams.CACHE_ERRORS` when Redis does not take it in time."""
        pipeline = self._client.pipeline(transaction=False)
        if quotes is not None:
            pipeline.publish(streams.QUOTES, quotes)
        if last:
            fields: dict[Any, Any] = dict(last)
            pipeline.hset(streams.QUOTES_LAST, mapping=fields)
        if candles is not None:
            pipeline.publish(streams.CANDLES, candles)
        await pipeline.execute()

    async def forget(self) -> None:
        """Delete the hash."""
        await self._client.delete(streams.QUOTES_LAST)


class PricePublisher:
    """Gives events of a feed to a sink and to the journal.

    `dropped` counts publications that the sink did not take, `dropped_bars` closed bars that it did not take before the
    bound was reached, `lost_candles` those that the journal did not take, `journal_failures` its refused batches.
    """

    def __init__(
        self, feed: Feed, sink: PriceSink, journal: JournalCandles | None = None, *, wall: WallClock | None = None
    ) -> None:
        self._feed = feed
        self._sink = sink
        self._journal = journal
        self._wall = SystemClock() if wall is None else wall
        self._quotes: dict[str, Quote] = {}
        self._unsent: dict[str, Quote] = {}
        self._closed: deque[Candle] = deque()
        self._bars: deque[Candle] = deque()
        self._gap = False
        self._taken_ms = 0
        self._forget = False
        self._touched: set[str] = set()
        self.published = 0
        self.dropped = 0
        self.dropped_bars = 0
        self.lost_candles = 0
        self.journal_failures = 0

    def take(self, event: FeedEvent) -> None:
        """Note what an event of the feed brought; returns at once."""
        if isinstance(event, Prices):
            for quote in event.quotes:
                self._quotes[quote.symbol] = quote
            self._taken_ms = event.at_ms
            self._wait_for_sink(event.closed)
            self._wait_for_journal(event.closed)
        elif isinstance(event, RunStarted):
            self._quotes.clear()
            self._unsent.clear()
            self._touched.clear()
            self._bars.clear()
            self._gap = False
            self._taken_ms = event.at_ms
            self._forget = True
            self._wait_for_journal(warm_up(self._feed, minutes=RESUMED_MINUTES if event.resumed else FULL_MINUTES))

    def _wait_for_sink(self, candles: Iterable[Candle]) -> None:
        self._bars.extend(candles)
        while len(self._bars) > MOST_UNSENT_BARS:
            self._bars.popleft()
            self.dropped_bars += 1
            self._gap = True

    def _wait_for_journal(self, candles: Iterable[Candle]) -> None:
        if self._journal is None:
            return
        self._closed.extend(candles)
        while len(self._closed) > MOST_WAITING_CANDLES:
            self._closed.popleft()
            self.lost_candles += 1

    @property
    def waiting_candles(self) -> int:
        """Closed candles that the journal does not hold yet."""
        return len(self._closed)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_loop())
            if self._journal is not None:
                tasks.create_task(self._journal_loop())

    async def _publish_loop(self) -> None:
        while True:
            await self.publish_once()
            await asyncio.sleep(PUBLISH_EVERY_S)

    async def _journal_loop(self) -> None:
        while True:
            failures = self.journal_failures
            await self.journal_once()
            await asyncio.sleep(JOURNAL_EVERY_S if self.journal_failures == failures else JOURNAL_AGAIN_S)

    async def publish_once(self) -> None:
        """Send what is new since the last time; a failure drops copies, keeps closed bars, and is counted."""
        run = self._feed.run
        fresh, self._quotes = self._quotes, {}
        # The hash must become right again after a failure, while the channel's old messages help nobody.
        pending = {**self._unsent, **fresh}
        self._touched.update(fresh)
        closed, self._bars = self._bars, deque()
        gap, self._gap = self._gap, False
        if not pending and not closed and not self._forget:
            return
        try:
            if self._forget:
                await self._sink.forget()
                self._forget = False
            message = self._quote_message(fresh.values()) if fresh else None
            last = {symbol: self._quote_message((quote,)) for symbol, quote in pending.items()}
            await self._sink.publish(message, last, self._candle_message(closed, gap=gap))
        except streams.CACHE_ERRORS as error:
            self._unsent = pending if self._feed.run == run else {}
            self._keep_bars(run, closed, gap=gap)
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 100 == 0:
                logger.warning("Redis does not take prices (%d publications dropped so far): %s", self.dropped, error)
            return
        self._unsent = {}
        self._touched.clear()
        self.published += 1

    def _quote_message(self, quotes: Iterable[Quote]) -> str:
        return streams.dumps(
            {
                "at": rfc3339(self._wall.now()),
                "market_time": rfc3339(self._feed.clock.now()),
                "run": self._feed.run,
                "source": self._feed.source,
                "speed": self._feed.speed,
                "q": [quote.wire() for quote in quotes],
            }
        )

    def _keep_bars(self, run: str, closed: deque[Candle], *, gap: bool) -> None:
        """Put bars that the sink did not take before those that came meanwhile, unless they are of another run."""
        if self._feed.run != run:
            return
        later, self._bars = self._bars, closed
        self._gap = self._gap or gap
        self._wait_for_sink(later)

    def _candle_message(self, closed: Iterable[Candle], *, gap: bool) -> str | None:
        """Closed bars since the last message, then the forming ones of symbols that traded since.

        A forming bar that began after the last event taken is left out: the feed is ahead, and the bar before it is not
        known here as closed yet.
        """
        forming = [bar for bar in self._feed.forming(self._touched) if bar.time * 1000 <= self._taken_ms]
        bars = [_wire(candle) for candle in (*closed, *forming)]
        if not bars:
            return None
        return streams.dumps({"c": bars, "gap": True} if gap else {"c": bars})

    async def journal_once(self) -> None:
        """Hand closed candles over; those of a refused batch stay and are handed over again."""
        if self._journal is None or not self._closed:
            return
        batch = list(self._closed)
        try:
            await self._journal(candle_events(batch))
        except Exception as error:  # noqa: BLE001 - the loop's edge: counted, and the batch is kept
            self.journal_failures += 1
            logger.warning(
                "the journal refused %d candles (%d times so far): %s", len(batch), self.journal_failures, error
            )
            return
        # Candles that came meanwhile are behind the batch; some of its head may have been dropped by the bound.
        done = set(map(id, batch))
        while self._closed and id(self._closed[0]) in done:
            self._closed.popleft()


def _wire(candle: Candle) -> dict[str, Any]:
    return {
        "s": candle.symbol,
        "t": candle.time,
        "o": candle.open,
        "h": candle.high,
        "l": candle.low,
        "c": candle.close,
        "v": candle.volume,
    }


def candle_events(candles: Iterable[Candle]) -> list[CandleEvent]:
    """Data of `candles.closed` events: one or more for each symbol, its candles in time order, at most 500 in each."""
    grouped: dict[tuple[str, str], list[Candle]] = {}
    for candle in candles:
        grouped.setdefault((candle.symbol, candle.interval), []).append(candle)
    events: list[CandleEvent] = []
    for (symbol, interval), found in grouped.items():
        rows = [candle.row() for candle in sorted(found, key=lambda candle: candle.time)]
        for start in range(0, len(rows), CANDLES_PER_EVENT):
            chunk = rows[start : start + CANDLES_PER_EVENT]
            events.append({"symbol": symbol, "interval": interval, "candles": chunk})
    return events


def warm_up(feed: Feed, *, minutes: int) -> list[Candle]:
    """The last closed minutes of every instrument, so that charts are not empty when a run starts."""
    return [candle for instrument in feed.instruments() for candle in feed.history(instrument.symbol, "1m", minutes)]
