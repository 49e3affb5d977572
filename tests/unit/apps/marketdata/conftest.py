"""Small tapes and recordings, made by the tests themselves."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tradingengine.domain.calendar import Calendar, load_calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.marketdata.port import Source
from tradingengine.marketdata.tape import TapePrice

from tests.recordings import NOREN, OPEN, write_parquet

OPEN_MS = 1_767_584_700_000  # 2026-01-05 09:15 IST
DAY_MS = 86_400_000


def share(symbol: str = "NSE:ABC") -> Instrument:
    """A share with the usual tick."""
    return Instrument(
        symbol=symbol, exchange="NSE", segment=Segment.NSE_EQ, name=symbol[4:], kind=InstrumentKind.EQUITY
    )


class SmallSession:
    """A session of `seconds` with one trade a second of each symbol."""

    def __init__(self, number: int, seconds: int, symbols: Sequence[str]) -> None:
        self.open_ms = OPEN_MS + number * DAY_MS
        self.close_ms = self.open_ms + seconds * 1000
        self.instruments = tuple(share(symbol) for symbol in symbols)
        self.previous_close: Mapping[str, int] = dict.fromkeys(symbols, 10_000)
        self._seconds = seconds

    def prices(self) -> Iterator[TapePrice]:
        """Prices that rise by a tick a second."""
        for second in range(self._seconds):
            for instrument in self.instruments:
                price = 10_000 + 5 * second
                at_ms = self.open_ms + second * 1000
                yield TapePrice(at_ms, instrument.symbol, price, 10 * (second + 1), price - 5, price, 100, 200)

    def earlier(self) -> Iterable[Candle]:
        """Two minutes of the day before."""
        return [
            Candle(
                symbol=instrument.symbol,
                interval="1m",
                time=(self.open_ms - DAY_MS) // 1000 + 60 * minute,
                open=9_900,
                high=9_950,
                low=9_850,
                close=9_900,
                volume=5,
            )
            for instrument in self.instruments
            for minute in range(2)
        ]


class SmallTape:
    """A tape of short sessions."""

    source: Source = "simulator"
    detail = "made by a test"

    def __init__(
        self, *, count: int = 2, seconds: int = 150, symbols: Sequence[str] = ("NSE:ABC",), fingerprint: str = "small"
    ) -> None:
        self.count = count
        self.fingerprint = fingerprint
        self._seconds = seconds
        self._symbols = symbols

    def first_offset_ms(self) -> int:
        """From the start."""
        return 0

    def session(self, index: int) -> SmallSession:
        """The session of that number."""
        return SmallSession(index, self._seconds, self._symbols)


class FakeTime:
    """Wall time that goes by only when somebody sleeps; `stall` seconds are added to the next sleep."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.stall = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]:
        """A sleep that returns at once."""

        async def pass_time(seconds: float) -> None:
            self.now += seconds + self.stall
            self.stall = 0.0

        return pass_time


@pytest.fixture(scope="session")
def calendar() -> Calendar:
    """The product's own calendar."""
    return load_calendar()


@pytest.fixture
def wall() -> FakeTime:
    """Wall time under the test's control."""
    return FakeTime()


DAY_ONE = OPEN
DAY_TWO = DAY_ONE + 86_400


def bar_columns() -> dict[str, list[Any]]:
    """Two symbols, two days, three minutes each."""
    columns: dict[str, list[Any]] = {name: [] for name in ("symbol", "ts", "open", "high", "low", "close", "volume")}
    for symbol, base in (("ABC", 100.0), ("NIFTY", 15_000.0)):
        for day in (DAY_ONE, DAY_TWO):
            for minute in range(3):
                row = (symbol, day + 60 * minute, base, base + 0.5, base - 0.25, base + 0.1 * minute, 1000)
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    return columns


def tick_columns() -> dict[str, list[Any]]:
    """One symbol, the second day, one tick each ten seconds of two minutes."""
    seconds = range(0, 120, 10)
    return {
        "symbol": ["ABC" for _ in seconds],
        "ts": [DAY_TWO + second for second in seconds],
        "ltp": [100.0 + 0.05 * second for second in seconds],
        "day_volume": [10 * second for second in seconds],
    }


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A sound folder: bars, ticks, a master, and a table of files."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    write_parquet(folder / "bars_1m_test.parquet", bar_columns())
    write_parquet(folder / "ticks_test.parquet", tick_columns())
    (folder / "instruments_noren_nse_test.csv").write_text(
        NOREN + "NSE,26000,1,Nifty 50,NIFTY,INDEX,0,\nNSE,1,1,ABC,ABC-EQ,EQ,0.1,\n"
    )
    (folder / "README.md").write_text(
        "| file | what | rows |\n| --- | --- | --- |\n| bars_1m_test.parquet | bars | 12 |\n"
        "| ticks_test.parquet | ticks | 12 |\n| other.csv | not ours | 5 |\n"
    )
    return folder
