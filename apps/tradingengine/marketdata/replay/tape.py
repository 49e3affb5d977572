"""Recorded days as a tape.

The tape starts at a chosen day and runs over the recorded days that follow it, until a gap of more than ten days, which
is the end of that recording. Where a symbol has ticks on a day they are played; else its recorded minutes are (see
`path`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, TypeAlias

import pyarrow.compute as pc

from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.marketdata.errors import MarketDataConfigError
from tradingengine.marketdata.port import Source
from tradingengine.marketdata.replay.day import load_bars, load_ticks
from tradingengine.marketdata.replay.folder import DataFolder
from tradingengine.marketdata.replay.path import DepthRule, minute_path
from tradingengine.marketdata.replay.spellings import groups
from tradingengine.marketdata.tape import TapePrice, trading_hours

LONGEST_GAP = timedelta(days=10)
EARLIER_DAYS = 2
STRIP_NAMES: Mapping[str, str] = {"NIFTY": "NIFTY 50", "BANKNIFTY": "BANK NIFTY", "INDIAVIX": "INDIA VIX"}
"""How the index strip names its indices."""
_MINUTE_MS = 60_000
_Trade: TypeAlias = tuple[int, str, int, int, int]
"""Epoch ms, ticker, paise, cumulative units of the day (of a tick), units of the trade (of a bar)."""


def choose_days(folder: DataFolder, start: date | None) -> list[date]:
    """The days of the tape: from `start` (default: the first day with ticks, else the first day) to the next gap.

    MarketDataConfigError when nothing was recorded on `start`; it names the recorded days nearest to it.
    """
    days = folder.days
    if start is None:
        start = min(folder.ticks, default=days[0])
    if start not in days:
        nearest = sorted(sorted(days, key=lambda day: abs((day - start).days))[:3])
        named = ", ".join(day.isoformat() for day in nearest)
        raise MarketDataConfigError(
            "marketData.replay.from", f"nothing was recorded on {start}", f"The nearest recorded days are {named}."
        )
    chosen = [start]
    for day in days[days.index(start) + 1 :]:
        if day - chosen[-1] > LONGEST_GAP:
            break
        chosen.append(day)
    return chosen


def ticker_instrument(folder: DataFolder, ticker: str) -> Instrument:
    """The instrument of a ticker, by what the masters know of it; its tick is the one that its recorded prices keep.

    An index, and what no master lists, can be looked at and not traded.
    """
    listed = folder.listed.get(ticker)
    index = listed is not None and listed.is_index
    name = ticker if listed is None else listed.name
    return Instrument(
        symbol=symbol_of(ticker),
        exchange="NSE",
        segment=Segment.NSE_INDEX if index else Segment.NSE_EQ,
        name=STRIP_NAMES.get(ticker, name) if index else name,
        kind=InstrumentKind.INDEX if index else InstrumentKind.EQUITY,
        tick_paise=folder.tick_paise.get(ticker, 1),
        freeze_quantity=0 if listed is None or index else listed.freeze_quantity,
        tradable=listed is not None and not index,
    )


def symbol_of(ticker: str) -> str:
    """`NSE:` and the ticker, which has no blanks: the form of symbols everywhere in the product."""
    return f"NSE:{ticker}"


class RecordedSession:
    """One recorded day. Memory holds the day's ticks as columns; trades are made as they are asked for."""

    def __init__(self, folder: DataFolder, day: date, calendar: Calendar) -> None:
        self._folder = folder
        self._day = day
        self._instruments = {ticker: ticker_instrument(folder, ticker) for ticker in folder.symbols(day)}
        self._ticks = load_ticks(folder, day)
        held = _tick_minutes(self._ticks)
        bars = load_bars(folder, day, folder.bars.get(day, {}))
        self._bars = [(ticker, bar) for ticker, bar in bars if (ticker, bar.time) not in held]
        self._earlier = self._load_earlier()
        self._hours = trading_hours(calendar, Segment.NSE_EQ, day) or self._recorded_hours()

    @property
    def open_ms(self) -> int:
        """Start of trading by the calendar; of the recording on a day that the calendar has closed."""
        return self._hours[0]

    @property
    def close_ms(self) -> int:
        """End of trading."""
        return self._hours[1]

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What was recorded on the day."""
        return tuple(self._instruments.values())

    @property
    def previous_close(self) -> Mapping[str, int]:
        """Last recorded price (paise) of the last earlier day, if that is near enough."""
        return {candle.symbol: candle.close for candle in self._earlier}

    def earlier(self) -> Iterable[Candle]:
        """Recorded minutes of up to two days before."""
        return self._earlier

    def prices(self) -> Iterator[TapePrice]:
        """Recorded ticks and synthesised ones, merged by time. Records outside trading hours are left out.

        A minute without ticks is played from its bar, its units on top of the day's volume so far.
        """
        rules = {
            ticker: DepthRule(instrument.symbol, instrument.tick_paise, tradable=instrument.tradable)
            for ticker, instrument in self._instruments.items()
        }
        totals: dict[str, int] = {}
        merged = heapq.merge(_tick_trades(self._ticks), self._minute_trades(), key=lambda trade: trade[0])
        for at_ms, ticker, price, day_volume, units in merged:
            totals[ticker] = max(totals.get(ticker, 0) + units, day_volume)
            if self.open_ms <= at_ms < self.close_ms:
                yield rules[ticker].price(at_ms, price, totals[ticker])

    def _minute_trades(self) -> Iterator[_Trade]:
        """The trades of recorded minutes, a minute at a time."""
        minute: list[_Trade] = []
        started = 0
        for ticker, candle in self._bars:
            if candle.time != started:
                yield from sorted(minute)
                minute, started = [], candle.time
            tick = self._instruments[ticker].tick_paise
            path = minute_path(candle.open, candle.high, candle.low, candle.close, candle.volume, tick)
            for offset_ms, price, units in path:
                minute.append((candle.time * 1000 + offset_ms, ticker, price, 0, units))
        yield from sorted(minute)

    def _load_earlier(self) -> list[Candle]:
        days = [day for day in sorted(self._folder.bars) if self._day - LONGEST_GAP <= day < self._day][-EARLIER_DAYS:]
        candles: list[Candle] = []
        for day in days:
            files = {ticker: held for ticker, held in self._folder.bars[day].items() if ticker in self._instruments}
            candles += [candle for _, candle in load_bars(self._folder, day, files)]
        return candles

    def _recorded_hours(self) -> tuple[int, int]:
        times = [candle.time for _, candle in self._bars]
        if self._ticks.num_rows:
            extent = pc.min_max(self._ticks["ts"]).as_py()
            times += [extent["min"], extent["max"]]
        return min(times) // 60 * _MINUTE_MS, (max(times) // 60 + 1) * _MINUTE_MS


class ReplayTape:
    """The recorded days from `start` on."""

    def __init__(self, folder: DataFolder, calendar: Calendar, start: date | None = None) -> None:
        self._folder = folder
        self._calendar = calendar
        self._days = choose_days(folder, start)

    @property
    def source(self) -> Source:
        """`replay`."""
        return "replay"

    @property
    def detail(self) -> str:
        """What these prices are, for people."""
        span = f"{self._days[0]} to {self._days[-1]}" if len(self._days) > 1 else f"{self._days[0]}"
        return (
            f"Recorded prices of {span}. Depth is synthesised, one tick wide; where only minutes were recorded, the "
            "path within each minute is synthesised from open, high, low and close."
        )

    @property
    def fingerprint(self) -> str:
        """First and last day and the number of days."""
        return f"replay/{self._days[0]}/{self._days[-1]}/{len(self._days)}"

    @property
    def count(self) -> int:
        """Number of recorded days."""
        return len(self._days)

    def first_offset_ms(self) -> int:
        """To where every symbol of the first minute has its price: nobody wants to wait for a late recorder."""
        session = self.session(0)
        firsts: dict[str, int] = {}
        for price in session.prices():
            if firsts and price.at_ms >= min(firsts.values()) + _MINUTE_MS:
                break
            firsts.setdefault(price.symbol, price.at_ms)
        latest = max(firsts.values(), default=session.open_ms)
        return (latest - session.open_ms + 999) // 1000 * 1000

    @property
    def days(self) -> Sequence[date]:
        """The recorded days, in order."""
        return tuple(self._days)

    def session(self, index: int) -> RecordedSession:
        """Load one recorded day; DataFolderError when a file changed or vanished since it was checked."""
        return RecordedSession(self._folder, self._days[index], self._calendar)


def _tick_minutes(table: Any) -> set[tuple[str, int]]:
    """(ticker, start of the minute) of every minute that has ticks."""
    found: set[tuple[str, int]] = set()
    for ticker, rows in groups(table["symbol"].combine_chunks()):
        minutes = pc.unique(pc.divide(pc.take(table["ts"], rows), 60)).to_pylist()
        found.update((ticker, minute * 60) for minute in minutes)
    return found


def _tick_trades(table: Any) -> Iterator[_Trade]:
    """Recorded ticks, those of one second spread over it in their order."""
    group: list[tuple[str, int, int]] = []
    second = 0
    for batch in table.to_batches(max_chunksize=4096):
        columns = (batch[name].to_pylist() for name in ("ts", "symbol", "ltp", "day_volume"))
        for ts, symbol, price, volume in zip(*columns, strict=True):
            if ts != second:
                yield from _spread(second, group)
                group, second = [], ts
            group.append((symbol, price, volume))
    yield from _spread(second, group)


def _spread(second: int, group: list[tuple[str, int, int]]) -> Iterator[_Trade]:
    for number, (symbol, price, volume) in enumerate(group):
        yield second * 1000 + number * 1000 // len(group), symbol, price, volume, 0
