"""The market as the edge sees it: one reader of the feed, whose events reach all parts in the same order."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tradingengine.brokers.paper import PaperBroker
from tradingengine.brokers.port import BrokerError
from tradingengine.domain.clock import from_epoch_ms, rfc3339
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.quotes import Quote
from tradingengine.execution.journal import Draft, Journal
from tradingengine.execution.router import Router
from tradingengine.marketdata.port import Feed, FeedEvent, Prices, RunEnded, RunStarted, SessionChanged
from tradingengine.storage.sqlite import SqliteFileError

log = logging.getLogger(__name__)

STALE_MS: Final = 3_000
Listener = Callable[[FeedEvent], Awaitable[None]]


class FeedMarket:
    """Instruments, quotes and sessions of a feed, for gate and paper broker."""

    def __init__(self, feed: Feed) -> None:
        """Instruments are read at the start of each run."""
        self._feed = feed
        self._instruments: dict[str, Instrument] = {}

    @property
    def run(self) -> str:
        """Id of the feed's run."""
        return self._feed.run

    def reload(self) -> list[Instrument]:
        """Read the instruments again; all of them."""
        self._instruments = {instrument.symbol: instrument for instrument in self._feed.instruments()}
        return list(self._instruments.values())

    def instrument(self, symbol: str) -> Instrument | None:
        """The instrument of a symbol; None when the feed does not price it."""
        return self._instruments.get(symbol)

    def quote(self, symbol: str) -> Quote | None:
        """The latest quote; None when there is none, or the feed has gone silent."""
        return self._feed.quote(symbol) if self.is_fresh() else None

    def last(self, symbol: str) -> int | None:
        """The last price in paise, however old."""
        quote = self._feed.quote(symbol)
        return None if quote is None else quote.last

    def is_fresh(self) -> bool:
        """Whether prices have arrived within the last three seconds: the age up to which they are shown as live."""
        return self._feed.age_ms() <= STALE_MS

    def is_open(self, symbol: str) -> bool:
        """Whether the instrument's segment trades continuously at market time."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return False
        session = self._feed.sessions().get(instrument.segment) or self._feed.sessions().get(
            instrument.segment.calendar
        )
        return session is not None and session.state == "open"

    def now(self) -> datetime:
        """Market time."""
        return self._feed.clock.now()

    def document(self) -> dict[str, Any]:
        """The part `feed` of the heartbeat."""
        sessions = {
            str(segment): {
                "state": session.state,
                "until": None if session.until_ms is None else rfc3339(from_epoch_ms(session.until_ms)),
            }
            for segment, session in self._feed.sessions().items()
        }
        return {
            "source": self._feed.source,
            "age_ms": self._feed.age_ms(),
            "market_time": rfc3339(self.now().astimezone(UTC)),
            "speed": self._feed.speed,
            "run": self._feed.run,
            "sessions": sessions,
        }


class MarketPump:
    """Reads the feed, once, and gives each event to everybody in the same order."""

    def __init__(
        self, *, feed: Feed, market: FeedMarket, broker: PaperBroker, router: Router, journal: Journal
    ) -> None:
        """`listeners` hear each event after the broker has."""
        self._feed = feed
        self._market = market
        self._broker = broker
        self._router = router
        self._journal = journal
        self._failing: set[str] = set()
        self.listeners: list[Listener] = []

    async def run(self) -> None:
        """Until the feed is closed."""
        async for event in self._feed.events():
            await self._take(event)

    async def _take(self, event: FeedEvent) -> None:
        if isinstance(event, RunStarted):
            await self._begin(event)
        elif isinstance(event, Prices) and event.quotes:
            await self._try("paper book", self._broker.on_quotes(event.quotes))
        elif isinstance(event, SessionChanged) and event.state == "closed":
            await self._try("paper book", self._expire())
        elif isinstance(event, RunEnded):
            await self._try("paper book", self._expire())
            await self._try("journal", self._journal.record(Draft("run.ended", {"run": event.run})))
        for listener in self.listeners:
            await listener(event)

    async def _try(self, part: str, act: Awaitable[object]) -> None:
        """A failed disk takes the record and the trades, never the prices: the event goes on to who listens."""
        try:
            await act
        except (SqliteFileError, BrokerError) as error:
            if part not in self._failing:
                log.error("the market goes on without the %s", part, extra={"problem": str(error)})
            self._failing.add(part)
        else:
            self._failing.discard(part)

    async def _begin(self, event: RunStarted) -> None:
        self._journal.run = event.run
        instruments = self._market.reload()
        self._feed.subscribe([instrument.symbol for instrument in instruments])
        started = {"run": event.run, "source": self._feed.source, "resumed": event.resumed, "detail": self._feed.detail}
        snapshot = {"instruments": [msgspec.to_builtins(instrument) for instrument in instruments]}
        begun = self._journal.record(Draft("run.started", started), Draft("instruments.snapshot", snapshot))
        await self._try("journal", begun)

    async def _expire(self) -> None:
        """The session is over: DAY orders expire at the broker, and here before the next event."""
        for row in await self._broker.on_session_closed():
            await self._router.on_row(row)
