"""The host: confines failures, bounds orders, and keeps each strategy's own book."""

import logging
from collections.abc import Callable, Sequence

import pytest
from tradingengine.domain.calendar import load_calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.orders import OrderRequest, OrderState, Purpose, Side
from tradingengine.marketdata.port import Prices
from tradingengine.marketdata.simulator.tape import SimulatorTape
from tradingengine.strategies.catalogue import default_strategies, parameters_for
from tradingengine.strategies.host import CancelOrder, PlaceOrder, StateChanged, StrategyHost
from tradingengine.strategies.interface import OrderLimits, Strategy, StrategyContext, StrategyFill

from tests.unit.apps.strategies.conftest import (
    CLOSE_MS,
    OPEN_MS,
    SYMBOL,
    Desk,
    ScriptedFeed,
    ended,
    minutes,
    order_of,
    quote,
    replace_state,
    started,
)

pytestmark = pytest.mark.unit


class Scripted:
    """A strategy that does at each bar what the test says, and remembers its calls."""

    symbols: Sequence[str] = (SYMBOL,)
    bar_seconds = 60
    warm_up_bars = 3

    def __init__(
        self,
        on_bar: Callable[[StrategyContext, Candle], object] = lambda context, bar: None,
        *,
        name: str = "scripted",
        limits: OrderLimits | None = None,
    ) -> None:
        self.name = name
        self.limits = limits or OrderLimits(per_bar=100, per_minute=100, per_session=100)
        self.calls: list[str] = []
        self.history: Sequence[Candle] = ()
        self.fills: list[StrategyFill] = []
        self._on_bar = on_bar

    def on_start(self, context: StrategyContext, history: Sequence[Candle]) -> None:
        """Remember."""
        self.calls.append("start")
        self.history = history

    def on_bar(self, context: StrategyContext, bar: Candle) -> None:
        """Do as told."""
        self.calls.append(f"bar {bar.close}")
        self._on_bar(context, bar)

    def on_fill(self, context: StrategyContext, fill: StrategyFill) -> None:
        """Remember."""
        self.calls.append("fill")
        self.fills.append(fill)

    def on_done(self, context: StrategyContext, order_id: str, state: OrderState) -> None:
        """Remember."""
        self.calls.append(f"done {state}")

    def on_stop(self, context: StrategyContext) -> None:
        """Remember."""
        self.calls.append("stop")


def _host(*strategies: Strategy, account: Callable[[str], int] | None = None, **changes: object) -> StrategyHost:
    clock = changes.pop("monotonic", lambda: 0.0)
    return StrategyHost(ScriptedFeed(), strategies, account=account, monotonic=clock)  # type: ignore[arg-type]


def _buy(context: StrategyContext, bar: Candle) -> None:
    context.place(SYMBOL, Side.BUY, 1, purpose=Purpose.ENTRY, reason="always")


def test_a_session_is_start_bars_stop() -> None:
    strategy = Scripted()
    desk = Desk(_host(strategy))
    desk.play([started(), *minutes([100, 110]), *ended()])
    assert strategy.calls == ["start", "bar 100", "bar 110", "stop"]
    assert [action for action in desk.actions if isinstance(action, StateChanged)] == [
        StateChanged(strategy="scripted", state="running", reason="the session began")
    ]


def test_the_last_bar_ends_with_the_session() -> None:
    strategy = Scripted()
    Desk(_host(strategy)).play(
        [started(), Prices(at_ms=CLOSE_MS - 1, quotes=(quote(105, CLOSE_MS - 30_000),)), *ended()]
    )
    assert strategy.calls == ["start", "bar 105", "stop"]


def test_short_bars_are_built_from_trades() -> None:
    strategy = Scripted()
    strategy.bar_seconds = 5
    host = _host(strategy)
    host.take(started())
    trades = tuple(quote(100 + second, OPEN_MS + second * 1000) for second in range(12))
    host.take(Prices(at_ms=OPEN_MS + 12_000, quotes=trades))
    assert strategy.calls == ["start", "bar 104", "bar 109"]


def test_history_ends_before_now() -> None:
    bars = [
        Candle(
            symbol=SYMBOL, interval="1m", time=OPEN_MS // 1000 + 60 * minute, open=1, high=1, low=1, close=1, volume=1
        )
        for minute in range(-5, 2)
    ]
    strategy = Scripted()
    StrategyHost(ScriptedFeed(bars), [strategy]).take(started(OPEN_MS + 60_000))  # type: ignore[arg-type]
    assert [bar.time for bar in strategy.history][-1] == OPEN_MS // 1000


