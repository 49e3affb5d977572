"""Candles (OHLCV bars), prices in paise, stamped with the epoch second (UTC) at which the bar starts."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tradingengine.domain.errors import DomainError
from tradingengine.domain.money import Paise


class Interval(StrEnum):
    """Length of a bar."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    D1 = "1d"


INTERVALS: Final[Mapping[str, int]] = MappingProxyType(
    {Interval.M1: 60, Interval.M5: 300, Interval.M15: 900, Interval.H1: 3600, Interval.D1: 86400}
)
"""Interval name -> seconds."""

_IST_OFFSET: Final = 19800
_HOUR_ANCHOR: Final = 2700  # Indian hourly bars run from 09:15 IST = 03:45 UTC


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of one instrument; `time` is the epoch second of its start, `volume` is units traded in it."""

    symbol: str
    interval: str
    time: int
    open: Paise
    high: Paise
    low: Paise
    close: Paise
    volume: int

    def row(self) -> list[int]:
        """`[time, open, high, low, close, volume]`, the form of the event `candles.closed`."""
        return [self.time, self.open, self.high, self.low, self.close, self.volume]


def bar_start(epoch_s: int, interval: str) -> int:
    """The start (epoch seconds) of the bar that holds `epoch_s`; DomainError for an unknown interval.

    Hours start at a quarter past (09:15 IST), days at midnight IST.
    """
    seconds = INTERVALS.get(interval)
    if seconds is None:
        raise DomainError(f"{interval!r} is not an interval: one of {', '.join(INTERVALS)}")
    anchor = {"1h": _HOUR_ANCHOR, "1d": -_IST_OFFSET}.get(interval, 0)
    return (epoch_s - anchor) // seconds * seconds + anchor


def next_bar_start(epoch_s: int, interval: str) -> int:
    """The start (epoch seconds) of the first bar that starts at `epoch_s` or later; DomainError as `bar_start`."""
    start = bar_start(epoch_s, interval)
    return start if start == epoch_s else start + INTERVALS[interval]


def resample(candles: Iterable[Candle], interval: str) -> list[Candle]:
    """Longer bars out of shorter ones of one symbol, oldest first; the last may still be forming."""
    result: list[Candle] = []
    for candle in candles:
        start = bar_start(candle.time, interval)
        last = result[-1] if result else None
        if last is None or last.time != start:
            result.append(msgspec.structs.replace(candle, interval=interval, time=start))
            continue
        result[-1] = msgspec.structs.replace(
            last,
            high=max(last.high, candle.high),
            low=min(last.low, candle.low),
            close=candle.close,
            volume=last.volume + candle.volume,
        )
    return result
