"""The simulator as a tape: one session for every trading day of the calendar from a fixed first day on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.instruments import Instrument, Segment
from tradingengine.marketdata.candles import CandleAggregator
from tradingengine.marketdata.port import Source
from tradingengine.marketdata.simulator.universe import LISTINGS, Listing
from tradingengine.marketdata.simulator.walk import closes, trades
from tradingengine.marketdata.tape import TapePrice, trading_hours

FIRST_DAY: Final = date(2026, 1, 5)  # fixed, since a date from the wall clock would make two runs of one seed differ
SESSIONS: Final = 240
FIRST_OFFSET_MS: Final = 45 * 60 * 1000
VERSION: Final = 1  # raise when the walk changes: a kept position then belongs to another tape


class SimulatedSession:
    """One simulated day. Sessions are numbered from 1, since each needs the one before for its first candles."""

    def __init__(self, listings: Sequence[Listing], seed: int, number: int, hours: Sequence[tuple[int, int]]) -> None:
        self._listings = listings
        self._seed = seed
        self._number = number
        self._hours = hours
        self._levels = closes(listings, seed, number)

    @property
    def open_ms(self) -> int:
        """Start of continuous trading, epoch ms."""
        return self._hours[self._number][0]

    @property
    def close_ms(self) -> int:
        """End of continuous trading, epoch ms."""
        return self._hours[self._number][1]

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Indices and shares, with bands around the close before."""
        pairs = zip(self._listings, self._levels, strict=True)
        return tuple(listing.instrument(last) for listing, (last, _) in pairs)

    @property
    def previous_close(self) -> Mapping[str, int]:
        """Close of the session before, paise by symbol."""
        pairs = zip(self._listings, self._levels, strict=True)
        return {listing.symbol: last for listing, (last, _) in pairs}

    def prices(self) -> Iterator[TapePrice]:
        """All trades in time order."""
        return trades(self._listings, self._seed, self._number, self.open_ms, self.close_ms)

    def earlier(self) -> Iterable[Candle]:
        """The minutes of the session before."""
        open_ms, close_ms = self._hours[self._number - 1]
        minutes = CandleAggregator()
        candles = [
            candle
            for trade in trades(self._listings, self._seed, self._number - 1, open_ms, close_ms)
            if (candle := minutes.add(trade.symbol, trade.price, trade.day_volume, trade.at_ms)) is not None
        ]
        return candles + minutes.finish()


class SimulatorTape:
    """All sessions of one seed. `seed` is any integer from 0 up."""

    def __init__(self, calendar: Calendar, seed: int, listings: Sequence[Listing] = LISTINGS) -> None:
        self._seed = seed
        self._listings = listings
        self._hours = _hours(calendar, SESSIONS + 1)

    @property
    def source(self) -> Source:
        """`simulator`."""
        return "simulator"

    @property
    def detail(self) -> str:
        """What these prices are, for people."""
        return f"Simulated prices, seed {self._seed}: a random walk, depth and volume included; not a market's."

    @property
    def fingerprint(self) -> str:
        """Seed and version of the walk."""
        return f"simulator/{VERSION}/{self._seed}/{len(self._listings)}"

    @property
    def count(self) -> int:
        """Number of sessions, about a year."""
        return SESSIONS

    def first_offset_ms(self) -> int:
        """The very first session starts at 10:00 IST, so that the day's chart is not empty."""
        return FIRST_OFFSET_MS

    def session(self, index: int) -> SimulatedSession:
        """The session of the tape's `index`-th day."""
        return SimulatedSession(self._listings, self._seed, index + 1, self._hours)


def _hours(calendar: Calendar, count: int) -> list[tuple[int, int]]:
    """Trading hours (epoch ms) of `count` days that have an ordinary session, from FIRST_DAY on."""
    hours: list[tuple[int, int]] = []
    day = FIRST_DAY - timedelta(days=1)
    for _ in range(count * 3):
        day += timedelta(days=1)
        found = trading_hours(calendar, Segment.NSE_EQ, day)
        if found is not None and day.weekday() < 5:
            hours.append(found)
            if len(hours) == count:
                break
    return hours
