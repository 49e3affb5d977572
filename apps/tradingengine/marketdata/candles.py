"""Bars out of trades: closed and forming, in market time.

A bar covers `[start, start + seconds)` of market time. A stretch without a trade makes no bar: gaps stay gaps. Volume
is the growth of the running maximum of the day's cumulative volume, since feeds deliver it out of order now and then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from tradingengine.domain.candles import Candle, resample

MINUTE_S = 60


def short_interval(interval: str) -> int | None:
    """Seconds of an interval below a minute, `5s` -> 5; None for any other."""
    number = interval.removesuffix("s")
    if number == interval or not number.isdigit() or not 1 <= int(number) < MINUTE_S or MINUTE_S % int(number):
        return None
    return int(number)


class _Forming(msgspec.Struct):
    """The open bar of one symbol, prices in paise, `start` in epoch seconds."""

    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class CandleAggregator:
    """Builds bars of one length for many symbols.

    `seconds` is the length of a bar (a divisor of a day), `interval` its name on the candles. `from_open` says that
    the stream starts with the day, so that the first trade's cumulative volume belongs to the first bar; without it
    the volume before the first trade seen is unknown and left out.
    """

    def __init__(self, seconds: int = MINUTE_S, interval: str = "1m", *, from_open: bool = True) -> None:
        if seconds < 1 or 86_400 % seconds:
            raise ValueError(f"{seconds} s is not a length of a bar: a divisor of 86400 is needed")
        self._seconds = seconds
        self._interval = interval
        self._from_open = from_open
        self._bars: dict[str, _Forming] = {}
        self._day_volume: dict[str, int] = {}
        self._closed_until: dict[str, int] = {}
        self.late = 0

    def add(self, symbol: str, price: int, day_volume: int, at_ms: int) -> Candle | None:
        """Take one trade (paise, cumulative units, epoch ms of market time) in time order of its symbol.

        Returns the bar that this trade closed, if any. A trade of a bar that is closed already is counted in `late`
        and changes no bar; its volume goes to the next one.
        """
        start = at_ms // 1000 // self._seconds * self._seconds
        if start < self._closed_until.get(symbol, start):
            self.late += 1
            return None
        bar = self._bars.get(symbol)
        if bar is not None and start < bar.start:
            self.late += 1
            return None
        units = self._units(symbol, day_volume)
        if bar is not None and bar.start == start:
            bar.high = max(bar.high, price)
            bar.low = min(bar.low, price)
            bar.close = price
            bar.volume += units
            return None
        closed = self._close(symbol)
        self._bars[symbol] = _Forming(start, price, price, price, price, units)
        return closed

    def _units(self, symbol: str, day_volume: int) -> int:
        known = self._day_volume.get(symbol)
        if known is None:
            known = 0 if self._from_open else day_volume
        self._day_volume[symbol] = max(known, day_volume)
        return max(0, day_volume - known)

    def advance(self, now_ms: int) -> list[Candle]:
        """Close every bar whose end is at or before `now_ms` (market time); sorted by time, then symbol."""
        edge = now_ms // 1000 - self._seconds
        due = [symbol for symbol, bar in self._bars.items() if bar.start <= edge]
        closed = [candle for symbol in due if (candle := self._close(symbol)) is not None]
        return sorted(closed, key=lambda candle: (candle.time, candle.symbol))

    def _close(self, symbol: str) -> Candle | None:
        bar = self._bars.pop(symbol, None)
        if bar is None:
            return None
        self._closed_until[symbol] = bar.start + self._seconds
        return self._candle(symbol, bar)

    def _candle(self, symbol: str, bar: _Forming) -> Candle:
        return Candle(
            symbol=symbol,
            interval=self._interval,
            time=bar.start,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
        )

    def forming(self, symbol: str) -> Candle | None:
        """A copy of the open bar of a symbol, or None."""
        bar = self._bars.get(symbol)
        return None if bar is None else self._candle(symbol, bar)

    def all_forming(self, symbols: Iterable[str] | None = None) -> list[Candle]:
        """Copies of the open bars of `symbols` (default: all)."""
        chosen = self._bars if symbols is None else symbols
        return [candle for symbol in chosen if (candle := self.forming(symbol)) is not None]

    def finish(self) -> list[Candle]:
        """Close every open bar (the session is over) and forget volumes, so that the next day starts clean."""
        closed = [candle for symbol in list(self._bars) if (candle := self._close(symbol)) is not None]
        self._day_volume.clear()
        self._closed_until.clear()
        return sorted(closed, key=lambda candle: (candle.time, candle.symbol))


class CandleStore:
    """Closed 1-minute candles of many symbols, the last `limit` of each, in time order."""

    def __init__(self, limit: int = 2_000) -> None:
        self._limit = limit
        self._candles: dict[str, deque[Candle]] = {}

    def extend(self, candles: Iterable[Candle]) -> None:
        """Append closed 1-minute candles; one that is not later than its symbol's last is left out."""
        for candle in candles:
            kept = self._candles.setdefault(candle.symbol, deque(maxlen=self._limit))
            if not kept or candle.time > kept[-1].time:
                kept.append(candle)

    def clear(self) -> None:
        """Forget everything: the tape started again, and its times with it."""
        self._candles.clear()

    def last(self, symbol: str, interval: str, count: int) -> list[Candle]:
        """The last `count` candles of an interval, oldest first, derived from the closed minutes.

        The last one of a longer interval may still grow. DomainError for an unknown interval.
        """
        minutes = self._candles.get(symbol, ())
        candles = list(minutes) if interval == "1m" else resample(minutes, interval)
        return candles[-count:] if count > 0 else []

    def symbols(self) -> list[str]:
        """Symbols that have candles."""
        return sorted(self._candles)