def test_a_failing_strategy_is_logged_paused_and_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fail(context: StrategyContext, bar: Candle) -> None:
        raise ZeroDivisionError

    bad, good = Scripted(fail, name="bad"), Scripted(name="good")
    desk = Desk(_host(bad, good))
    with caplog.at_level(logging.ERROR):
        desk.play([started(), *minutes([100, 101, 102, 103, 104])])
    assert bad.calls == ["start", "bar 100", "bar 101", "bar 102"]
    assert good.calls[-1] == "bar 104"
    assert caplog.text.count("strategy bad failed") == 3
    paused = [action for action in desk.actions if isinstance(action, StateChanged) and action.state == "paused"]
    assert paused == [StateChanged(strategy="bad", state="paused", reason="it failed 3 times, last: ZeroDivisionError")]
    assert [status.state for status in desk.host.statuses()] == ["paused", "running"]
    desk.play([started()])
    assert desk.host.statuses()[0].state == "running"


def test_a_pause_cancels_entries_and_leaves_exits() -> None:
    def both(context: StrategyContext, bar: Candle) -> None:
        context.place(SYMBOL, Side.BUY, 1, purpose=Purpose.ENTRY, reason="in")
        context.place(SYMBOL, Side.SELL, 1, purpose=Purpose.EXIT, reason="out")

    desk = Desk(_host(Scripted(both)), fill=False)
    desk.play([started(), *minutes([100])])
    actions = desk.host.pause("scripted", "a person said so")
    entry = desk.orders[0][1]
    assert actions == [
        CancelOrder(strategy="scripted", order_id=entry.order_id),
        StateChanged(strategy="scripted", state="paused", reason="a person said so"),
    ]
    assert desk.host.pause("scripted", "again") == []
    desk.play([*ended(), started()])
    assert desk.host.statuses()[0].state == "paused"
    assert desk.host.resume("scripted") == [StateChanged(strategy="scripted", state="running", reason="resumed")]


def test_one_order_a_bar_and_so_many_a_session() -> None:
    def greedy(context: StrategyContext, bar: Candle) -> None:
        for _ in range(3):
            _buy(context, bar)

    limits = OrderLimits(per_bar=1, per_minute=100, per_session=4)
    desk = Desk(_host(Scripted(greedy, limits=limits)))
    desk.play([started(), *minutes([100] * 10)])
    assert len(desk.orders) == 4
    assert desk.host.statuses()[0].orders == 4
    desk.play([*ended(), started(), *minutes([100] * 2)])
    assert len(desk.orders) == 6


def test_a_minute_of_wall_time_has_its_limit_and_exits_are_free_of_it() -> None:
    now = [0.0]
    sides: list[Purpose] = [Purpose.ENTRY] * 4 + [Purpose.EXIT] + [Purpose.ENTRY]

    def script(context: StrategyContext, bar: Candle) -> None:
        context.place(SYMBOL, Side.BUY, 1, purpose=sides.pop(0), reason="script")

    limits = OrderLimits(per_bar=1, per_minute=2, per_session=100)
    desk = Desk(_host(Scripted(script, limits=limits), monotonic=lambda: now[0]))
    desk.play([started(), *minutes([100] * 5)])
    assert [one.request.purpose for _, one in desk.orders] == ["ENTRY", "ENTRY", "EXIT"]
    now[0] = 61.0
    desk.play(minutes([100], OPEN_MS + 300_000))
    assert len(desk.orders) == 4


def test_fills_make_the_own_book() -> None:
    orders = [(Side.BUY, Purpose.ENTRY), (Side.SELL, Purpose.EXIT)]

    def script(context: StrategyContext, bar: Candle) -> None:
        if orders:
            side, purpose = orders.pop(0)
            context.place(SYMBOL, side, 10, purpose=purpose, reason="script")

    strategy = Scripted(script)
    desk = Desk(_host(strategy))
    desk.play([started(), *minutes([100, 130])])
    assert strategy.calls == ["start", "bar 100", "fill", "done FILLED", "bar 130", "fill", "done FILLED"]
    assert desk.host.statuses()[0].pnl_paise == 300
    assert [fill.price_paise for fill in strategy.fills] == [100, 130]


def test_a_rejected_order_frees_the_way() -> None:
    seen: list[bool] = []

    def script(context: StrategyContext, bar: Candle) -> None:
        seen.append(context.working(SYMBOL))
        if not context.working(SYMBOL):
            _buy(context, bar)

    strategy = Scripted(script)
    desk = Desk(_host(strategy), fill=False)
    desk.play([started(), *minutes([100, 100])])
    order = order_of(desk.orders[0][1])
    desk.host.order_changed(order)
    desk.host.order_changed(replace_state(order, OrderState.REJECTED))
    assert strategy.calls[-1] == "done REJECTED"
    desk.play(minutes([100], OPEN_MS + 120_000))
    assert seen == [False, True, False]


