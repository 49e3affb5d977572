"""The one reader of the feed, strategies on the edge, the console, and the loops' edge."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

import httpx
import pytest
from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import epoch_ms
from tradingengine.domain.ids import broker_tag, new_id
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.orders import Order, OrderRequest, OrderState, OrderType, Purpose, Side, Source
from tradingengine.domain.quotes import Quote
from tradingengine.execution.console import Console
from tradingengine.execution.loops import Backoff, keep_running
from tradingengine.execution.market import FeedMarket, MarketPump
from tradingengine.execution.strategies import StrategyRunner
from tradingengine.marketdata.port import (
    FeedEvent,
    Prices,
    RunEnded,
    RunStarted,
    SessionChanged,
    SessionState,
    SettableClock,
)
from tradingengine.marketdata.port import (
    Source as FeedSource,
)
from tradingengine.strategies.host import Action, CancelOrder, PlaceOrder, StateChanged
from tradingengine.telemetry.metrics import Metrics

from tests.unit.apps.execution.kit import NOW, SHARE, Edge, FakeMarket, order, quote, until
from tests.unit.apps.execution.test_flow import fail_journal, state_of

pytestmark = pytest.mark.unit

AT_MS = epoch_ms(NOW)


class FakeFeed:
    """A feed whose events are given by the test."""

    source: FeedSource = "simulator"
    detail = "made by a test"
    speed = 1.0

    def __init__(self, market: FakeMarket) -> None:
        self.market = market
        self.clock = SettableClock(AT_MS)
        self.run = "run-1"
        self.subscribed: set[str] = set()
        self.script: list[FeedEvent] = []
        self.age = 5

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to stop."""

    def instruments(self) -> Sequence[Instrument]:
        return list(self.market.instruments.values())

    def subscribe(self, symbols: Collection[str]) -> None:
        self.subscribed |= set(symbols)

    def unsubscribe(self, symbols: Collection[str]) -> None:
        self.subscribed -= set(symbols)

    async def events(self) -> AsyncIterator[FeedEvent]:
        for event in self.script:
            if isinstance(event, Prices):
                self.market.quotes |= {one.symbol: one for one in event.quotes}
            yield event

    def quote(self, symbol: str) -> Quote | None:
        return self.market.quotes.get(symbol)

    def age_ms(self) -> int:
        return self.age

    def sessions(self) -> Mapping[str, SessionState]:
        state = "open" if self.market.opened else "closed"
        return {"NSE_EQ": SessionState(state=state, until_ms=AT_MS + 1000)}  # type: ignore[arg-type]

    def forming(self, symbols: Iterable[str] | None = None) -> list[Candle]:
        return []

    def history(self, symbol: str, interval: str, count: int) -> list[Candle]:
        return []


def started(*, resumed: bool = False) -> RunStarted:
    return RunStarted(run="run-1", at_ms=AT_MS, open_ms=AT_MS, close_ms=AT_MS + 3_600_000, resumed=resumed)


def pump(edge: Edge) -> tuple[FakeFeed, MarketPump]:
    feed = FakeFeed(edge.market)
    market = FeedMarket(feed)
    made = MarketPump(feed=feed, market=market, broker=edge.paper, router=edge.engine.router, journal=edge.journal)
    return feed, made


async def test_a_run_is_announced_with_its_instruments(edge: Edge) -> None:
    feed, made = pump(edge)
    heard: list[FeedEvent] = []

    async def listen(event: FeedEvent) -> None:
        heard.append(event)

    made.listeners.append(listen)
    feed.script = [started()]
    await made.run()
    entries = await edge.journal.read(1)
    assert [(entry.type, entry.run) for entry in entries] == [
        ("run.started", "run-1"),
        ("instruments.snapshot", "run-1"),
    ]
    assert entries[0].data == {"run": "run-1", "source": "simulator", "resumed": False, "detail": "made by a test"}
    assert entries[1].data["instruments"][0]["symbol"] == SHARE
    assert entries[1].data["instruments"][0]["tick_paise"] == 5
    assert feed.subscribed == {SHARE}
    assert heard == feed.script


