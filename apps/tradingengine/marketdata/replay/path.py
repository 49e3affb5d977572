"""Trades out of recorded bars, and depth out of trades: what a recording does not have is synthesised here, by rule.

Nothing is drawn by chance: the same bar gives the same trades, and the candle built from them is the recorded bar.
"""

from __future__ import annotations

from collections.abc import Iterator

from tradingengine.marketdata.tape import TapePrice

STEP_S = 3
_TURNS = (0, 15, 42, 57)  # seconds of the minute at which open, first extreme, second extreme and close are reached
_MINUTE_MS = 60_000


def minute_path(first: int, high: int, low: int, last: int, volume: int, tick: int) -> Iterator[tuple[int, int, int]]:
    """Trades of one recorded minute: (ms within the minute, price in paise, units).

    The price goes from open to the extreme that lies against the bar's direction, to the other one, and to the close,
    in straight lines on the tick grid. Units are spread evenly, the rest on the last trade; they add up to `volume`.
    """
    corners = (first, low, high, last) if last >= first else (first, high, low, last)
    seconds = list(range(0, _TURNS[-1] + 1, STEP_S))
    share, rest = divmod(volume, len(seconds))
    for at in seconds:
        units = share + (rest if at == seconds[-1] else 0)
        yield at * 1000, _between(corners, at, tick), units


def _between(corners: tuple[int, int, int, int], at: int, tick: int) -> int:
    leg = next(number for number in range(3) if at <= _TURNS[number + 1])
    start, end = corners[leg], corners[leg + 1]
    if at == _TURNS[leg + 1]:
        return end
    if at == _TURNS[leg]:
        return start
    done, length = at - _TURNS[leg], _TURNS[leg + 1] - _TURNS[leg]
    moved = (end - start) * done // length
    return start + (moved // tick * tick if moved >= 0 else -(-moved // tick) * tick)


class DepthRule:
    """Bid and ask of one share around its trades, one tick apart.

    By the tick rule: a trade above the one before took the ask, one below it hit the bid, an equal one stays on the
    side of the one before. Quantities are figures between 100 and 1099 units made from price and time.
    """

    def __init__(self, symbol: str, tick: int, *, tradable: bool) -> None:
        self._symbol = symbol
        self._tick = tick
        self._tradable = tradable
        self._last = 0
        self._at_ask = True

    def price(self, at_ms: int, price: int, day_volume: int) -> TapePrice:
        """The trade with its synthesised depth; an index has none."""
        if not self._tradable:
            return TapePrice(at_ms, self._symbol, price, day_volume, 0, 0, 0, 0)
        if price != self._last:
            self._at_ask = price > self._last
        self._last = price
        bid = max(self._tick, price - self._tick) if self._at_ask else price
        mixed = (price * 2_654_435_761 + at_ms // 1000 * 40_503) & 0xFFFFFFFF
        return TapePrice(
            at_ms,
            self._symbol,
            price,
            day_volume,
            bid,
            bid + self._tick,
            100 + mixed % 1000,
            100 + (mixed >> 12) % 1000,
        )
