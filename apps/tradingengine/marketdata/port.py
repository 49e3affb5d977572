"""The port of price feeds: what simulator and replay implement now, and a broker's feed later.

A feed has ONE consumer, which iterates `events()`. Prices carry the state of an instrument after each trade, with depth
of one level. Times in events are epoch milliseconds of market time; ages are wall time (see the two clocks in
`tradingengine.domain.clock`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import MarketClock
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.quotes import Quote

Source: TypeAlias = Literal["simulator", "replay", "broker"]
SessionPhase: TypeAlias = Literal["preopen", "open", "closed"]


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A run begins, or goes on after a restart of the process (`resumed`). One run is one session of the tape."""

    run: str
    at_ms: int
    open_ms: int
    close_ms: int
    resumed: bool


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What happened up to market time `at_ms`, of subscribed symbols; empty when only time went by.

    `quotes` is the state after each trade, in time order; `closed` are the 1-minute candles that ended.
    """

    at_ms: int
    quotes: tuple[Quote, ...]
    closed: tuple[Candle, ...] = ()


class SessionChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The market opened or closed at `at_ms`; DAY orders expire when it closes."""

    at_ms: int
    state: SessionPhase


class RunEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The tape's session is over; the next event is the start of another run with another id."""

    run: str
    at_ms: int


FeedEvent: TypeAlias = RunStarted | Prices | SessionChanged | RunEnded


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """State of one segment and the market time (epoch ms) of its next change, None when that is not near."""

    state: SessionPhase
    until_ms: int | None


class SettableClock:
    """Market time of a tape: stands at the last slice that was played, never steps back within a run."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now(self) -> datetime:
        """Aware UTC market time."""
        return datetime.fromtimestamp(self._now_ms / 1000, UTC)

    def now_ms(self) -> int:
        """Epoch milliseconds of market time."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move the clock; only the feed that owns it does so."""
        self._now_ms = now_ms


class Feed(Protocol):
    """A source of prices."""

    @property
    def source(self) -> Source:
        """Where prices come from; `live` mode accepts only `broker`."""
        ...

    @property
    def detail(self) -> str:
        """One sentence for people: what these prices are, and what in them is synthesised."""
        ...

    @property
    def clock(self) -> MarketClock:
        """Market time."""
        ...

    @property
    def speed(self) -> float:
        """Seconds of market time per second of wall time."""
        ...

    @property
    def run(self) -> str:
        """Id of the current run (UUIDv7); empty before `start`."""
        ...

    async def start(self) -> None:
        """Load what is needed until prices can flow; MarketDataError when the source cannot be used."""
        ...

    async def aclose(self) -> None:
        """Stop; `events()` ends after the event in hand."""
        ...

    def instruments(self) -> Sequence[Instrument]:
        """Everything that this feed can price; may change with a new run."""
        ...

    def subscribe(self, symbols: Collection[str]) -> None:
        """Add symbols to the stream; UnknownSymbolError for one that the feed does not carry."""
        ...

    def unsubscribe(self, symbols: Collection[str]) -> None:
        """Take symbols out of the stream; unknown ones are ignored."""
        ...

    def events(self) -> AsyncIterator[FeedEvent]:
        """The stream, without end until `aclose`; for one consumer. A slow one delays the tape, nothing is lost."""
        ...

    def quote(self, symbol: str) -> Quote | None:
        """The latest state of a symbol in this run, subscribed or not; None before its first price."""
        ...

    def age_ms(self) -> int:
        """Wall milliseconds since the source was last heard of; market hours do not matter."""
        ...

    def sessions(self) -> Mapping[str, SessionState]:
        """State of each exchange segment that is priced here."""
        ...

    def forming(self, symbols: Iterable[str] | None = None) -> list[Candle]:
        """The open 1-minute candles of `symbols` (default: the subscribed ones)."""
        ...

    def history(self, symbol: str, interval: str, count: int) -> list[Candle]:
        """The last `count` closed candles before now, oldest first.

        Whole minutes (1m, 5m, 15m, 1h, 1d) reach at least into the session before; bars below a minute, such as `5s`,
        only as far as the feed remembers trades of this session, maybe not at all.
        """
        ...