def test_a_cancel_is_only_for_own_orders() -> None:
    def script(context: StrategyContext, bar: Candle) -> None:
        context.cancel("somebody else's")
        order_id = context.place(SYMBOL, Side.BUY, 1, purpose=Purpose.ENTRY, reason="in")
        assert order_id is not None
        context.cancel(order_id)

    desk = Desk(_host(Scripted(script)), fill=False)
    desk.play([started(), *minutes([100])])
    placed = desk.orders[0][1]
    assert [one for one in desk.actions if isinstance(one, CancelOrder)] == [
        CancelOrder(strategy="scripted", order_id=placed.order_id)
    ]


def test_an_order_for_another_symbol_is_a_failure_of_the_strategy(caplog: pytest.LogCaptureFixture) -> None:
    def script(context: StrategyContext, bar: Candle) -> None:
        context.place("NSE:XYZ", Side.BUY, 1, purpose=Purpose.ENTRY, reason="wrong")

    desk = Desk(_host(Scripted(script)))
    desk.play([started(), *minutes([100])])
    assert desk.orders == []
    assert "not its to place" in caplog.text


def test_what_a_person_closed_is_not_sold_again() -> None:
    net = {SYMBOL: 5}
    seen: list[int] = []

    def script(context: StrategyContext, bar: Candle) -> None:
        seen.append(context.position(SYMBOL))
        if not seen[1:]:
            context.place(SYMBOL, Side.BUY, 5, purpose=Purpose.ENTRY, reason="in")

    desk = Desk(_host(Scripted(script), account=lambda symbol: net[symbol]))
    desk.play([started(), *minutes([100, 100])])
    net[SYMBOL] = 2
    desk.play(minutes([110], OPEN_MS + 120_000))
    net[SYMBOL] = 0
    desk.play(minutes([120], OPEN_MS + 180_000))
    net[SYMBOL] = 50
    desk.play(minutes([120], OPEN_MS + 240_000))
    assert seen == [0, 5, 2, 0, 0]


def test_a_restart_finds_position_open_order_and_count() -> None:
    desk = Desk(_host(Scripted(_buy)))
    desk.play([started(), *minutes([100])])
    bought = order_of(desk.orders[0][1], OrderState.FILLED, filled=1, average=100)
    open_exit = PlaceOrder(
        strategy="scripted", order_id="open-one", request=desk.orders[0][1].request, reason="still there"
    )
    seen: list[tuple[int, bool]] = []
    again = _host(Scripted(lambda context, bar: seen.append((context.position(SYMBOL), context.working(SYMBOL)))))
    again.restore([bought, order_of(open_exit)])
    again.take(started(OPEN_MS + 120_000, resumed=True))
    assert again.statuses()[0].orders == 2
    for event in minutes([101], OPEN_MS + 120_000):
        again.take(event)
    assert seen == [(1, True)]
    assert again.statuses()[0].pnl_paise == 1


def test_orders_of_unknown_strategies_are_not_ours() -> None:
    host = _host(Scripted())
    action = PlaceOrder(strategy="other", order_id="x", request=order_of_request(), reason="")
    assert host.order_changed(order_of(action, OrderState.FILLED, filled=1), fill_quantity=1, fill_price_paise=1) == []
    host.restore([order_of(action, OrderState.FILLED, filled=1, average=1)])
    assert host.statuses()[0].pnl_paise == 0
    with pytest.raises(KeyError):
        host.pause("other", "")


def order_of_request() -> OrderRequest:
    """A request to buy one."""
    return OrderRequest(symbol=SYMBOL, side=Side.BUY, quantity=1)


def test_the_catalogue_trades_reliance_or_what_there_is_and_never_an_index() -> None:
    instruments = SimulatorTape(load_calendar(), 1).session(0).instruments
    (strategy,) = default_strategies("simulator", instruments)
    assert (strategy.symbols, strategy.bar_seconds) == (("NSE:RELIANCE",), 5)
    others = [one for one in instruments if one.symbol != "NSE:RELIANCE"]
    (strategy,) = default_strategies("replay", others, 60)
    assert (strategy.symbols, strategy.bar_seconds, strategy.limits.per_session) == (("NSE:AXISBANK",), 60, 1_000)
    assert [parameters_for("replay", SYMBOL, speed).bar_seconds for speed in (0.5, 1, 2, 4, 6, 7, 60)] == [
        5,
        5,
        10,
        30,
        30,
        60,
        60,
    ]
    assert default_strategies("replay", [one for one in instruments if not one.tradable]) == []
    usual = parameters_for("broker", SYMBOL)
    assert (usual.bar_seconds, usual.limits.per_session) == (60, 20)
