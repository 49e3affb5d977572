"""Bars out of trades: properties that hold for every stream, and the corner cases by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.candles import Candle
from tradingengine.marketdata.candles import CandleAggregator, CandleStore

pytestmark = pytest.mark.unit

SYMBOL = "NSE:ABC"
TRADES = st.lists(
    st.tuples(st.integers(0, 600_000), st.integers(5, 100_000), st.integers(0, 500)), min_size=1, max_size=200
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def _bars(trades: list[tuple[int, int, int]], seconds: int = 60) -> list[Candle]:
    aggregator = CandleAggregator(seconds, f"{seconds}s")
    bars, volume = [], 0
    for at_ms, price, units in trades:
        volume += units
        closed = aggregator.add(SYMBOL, price, volume, at_ms)
        bars += [closed] if closed is not None else []
    return bars + aggregator.finish()


@given(TRADES)
def test_bars_hold_every_trade_once(trades: list[tuple[int, int, int]]) -> None:
    bars = _bars(trades)
    assert sum(bar.volume for bar in bars) == sum(units for _, _, units in trades)
    assert [bar.time for bar in bars] == sorted({at_ms // 60_000 * 60 for at_ms, _, _ in trades})
    for bar in bars:
        prices = [price for at_ms, price, _ in trades if at_ms // 60_000 * 60 == bar.time]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])


@given(TRADES, st.integers(1, 50))
def test_closing_by_time_gives_the_same_bars(trades: list[tuple[int, int, int]], every: int) -> None:
    aggregator = CandleAggregator(60, "60s")
    bars, volume = [], 0
    for number, (at_ms, price, units) in enumerate(trades):
        if number % every == 0:
            bars += aggregator.advance(at_ms)
        volume += units
        closed = aggregator.add(SYMBOL, price, volume, at_ms)
        bars += [closed] if closed is not None else []
    assert bars + aggregator.finish() == _bars(trades)
    assert aggregator.late == 0


@given(TRADES)
def test_a_prefix_of_the_trades_gives_a_prefix_of_the_closed_bars(trades: list[tuple[int, int, int]]) -> None:
    whole = _bars(trades)
    part = _bars(trades[: len(trades) // 2 + 1])
    assert part[:-1] == whole[: len(part) - 1]


def test_a_minute_without_trades_is_a_gap() -> None:
    bars = _bars([(0, 100, 1), (185_000, 110, 1)])
    assert [(bar.time, bar.close) for bar in bars] == [(0, 100), (180, 110)]


def test_volume_that_steps_back_is_not_counted_twice() -> None:
    aggregator = CandleAggregator()
    for at_ms, volume in ((0, 100), (1_000, 90), (2_000, 120)):
        aggregator.add(SYMBOL, 100, volume, at_ms)
    forming = aggregator.forming(SYMBOL)
    assert forming is not None
    assert forming.volume == 120


def test_volume_before_the_first_trade_seen_is_left_out_in_mid_day() -> None:
    aggregator = CandleAggregator(from_open=False)
    aggregator.add(SYMBOL, 100, 5_000, 0)
    aggregator.add(SYMBOL, 100, 5_010, 1_000)
    assert [bar.volume for bar in aggregator.finish()] == [10]


def test_a_late_trade_changes_no_closed_bar() -> None:
    aggregator = CandleAggregator()
    aggregator.add(SYMBOL, 100, 1, 59_000)
    closed = aggregator.advance(60_000)
    assert [bar.close for bar in closed] == [100]
    assert aggregator.add(SYMBOL, 999, 2, 59_500) is None
    assert aggregator.late == 1
    assert aggregator.forming(SYMBOL) is None


def test_a_bar_closes_when_its_end_is_reached_and_not_before() -> None:
    aggregator = CandleAggregator()
    aggregator.add(SYMBOL, 100, 1, 1_000)
    assert aggregator.advance(59_999) == []
    assert len(aggregator.advance(60_000)) == 1


@pytest.mark.parametrize("seconds", [0, -1, 7])
def test_lengths_that_do_not_divide_a_day_are_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="divisor"):
        CandleAggregator(seconds)


def _minute(time: int, close: int) -> Candle:
    return Candle(symbol=SYMBOL, interval="1m", time=time, open=100, high=close, low=100, close=close, volume=1)


def test_the_store_derives_longer_intervals_and_keeps_order() -> None:
    store = CandleStore(limit=10)
    store.extend(_minute(60 * number, 100 + number) for number in range(12))
    store.extend([_minute(60, 999)])
    assert [bar.time for bar in store.last(SYMBOL, "1m", 3)] == [540, 600, 660]
    assert len(store.last(SYMBOL, "1m", 100)) == 10
    five = store.last(SYMBOL, "5m", 2)
    assert [(bar.time, bar.close, bar.volume) for bar in five] == [(300, 109, 5), (600, 111, 2)]
    assert store.last("NSE:NONE", "1m", 5) == []
    assert store.last(SYMBOL, "1m", 0) == []
