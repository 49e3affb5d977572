"""Recorded days as a tape.

The tape starts at a chosen day and runs over the recorded days that follow it, until a gap of more than ten days, which
is the end of that recording. Where a symbol has ticks on a day they are played; else its recorded minutes are (see
`path`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import IST
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.marketdata.errors import DataFolderError, Defect, MarketDataConfigError
from tradingengine.marketdata.port import Source
from tradingengine.marketdata.replay.checks import BATCH_ROWS, MEND_COPY
from tradingengine.marketdata.replay.folder import DataFolder
from tradingengine.marketdata.replay.path import DepthRule, minute_path
from tradingengine.marketdata.tape import TapePrice, trading_hours

LONGEST_GAP = timedelta(days=10)
EARLIER_DAYS = 2
KNOWN_INDICES: Mapping[str, str] = {"NIFTY": "NIFTY 50", "BANKNIFTY": "BANK NIFTY", "INDIA VIX": "INDIA VIX"}
_MINUTE_MS = 60_000


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
    """The instrument of a recorded ticker, named by the masters; its tick is the one that its recorded prices keep."""
    listed = folder.listed.get(ticker.upper())
    index = ticker in KNOWN_INDICES or (listed is not None and listed.is_index)
    name = KNOWN_INDICES.get(ticker) or (listed.name if listed is not None else ticker)
    return Instrument(
        symbol=symbol_of(ticker),
        exchange="NSE",
        segment=Segment.NSE_INDEX if index else Segment.NSE_EQ,
        name=name,
        kind=InstrumentKind.INDEX if index else InstrumentKind.EQUITY,
        tick_paise=folder.tick_paise.get(ticker, 1),
        freeze_quantity=0 if listed is None or index else listed.freeze_quantity,
        tradable=not index,
    )


def symbol_of(ticker: str) -> str:
    """`NSE:` and the ticker without blanks: the form of symbols everywhere in the product."""
    return "NSE:" + ticker.replace(" ", "")


class RecordedSession:
    """One recorded day. Memory holds the day's ticks as columns; trades are made as they are asked for."""

    def __init__(self, folder: DataFolder, day: date, calendar: Calendar) -> None:
        self._folder = folder
        self._day = day
        self._instruments = {ticker: ticker_instrument(folder, ticker) for ticker in folder.symbols(day)}
        self._ticks = _load_day(folder, day, folder.ticks.get(day, {}), ["symbol", "ts", "ltp", "day_volume"])
        with_ticks = folder.ticks.get(day, {})
        bar_files = {ticker: file for ticker, file in folder.bars.get(day, {}).items() if ticker not in with_ticks}
        self._bars = _load_bars(folder, day, bar_files)
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
        """Recorded ticks and synthesised ones, merged by time. Records outside trading hours are left out."""
        rules = {
            ticker: DepthRule(instrument.symbol, instrument.tick_paise, tradable=instrument.tradable)
            for ticker, instrument in self._instruments.items()
        }
        merged = heapq.merge(_tick_trades(self._ticks), self._minute_trades(), key=lambda trade: trade[0])
        for at_ms, ticker, price, volume in merged:
            if self.open_ms <= at_ms < self.close_ms:
                yield rules[ticker].price(at_ms, price, volume)

    def _minute_trades(self) -> Iterator[tuple[int, str, int, int]]:
        """(ms, ticker, paise, cumulative units) of the recorded minutes, a minute at a time."""
        volumes: dict[str, int] = {}
        minute: list[tuple[int, str, int, int]] = []
        started = 0
        for ticker, candle in self._bars:
            if candle.time != started:
                yield from sorted(minute)
                minute, started = [], candle.time
            tick = self._instruments[ticker].tick_paise
            path = minute_path(candle.open, candle.high, candle.low, candle.close, candle.volume, tick)
            for offset_ms, price, units in path:
                volumes[ticker] = volumes.get(ticker, 0) + units
                minute.append((candle.time * 1000 + offset_ms, ticker, price, volumes[ticker]))
        yield from sorted(minute)

    def _load_earlier(self) -> list[Candle]:
        days = [day for day in sorted(self._folder.bars) if self._day - LONGEST_GAP <= day < self._day][-EARLIER_DAYS:]
        candles: list[Candle] = []
        for day in days:
            files = {ticker: file for ticker, file in self._folder.bars[day].items() if ticker in self._instruments}
            candles += [candle for _, candle in _load_bars(self._folder, day, files)]
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


