"""Recorded days as a tape: the candles that come out are those that were recorded."""

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.marketdata.candles import CandleAggregator
from tradingengine.marketdata.errors import DataFolderError, MarketDataConfigError
from tradingengine.marketdata.replay.folder import DataFolder, open_folder
from tradingengine.marketdata.replay.path import DepthRule, minute_path
from tradingengine.marketdata.replay.tape import RecordedSession, ReplayTape

from tests.recordings import write_parquet
from tests.unit.apps.marketdata.conftest import DAY_ONE, DAY_TWO, bar_columns, tick_columns

pytestmark = pytest.mark.unit

REAL = os.environ.get("DATA_DIR", "")
needs_recordings = pytest.mark.skipif(not REAL, reason="DATA_DIR names no folder of recordings")


def _candles(session: RecordedSession) -> list[Candle]:
    aggregator = CandleAggregator()
    candles, before = [], 0
    for price in session.prices():
        assert price.at_ms >= before
        before = price.at_ms
        closed = aggregator.add(price.symbol, price.price, price.day_volume, price.at_ms)
        candles += [closed] if closed is not None else []
    return candles + aggregator.finish()


@given(st.data())
def test_the_path_of_a_minute_gives_back_its_bar(data: st.DataObject) -> None:
    tick = data.draw(st.sampled_from([1, 5]))
    low = data.draw(st.integers(1, 2_000)) * tick
    high = low + data.draw(st.integers(0, 300)) * tick
    inside = st.integers(low // tick, high // tick).map(lambda steps: steps * tick)
    first, last, volume = data.draw(inside), data.draw(inside), data.draw(st.integers(0, 10_000))
    path = list(minute_path(first, high, low, last, volume, tick))
    prices = [price for _, price, _ in path]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (first, high, low, last)
    assert all(price % tick == 0 for price in prices)
    assert sum(units for _, _, units in path) == volume
    assert all(units >= 0 for _, _, units in path)
    times = [at_ms for at_ms, _, _ in path]
    assert times == sorted(set(times))
    assert times[-1] < 60_000


def test_depth_follows_the_tick_rule() -> None:
    rule = DepthRule("NSE:ABC", 5, tradable=True)
    sides = []
    for price in (100, 105, 105, 95, 95):
        trade = rule.price(0, price, 1)
        assert trade.ask - trade.bid == 5
        assert min(trade.bid_quantity, trade.ask_quantity) >= 100
        sides.append("ask" if trade.price == trade.ask else "bid")
    assert sides == ["ask", "ask", "ask", "bid", "bid"]
    assert rule.price(0, 5, 1).bid == 5


def test_an_index_has_no_depth() -> None:
    assert DepthRule("NSE:NIFTY", 5, tradable=False).price(0, 1_500_000, 0)[4:] == (0, 0, 0, 0)


def test_recorded_minutes_come_back_as_they_were(recordings: Path, calendar: Calendar) -> None:
    session = ReplayTape(open_folder(recordings), calendar, date(2021, 5, 10)).session(0)
    columns = bar_columns()
    expected = {
        (f"NSE:{columns['symbol'][row]}", columns["ts"][row]): tuple(
            round(columns[name][row] * 100) for name in ("open", "high", "low", "close")
        )
        for row in range(12)
        if columns["ts"][row] < DAY_TWO
    }
    candles = _candles(session)
    assert {(bar.symbol, bar.time): (bar.open, bar.high, bar.low, bar.close) for bar in candles} == expected
    assert {bar.volume for bar in candles} == {1000}


def test_ticks_are_played_where_there_are_ticks(recordings: Path, calendar: Calendar) -> None:
    session = ReplayTape(open_folder(recordings), calendar, date(2021, 5, 11)).session(0)
    prices = [price for price in session.prices() if price.symbol == "NSE:ABC"]
    ticks, synthesised = prices[:12], prices[12:]
    assert [price.price for price in ticks] == [10_000 + 50 * number for number in range(12)]
    assert [price.at_ms for price in ticks] == [(DAY_TWO + 10 * number) * 1000 for number in range(12)]
    # The third minute has no ticks: it comes from its bar, whose volume is on top of the day's.
    assert {price.at_ms // 60_000 * 60 for price in synthesised} == {DAY_TWO + 120}
    assert (synthesised[0].day_volume >= 1_100, synthesised[-1].day_volume) == (True, 2_100)
    assert session.previous_close == {"NSE:ABC": 10_020, "NSE:NIFTY": 1_500_020}
    assert {candle.time // 86_400 for candle in session.earlier()} == {DAY_ONE // 86_400}


def test_the_tape_starts_where_ticks_are_and_says_what_is_synthesised(recordings: Path, calendar: Calendar) -> None:
    tape = ReplayTape(open_folder(recordings), calendar)
    assert tape.days == (date(2021, 5, 11),)
    assert "synthesised" in tape.detail
    assert tape.source == "replay"


def test_a_long_gap_ends_the_tape(recordings: Path, calendar: Calendar) -> None:
    columns = bar_columns()
    columns["ts"] = [ts + 30 * 86_400 for ts in columns["ts"]]
    write_parquet(recordings / "bars_1m_later.parquet", columns)
    folder = open_folder(recordings)
    assert ReplayTape(folder, calendar, date(2021, 5, 10)).days == (date(2021, 5, 10), date(2021, 5, 11))
    assert ReplayTape(folder, calendar, date(2021, 6, 9)).days == (date(2021, 6, 9), date(2021, 6, 10))


def test_the_tape_starts_where_every_symbol_of_the_first_minute_has_its_price(
    recordings: Path, calendar: Calendar
) -> None:
    columns = tick_columns()
    columns["ts"] = [ts + 47 for ts in columns["ts"]]
    write_parquet(recordings / "ticks_test.parquet", columns)
    assert next(ReplayTape(open_folder(recordings), calendar).session(0).prices()).symbol == "NSE:NIFTY"
    assert ReplayTape(open_folder(recordings), calendar).first_offset_ms() == 47_000


def test_a_day_without_records_is_refused_with_the_nearest_ones(recordings: Path, calendar: Calendar) -> None:
    with pytest.raises(MarketDataConfigError, match="nothing was recorded on 2021-05-12") as refusal:
        ReplayTape(open_folder(recordings), calendar, date(2021, 5, 12))
    assert refusal.value.field == "marketData.replay.from"
    assert refusal.value.mend == "The nearest recorded days are 2021-05-10, 2021-05-11."


def test_hours_come_from_the_calendar_or_from_the_records(recordings: Path, calendar: Calendar) -> None:
    session = ReplayTape(open_folder(recordings), calendar, date(2021, 5, 10)).session(0)
    assert (session.open_ms, session.close_ms) == (DAY_ONE * 1000, (DAY_ONE + 375 * 60) * 1000)
    columns = bar_columns()
    columns["ts"] = [ts + 5 * 86_400 for ts in columns["ts"]]  # a Saturday and a Sunday
    write_parquet(recordings / "bars_1m_weekend.parquet", columns)
    weekend = ReplayTape(open_folder(recordings), calendar, date(2021, 5, 15)).session(0)
    start = (DAY_ONE + 5 * 86_400) * 1000
    assert (weekend.open_ms, weekend.close_ms) == (start, start + 180_000)
    assert len(_candles(weekend)) == 6


def test_masters_give_names_and_the_records_give_ticks(recordings: Path, calendar: Calendar) -> None:
    by_symbol = {one.symbol: one for one in ReplayTape(open_folder(recordings), calendar).session(0).instruments}
    nifty, abc = by_symbol["NSE:NIFTY"], by_symbol["NSE:ABC"]
    assert (nifty.name, nifty.tradable, nifty.kind) == ("NIFTY 50", False, "index")
    # The master says 0.10; the prices were recorded when the tick was 0.05.
    assert (abc.tick_paise, abc.tradable, abc.lot_size) == (5, True, 1)


def test_a_file_that_vanished_since_the_check_is_named(recordings: Path, calendar: Calendar) -> None:
    tape = ReplayTape(open_folder(recordings), calendar)
    (recordings / "ticks_test.parquet").unlink()
    with pytest.raises(DataFolderError, match=r"ticks_test\.parquet: the file cannot be read any more"):
        tape.session(0)


@pytest.fixture(scope="module")
def real_folder() -> DataFolder:
    """The recordings that DATA_DIR names."""
    return open_folder(Path(REAL))


@needs_recordings
@pytest.mark.parametrize("day", [date(2021, 6, 9), date(2024, 3, 2), date(2016, 8, 17)])
def test_a_real_day_gives_back_every_recorded_minute(real_folder: DataFolder, calendar: Calendar, day: date) -> None:
    if day not in real_folder.bars:
        pytest.skip(f"{day} is not recorded there")
    without_ticks = DataFolder(real_folder.path, bars=real_folder.bars, tick_paise=real_folder.tick_paise)
    recorded = _candles(ReplayTape(without_ticks, calendar, day).session(0))
    played = _candles(ReplayTape(real_folder, calendar, day).session(0))
    assert len(recorded) > 100
    assert sorted(played, key=lambda bar: (bar.time, bar.symbol)) == sorted(
        recorded, key=lambda bar: (bar.time, bar.symbol)
    )