async def test_prices_fill_what_rests_and_the_day_s_end_expires_the_rest(edge: Edge) -> None:
    feed, made = pump(edge)
    first, second = order(price_paise=9990), order(price_paise=9900)
    await edge.engine.submit(first)
    await edge.engine.submit(second)
    feed.script = [
        Prices(at_ms=AT_MS, quotes=(quote(ask=9985, bid=9980),)),
        Prices(at_ms=AT_MS, quotes=()),
        SessionChanged(at_ms=AT_MS, state="open"),
        SessionChanged(at_ms=AT_MS, state="closed"),
        RunEnded(run="run-1", at_ms=AT_MS),
    ]
    await made.run()
    await edge.heard()
    assert state_of(edge, first) == ("FILLED", 10, "")
    assert state_of(edge, second) == ("EXPIRED", 0, "run_ended")
    types = await edge.types()
    assert types.index("order.expired") < types.index("run.ended")


async def test_without_a_disk_the_market_goes_on_for_whoever_listens(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    feed, made = pump(edge)
    heard: list[FeedEvent] = []

    async def listen(event: FeedEvent) -> None:
        heard.append(event)

    made.listeners.append(listen)
    resting = order(price_paise=9990)
    await edge.engine.submit(resting)
    await fail_journal(edge)
    await edge.paper._book._file.run(lambda connection: connection.pragma("query_only", True))
    crossing = Prices(at_ms=AT_MS, quotes=(quote(ask=9985, bid=9980),))
    closed = SessionChanged(at_ms=AT_MS, state="closed")
    feed.script = [started(), crossing, crossing, closed, RunEnded(run="run-1", at_ms=AT_MS)]
    await made.run()
    assert heard == feed.script
    assert state_of(edge, resting) == ("OPEN", 0, "")
    said = [record.message for record in caplog.records if "goes on without" in record.message]
    assert said == ["the market goes on without the journal", "the market goes on without the paper book"]


async def test_the_end_of_a_run_is_journalled_though_the_paper_book_has_failed(edge: Edge) -> None:
    feed, made = pump(edge)
    await edge.engine.submit(order(price_paise=9990))
    await edge.paper._book._file.run(lambda connection: connection.pragma("query_only", True))
    feed.script = [RunEnded(run="run-1", at_ms=AT_MS)]
    await made.run()
    assert (await edge.types())[-1] == "run.ended"
    refused = order()
    await edge.engine.submit(refused)
    assert state_of(edge, refused) == ("REJECTED", 0, "broker_unreachable")


def test_the_market_as_gate_and_broker_see_it() -> None:
    source = FakeMarket()
    feed = FakeFeed(source)
    market = FeedMarket(feed)
    assert market.instrument(SHARE) is None
    assert not market.is_open(SHARE)
    market.reload()
    assert market.instrument(SHARE) is source.instruments[SHARE]
    assert market.is_open(SHARE)
    assert (market.quote(SHARE), market.last(SHARE)) == (source.quotes[SHARE], 10000)
    assert market.last("NSE:NOSUCH") is None
    feed.age = 3_000
    assert market.is_fresh()
    feed.age = 3_001
    assert not market.is_fresh()
    assert (market.quote(SHARE), market.last(SHARE)) == (None, 10000)
    source.opened = False
    assert not market.is_open(SHARE)
    assert market.document() == {
        "source": "simulator",
        "age_ms": 3_001,
        "market_time": "2026-01-05T05:00:00.000000Z",
        "speed": 1.0,
        "run": "run-1",
        "sessions": {"NSE_EQ": {"state": "closed", "until": "2026-01-05T05:00:01.000000Z"}},
    }


def runner(edge: Edge) -> StrategyRunner:
    return StrategyRunner(engine=edge.engine, feed=FakeFeed(edge.market), wall=edge.wall, release="7")


async def test_what_a_strategy_asks_for_takes_the_way_of_every_order(edge: Edge) -> None:
    made = runner(edge)
    await made.take(started())
    request = OrderRequest(symbol=SHARE, side=Side.BUY, quantity=10, type=OrderType.MARKET)
    order_id, resting = new_id(), order(price_paise=9990, source=Source.STRATEGY, strategy="ema-cross")
    await edge.engine.submit(resting)
    made._carry_out(
        [
            PlaceOrder(strategy="ema-cross", order_id=order_id, request=request, reason="a test"),
            CancelOrder(strategy="ema-cross", order_id=resting.id),
            StateChanged(strategy="ema-cross", state="paused", reason="a test"),
        ]
    )
    assert await edge.engine.settle(5)
    placed = edge.engine.book.orders[order_id]
    assert (placed.state, placed.source, placed.strategy, placed.release) == (
        OrderState.FILLED,
        Source.STRATEGY,
        "ema-cross",
        "7",
    )
    assert placed.expires_at is not None
    assert (placed.expires_at - placed.created_at).total_seconds() == 5
    assert state_of(edge, resting)[0] == "CANCELLED"
    types = await edge.types()
    assert types.count("strategy.state") == 2, "running at the start, paused by the test"
    (document,) = made.documents()
    assert document["name"] == "ema-cross"
    assert made._net(SHARE) == 10


async def test_people_s_orders_do_not_reach_strategies_and_theirs_do(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runner(edge)
    told: list[tuple[str, int, int]] = []

    def changed(order: Order, *, fill_quantity: int = 0, fill_price_paise: int = 0) -> list[Action]:
        told.append((str(order.state), fill_quantity, fill_price_paise))
        return []

    monkeypatch.setattr(made.host, "order_changed", changed)
    await edge.engine.submit(order())
    assert told == []
    await edge.engine.submit(order(source=Source.STRATEGY, strategy="ema-cross"))
    assert told == [("INTENT", 0, 0), ("SENT", 0, 0), ("OPEN", 0, 0), ("FILLED", 10, 10005)]


async def test_a_shut_gate_holds_strategies_back_and_lets_them_reduce(edge: Edge) -> None:
    made = runner(edge)
    await made.take(started())
    await edge.engine.submit(order(source=Source.STRATEGY, strategy="ema-cross"))
    await edge.engine.halts.halt(new_id(), by="asha", why="")
    before = edge.journal.sequence
    entry = OrderRequest(symbol=SHARE, side=Side.BUY, quantity=10, type=OrderType.MARKET)
    leave = OrderRequest(symbol=SHARE, side=Side.SELL, quantity=10, type=OrderType.MARKET, purpose=Purpose.EXIT)
    made._carry_out([PlaceOrder(strategy="ema-cross", order_id=new_id(), request=entry, reason="a test")])
    assert await edge.engine.settle(5)
    assert edge.journal.sequence == before
    made._carry_out([PlaceOrder(strategy="ema-cross", order_id=new_id(), request=leave, reason="a test")])
    assert await edge.engine.settle(5)
    assert edge.engine.book.flat


# The console.


def client(edge: Edge) -> httpx.AsyncClient:
    console = Console(edge.engine, edge.wall, lambda: {"sequence": edge.journal.sequence})
    transport = httpx.ASGITransport(app=console.app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090", headers={"x-te-console": "1"})


async def test_the_console_shows_orders_positions_and_state(edge: Edge) -> None:
    made = order()
    await edge.engine.submit(made)
    async with client(edge) as http:
        page = await http.get("/")
        assert "HALT" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await http.get("/v1/state")).json() == {"sequence": edge.journal.sequence}
        (shown,) = (await http.get("/v1/orders?limit=5")).json()["items"]
        assert (shown["id"], shown["state"], len(shown["timeline"])) == (made.id, "FILLED", 4)
        assert len((await http.get("/v1/orders?limit=many")).json()["items"]) == 1
        (position,) = (await http.get("/v1/positions")).json()["items"]
        assert (position["symbol"], position["quantity"], position["average_price"]) == (SHARE, 10, "100.05")


async def test_the_console_cancels_exits_halts_and_releases(edge: Edge) -> None:
    resting = order(price_paise=9990)
    await edge.engine.submit(order())
    await edge.engine.submit(resting)
    async with client(edge) as http:
        cancelled = (await http.delete(f"/v1/orders/{resting.id}")).json()
        assert cancelled["order"]["state"] == "CANCELLED"
        exited = (await http.post("/v1/positions/exit", content=json.dumps({"symbol": SHARE}))).json()
        assert (exited["order"]["state"], exited["order"]["side"]) == ("FILLED", "SELL")
        assert edge.engine.book.flat
        again = await http.post("/v1/positions/exit", content=json.dumps({"symbol": SHARE}))
        assert (again.status_code, again.json()["type"]) == (422, "/problems/invalid")
        assert (await http.post("/v1/positions/exit", content="{")).status_code == 422
        await http.post("/v1/halt")
        assert edge.engine.document()["trading_state"] == "HALTED"
        assert edge.engine.book.halt is not None
        assert edge.engine.book.halt.by == "edge console"
        await http.delete("/v1/halt")
        assert edge.engine.document()["trading_state"] == "ACTIVE"


@pytest.mark.parametrize("order_id", ["%00", "x", "01A1FF06-6632-7317-9BEE-250BA12E2986", "1' or '1"])
async def test_the_console_journals_nothing_about_an_id_that_is_none(edge: Edge, order_id: str) -> None:
    before = edge.journal.sequence
    async with client(edge) as http:
        answer = await http.delete(f"/v1/orders/{order_id}")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    assert edge.journal.sequence == before


async def test_the_console_exits_a_short_position_by_buying(edge: Edge) -> None:
    await edge.engine.submit(order(side=Side.SELL))
    async with client(edge) as http:
        body = json.dumps({"symbol": SHARE, "quantity": 4})
        exited = (await http.post("/v1/positions/exit", content=body)).json()["order"]
    assert (exited["side"], exited["quantity"], exited["purpose"]) == ("BUY", 4, str(Purpose.EXIT))


@pytest.mark.parametrize(
    ("headers", "url", "status"),
    [({"x-te-console": ""}, "http://127.0.0.1:8090", 403), ({"x-te-console": "1"}, "http://evil.example:8090", 400)],
)
async def test_the_console_refuses_what_a_foreign_page_could_send(
    edge: Edge, headers: dict[str, str], url: str, status: int
) -> None:
    async with client(edge) as http:
        answer = await http.post(f"{url}/v1/halt", headers=headers)
    assert answer.status_code == status
    assert edge.engine.document()["trading_state"] == "ACTIVE"


async def test_the_console_exports_what_the_planes_are_compared_by(edge: Edge) -> None:
    made = order()
    await edge.engine.submit(made)
    async with client(edge) as http:
        (line,) = (await http.get("/v1/orders/export")).text.splitlines()
    assert json.loads(line) == {
        "id": made.id,
        "state": "FILLED",
        "filled_quantity": 10,
        "tag": broker_tag(made.id),
    }


# Loops.


async def test_a_loop_that_fails_is_counted_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.loops.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("tradingengine.execution.loops.LONGEST_PAUSE", 0.002)
    metrics = Metrics(component="edge")
    runs = 0

    async def body() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise RuntimeError("again")

    task = asyncio.create_task(keep_running("test", body, metrics))
    await until(lambda: runs > 4)
    task.cancel()
    assert metrics.registry.get_sample_value("tradingengine_loop_errors_total", {"loop": "test"}) == 3


async def test_pauses_grow_to_a_bound_and_shrink_after_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("tradingengine.execution.loops.asyncio.sleep", wait)
    backoff = Backoff()
    for _ in range(7):
        await backoff.wait()
    backoff.succeeded()
    await backoff.wait()
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.1]