def _tick_trades(table: Any) -> Iterator[tuple[int, str, int, int]]:
    """(ms, ticker, paise, cumulative units) of recorded ticks, those of one second spread over it in their order."""
    group: list[tuple[str, int, int]] = []
    second = 0
    for batch in table.to_batches(max_chunksize=4096):
        columns = (batch[name].to_pylist() for name in ("ts", "symbol", "ltp", "day_volume"))
        for ts, symbol, price, volume in zip(*columns, strict=True):
            if ts != second:
                yield from _spread(second, group)
                group, second = [], ts
            group.append((symbol, round(price * 100), volume))
    yield from _spread(second, group)


def _spread(second: int, group: list[tuple[str, int, int]]) -> Iterator[tuple[int, str, int, int]]:
    for number, (symbol, price, volume) in enumerate(group):
        yield second * 1000 + number * 1000 // len(group), symbol, price, volume


def _load_bars(folder: DataFolder, day: date, files: Mapping[str, str]) -> list[tuple[str, Candle]]:
    """Recorded minutes of one day, by time and then ticker."""
    table = _load_day(folder, day, files, ["symbol", "ts", "open", "high", "low", "close", "volume"])
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    return [
        (
            ticker,
            Candle(
                symbol=symbol_of(ticker),
                interval="1m",
                time=ts,
                open=round(first * 100),
                high=round(high * 100),
                low=round(low * 100),
                close=round(last * 100),
                volume=volume,
            ),
        )
        for ticker, ts, first, high, low, last, volume in rows
    ]


def _load_day(folder: DataFolder, day: date, files: Mapping[str, str], columns: list[str]) -> Any:
    """One table with the day's rows of each ticker from its file, sorted by ts, then in the files' order."""
    start = int(datetime.combine(day, time(), tzinfo=IST).astimezone(UTC).timestamp())
    parts = []
    for file in sorted(set(files.values())):
        tickers = [ticker for ticker, holder in files.items() if holder == file]
        parts += _read_rows(folder.path / file, columns, _selector(start, tickers))
    if not parts:
        return pa.table({name: [] for name in columns})
    table = pa.concat_tables(parts)
    table = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    return table.take(pc.sort_indices(table, sort_keys=[("ts", "ascending"), ("row", "ascending")])).drop(["row"])


def _selector(start: int, tickers: list[str]) -> Callable[[Any], Any]:
    wanted = pa.array(tickers, pa.string())

    def select(batch: Any) -> Any:
        inside = pc.and_(pc.greater_equal(batch["ts"], start), pc.less(batch["ts"], start + 86_400))
        return batch.filter(pc.and_(inside, pc.is_in(batch["symbol"], value_set=wanted)))

    return select


def _read_rows(path: Path, columns: list[str], select: Callable[[Any], Any]) -> list[Any]:
    """The selected rows of a file, with fixed types; a column `volume` that was not recorded is filled with 0."""
    schema = pa.schema([(name, _TYPES[name]) for name in columns])
    try:
        with pq.ParquetFile(path) as file:
            present = [name for name in columns if name in file.schema_arrow.names]
            tables = []
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=present):
                table = pa.Table.from_batches([batch])
                table = table.set_column(0, "symbol", pc.cast(table["symbol"], pa.string()))
                if "volume" in columns and "volume" not in present:
                    table = table.append_column("volume", pa.array([0] * table.num_rows, pa.int64()))
                chosen = select(table.select(columns))
                if chosen.num_rows:
                    tables.append(chosen.cast(schema))
            return tables
    except (pa.ArrowException, OSError) as error:
        raise DataFolderError(
            [Defect(path.name, "", f"the file cannot be read any more ({error})", MEND_COPY)]
        ) from error


_TYPES: Mapping[str, Any] = {
    "symbol": pa.string(),
    "ts": pa.int64(),
    "ltp": pa.float64(),
    "day_volume": pa.int64(),
    "open": pa.float64(),
    "high": pa.float64(),
    "low": pa.float64(),
    "close": pa.float64(),
    "volume": pa.int64(),
}
