"""What simulator and replay have in common: a tape of sessions, and the playing of one of them.

A tape is a row of sessions, each with its prices in time order. Nothing here knows of wall time; `tape_feed` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol

from tradingengine.domain.calendar import OPEN, Calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import IST
from tradingengine.domain.instruments import Instrument, Segment
from tradingengine.domain.quotes import Quote
from tradingengine.marketdata.candles import CandleAggregator
from tradingengine.marketdata.port import Source


class TapePrice(NamedTuple):
    """One trade with the depth after it; paise and units, `day_volume` cumulative, `at_ms` epoch ms of market time."""

    at_ms: int
    symbol: str
    price: int
    day_volume: int
    bid: int
    ask: int
    bid_quantity: int
    ask_quantity: int


class TapeSession(Protocol):
    """One session of a tape. Times are epoch ms of market time."""

    @property
    def open_ms(self) -> int:
        """When continuous trading starts."""
        ...

    @property
    def close_ms(self) -> int:
        """When continuous trading ends."""
        ...

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What is priced in this session."""
        ...

    @property
    def previous_close(self) -> Mapping[str, int]:
        """Close of the session before, paise by symbol; a symbol without one is absent."""
        ...

    def prices(self) -> Iterator[TapePrice]:
        """All trades of the session in time order, the same at every call."""
        ...

    def earlier(self) -> Iterable[Candle]:
        """Closed 1-minute candles before this session, each symbol's in time order: one session or more, if any."""
        ...


class Tape(Protocol):
    """A row of sessions, numbered from 0."""

    @property
    def source(self) -> Source:
        """`simulator` or `replay`."""
        ...

    @property
    def detail(self) -> str:
        """What these prices are, for people."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the tape does, so that a kept position is not used on another tape."""
        ...

    @property
    def count(self) -> int:
        """Number of sessions."""
        ...

    def first_offset_ms(self) -> int:
        """How far into the first session the tape starts when no position was kept; blocking, called in a thread."""
        ...

    def session(self, index: int) -> TapeSession:
        """Load one session; blocking, called in a thread. MarketDataError when it cannot be read."""
        ...


RECENT_TRADES = 1_200  # of each symbol: about a quarter of an hour of a lively share


class Playback:
    """The playing of one session: takes trades up to a time and turns them into quotes and 1-minute candles."""

    def __init__(self, session: TapeSession) -> None:
        self.session = session
        self.minutes = CandleAggregator()
        self._prices = session.prices()
        self._ahead: TapePrice | None = None
        self._days: dict[str, _Day] = {}
        self._recent: dict[str, deque[TapePrice]] = {}

    def quote(self, symbol: str) -> Quote | None:
        """The latest state of a symbol in this session."""
        day = self._days.get(symbol)
        return None if day is None else day.quote

    def short_bars(self, symbol: str, seconds: int, now_ms: int) -> list[Candle]:
        """Closed bars of less than a minute, oldest first, out of the latest trades; only bars that are whole."""
        bars = CandleAggregator(seconds, f"{seconds}s", from_open=False)
        closed: list[Candle] = []
        for trade in self._recent.get(symbol, ()):
            bar = bars.add(symbol, trade.price, trade.day_volume, trade.at_ms)
            closed += [bar] if bar is not None else []
        closed += bars.advance(now_ms)
        return closed[1:]

    def play(self, until_ms: int, most: int) -> tuple[list[Quote], list[Candle]]:
        """Play trades at or before `until_ms`, at most `most` of them: quotes after each, and the candles closed."""
        quotes: list[Quote] = []
        closed: list[Candle] = []
        while len(quotes) < most:
            if self._ahead is None:
                self._ahead = next(self._prices, None)
            trade = self._ahead
            if trade is None or trade.at_ms > until_ms:
                break
            self._ahead = None
            candle = self.minutes.add(trade.symbol, trade.price, trade.day_volume, trade.at_ms)
            if candle is not None:
                closed.append(candle)
            self._recent.setdefault(trade.symbol, deque(maxlen=RECENT_TRADES)).append(trade)
            quotes.append(self._quote(trade))
        return quotes, closed

    def _quote(self, trade: TapePrice) -> Quote:
        day = self._days.get(trade.symbol)
        if day is None:
            previous = self.session.previous_close.get(trade.symbol, trade.price)
            day = self._days[trade.symbol] = _Day(trade.price, previous)
        return day.apply(trade)


class _Day:
    """Open, high, low of one symbol in one session, and its quote; prices in paise."""

    __slots__ = ("_high", "_low", "_open", "_previous", "_volume", "quote")

    def __init__(self, price: int, previous_close: int) -> None:
        self._open = self._high = self._low = price
        self._previous = previous_close
        self._volume = 0
        self.quote: Quote | None = None

    def apply(self, trade: TapePrice) -> Quote:
        """The quote after a trade."""
        self._high = max(self._high, trade.price)
        self._low = min(self._low, trade.price)
        self._volume = max(self._volume, trade.day_volume)
        self.quote = Quote(
            symbol=trade.symbol,
            last=trade.price,
            previous_close=self._previous,
            open=self._open,
            high=self._high,
            low=self._low,
            volume=self._volume,
            bid=trade.bid,
            ask=trade.ask,
            bid_quantity=trade.bid_quantity,
            ask_quantity=trade.ask_quantity,
            at_ms=trade.at_ms,
        )
        return self.quote


def trading_hours(calendar: Calendar, segment: Segment, day: date) -> tuple[int, int] | None:
    """Start and end (epoch ms) of continuous trading on an IST date; None on a day without any."""
    phases = [phase for phase in calendar.phases(segment, day) if phase.phase == OPEN]
    if not phases:
        return None
    first = datetime.combine(day, phases[0].start, tzinfo=IST).astimezone(UTC)
    last = datetime.combine(day, phases[-1].end, tzinfo=IST).astimezone(UTC)
    return int(first.timestamp() * 1000), int(last.timestamp() * 1000)
