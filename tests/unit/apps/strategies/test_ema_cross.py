"""The EMA cross on planted series: when it trades, when it does not, and that it never looks ahead."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine.domain.candles import Candle
from tradingengine.domain.orders import OrderType, Product
from tradingengine.strategies.ema_cross import Ema, EmaCross, EmaCrossParameters
from tradingengine.strategies.host import StrategyHost
from tradingengine.strategies.interface import OrderLimits

from tests.unit.apps.strategies.conftest import CLOSE_MS, OPEN_MS, SYMBOL, Desk, ScriptedFeed, ended, minutes, started

pytestmark = pytest.mark.unit

SMALL = EmaCrossParameters(symbol=SYMBOL, fast=2, slow=4, limits=OrderLimits(per_minute=1_000, per_session=1_000))
FALL_RISE_FALL = [1_000, 990, 980, 970, 960, 980, 1_000, 1_020, 1_040, 1_000, 960, 920, 900]


def _desk(parameters: EmaCrossParameters = SMALL, feed: ScriptedFeed | None = None) -> Desk:
    feed = ScriptedFeed() if feed is None else feed
    return Desk(StrategyHost(feed, [EmaCross(parameters)], monotonic=lambda: 0.0))  # type: ignore[arg-type]


def test_it_buys_on_the_way_up_and_sells_on_the_way_down() -> None:
    desk = _desk()
    desk.play([started(), *minutes(FALL_RISE_FALL)])
    # Fast 2, slow 4: with the close of minute 6 (1000 after 980) the fast average rises above the slow one.
    assert desk.trades() == [(7, "BUY", "ENTRY", 1), (11, "SELL", "EXIT", 1)]
    request = desk.orders[0][1].request
    assert (request.type, request.product, request.symbol) == (OrderType.MARKET, Product.MIS, SYMBOL)
    status = desk.host.statuses()[0]
    assert (status.orders, status.pnl_paise) == (2, 960 - 1_000)


def test_one_lot_is_the_size() -> None:
    desk = _desk(feed=ScriptedFeed(lot_size=25))
    desk.play([started(), *minutes(FALL_RISE_FALL)])
    assert [units for *_, units in desk.trades()] == [25, 25]


def test_nothing_happens_before_the_averages_are_warm() -> None:
    desk = _desk()
    desk.play([started(), *minutes([1_000, 1_100, 1_200])])
    assert desk.trades() == []


def test_history_warms_it_up_without_an_order() -> None:
    bars = [
        Candle(
            symbol=SYMBOL,
            interval="1m",
            time=OPEN_MS // 1000 - 600 + 60 * number,
            open=close,
            high=close,
            low=close,
            close=close,
            volume=1,
        )
        for number, close in enumerate([1_000, 990, 1_020, 1_060, 1_000, 950, 940, 930])
    ]
    desk = _desk(feed=ScriptedFeed(bars))
    desk.play([started(), *minutes([1_100])])
    assert desk.trades() == [(1, "BUY", "ENTRY", 1)]


def test_a_start_above_waits_for_the_next_crossing() -> None:
    desk = _desk()
    desk.play([started(), *minutes([1_000, 1_010, 1_020, 1_030, 1_040, 1_050])])
    assert desk.trades() == []


def test_it_is_flat_before_the_session_ends_and_opens_nothing_then() -> None:
    first = CLOSE_MS - 15 * 60_000
    desk = _desk()
    rising = [1_000, 990, 980, 970, 1_000, 1_030, 1_060, 1_090, 1_120, 1_150, 1_180, 1_210]
    desk.play([started(first), *minutes(rising, first), *ended()])
    bought, sold = desk.orders
    assert (bought[1].request.side, sold[1].request.side) == ("BUY", "SELL")
    assert sold[0] == CLOSE_MS - 300_000
    late = _desk()
    first = CLOSE_MS - 9 * 60_000
    late.play([started(first), *minutes([1_000, 990, 980, 970, 1_100, 1_200], first), *ended()])
    assert [at for at, _ in late.orders if at >= CLOSE_MS - 300_000 and _.request.side == "BUY"] == []


def test_an_index_is_only_looked_at() -> None:
    desk = _desk(feed=ScriptedFeed(tradable=False))
    desk.play([started(), *minutes(FALL_RISE_FALL)])
    assert desk.trades() == []


def test_an_unanswered_order_blocks_the_next_one() -> None:
    desk = _desk()
    desk._fill = False
    desk.play([started(), *minutes(FALL_RISE_FALL * 3)])
    assert len(desk.orders) == 1


SERIES = st.lists(st.integers(180, 220).map(lambda step: step * 5), min_size=5, max_size=60)


@settings(max_examples=60)
@given(SERIES, SERIES)
def test_later_bars_never_change_earlier_decisions(series: list[int], more: list[int]) -> None:
    short, long = _desk(), _desk()
    short.play([started(), *minutes(series)])
    long.play([started(), *minutes(series + more)])
    until = OPEN_MS + len(series) * 60_000
    assert [trade for trade in long.trades() if trade[0] * 60_000 + OPEN_MS <= until] == short.trades()


@settings(max_examples=60)
@given(SERIES)
def test_it_is_long_one_lot_or_flat_and_sends_one_order_a_bar(series: list[int]) -> None:
    desk = _desk()
    desk.play([started(), *minutes(series), *ended()])
    sides = [side for _, side, _, _ in desk.trades()]
    assert sides == ["BUY", "SELL"] * (len(sides) // 2) + ["BUY"] * (len(sides) % 2)
    times = [minute for minute, *_ in desk.trades()]
    assert len(times) == len(set(times))


def test_an_average_starts_with_the_mean_and_follows() -> None:
    average = Ema(3)
    seen = []
    for price in (100, 110, 120, 150):
        average.update(price)
        seen.append(average.value)
    assert seen == [None, None, 110.0, 130.0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"fast": 5, "slow": 5}, "fast 5"),
        ({"fast": 0}, "fast 0"),
        ({"slow": 501}, "slow 501"),
        ({"lots": 0}, "lots 0"),
        ({"bar_seconds": 7}, "bar_seconds 7"),
        ({"exit_before_close_s": 30}, "exit_before_close_s 30"),
    ],
)
def test_wrong_parameters_are_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        EmaCrossParameters(symbol=SYMBOL, **changes)
