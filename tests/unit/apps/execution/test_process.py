"""The whole process without its ports: start, trade, stop, refuse; with a Redis that never answers."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import httpx
import jsonschema
import pytest
from tradingengine.addresses import Address
from tradingengine.config import Broker, EngineConfig, MarketData, Settings
from tradingengine.domain.calendar import contract_folder
from tradingengine.domain.clock import epoch_ms
from tradingengine.errors import ConfigError, UnavailableError
from tradingengine.execution import main
from tradingengine.execution.export import export
from tradingengine.execution.journal import StateLock, StateLockedError
from tradingengine.storage.sqlite import LEAST_FREE_BYTES, SqliteFailedError
from tradingengine.telemetry.metrics import Metrics

from tests.unit.apps.execution.kit import Edge, FakeMarket, order, until
from tests.unit.apps.execution.test_flow import state_of
from tests.unit.apps.execution.test_market import FakeFeed, started

pytestmark = pytest.mark.unit


def settings(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "component": "edge",
        "slot": "",
        "release": "7",
        "version": "test",
        "pod": "edge",
        "engine": EngineConfig(),
        "database": Address("TE_DATABASE_URL", ""),
        "cache": Address("TE_CACHE_URL", "redis://127.0.0.1:1/0"),
        "control_token": "a-token-for-tests",
        "state_dir": folder / "state",
        "data_dir": None,
        "http_host": "127.0.0.1",
        "http_port": 0,
        "control_port": 0,
        "console_port": 0,
        "log_level": "INFO",
    }
    return Settings(**{**values, **changes})


class WaitingFeed(FakeFeed):
    """Starts its run and then stays quiet."""

    async def events(self) -> Any:
        yield started()
        await asyncio.Event().wait()


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> FakeFeed:
    made = WaitingFeed(FakeMarket())
    monkeypatch.setattr(main, "make_feed", lambda config, data_dir, state_dir: made)
    return made


def process(folder: Path, **changes: Any) -> main.EdgeProcess:
    return main.EdgeProcess(settings(folder, **changes), Metrics(component="edge"))


async def test_it_starts_trades_and_stops_without_a_cloud(tmp_path: Path, feed: FakeFeed) -> None:
    edge = process(tmp_path)
    assert edge.unready() == "the journal is being opened"
    running = asyncio.create_task(edge.run())
    await until(lambda: edge.unready() is None)
    assert edge.opened
    made = order(expires_at=None)
    await edge.engine.submit(made)
    assert str(edge.engine.book.orders[made.id].state) == "FILLED"
    await edge._journal_candles([{"symbol": "NSE:ABC", "interval": "1m", "candles": [[0, 1, 1, 1, 1, 1]]}])
    await edge.stop_intake()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    again = process(tmp_path)
    running = asyncio.create_task(again.run())
    await until(lambda: again.unready() is None)
    assert str(again.engine.book.orders[made.id].state) == "FILLED"
    again.engine.inputs.journal_failed = True
    assert "the journal cannot be written" in str(again.unready())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_stages_of_an_order_are_timed(tmp_path: Path, feed: FakeFeed) -> None:
    metrics = Metrics(component="edge")
    edge = main.EdgeProcess(settings(tmp_path), metrics)
    running = asyncio.create_task(edge.run())
    await until(lambda: edge.unready() is None)
    made = order(expires_at=None)
    began = time.perf_counter()
    await edge.engine.submit(made)
    spent = time.perf_counter() - began

    def stage(name: str, series: str) -> float | None:
        labels = {"release": made.release, "slot": made.slot, "stage": name}
        return metrics.registry.get_sample_value(f"tradingengine_edge_order_seconds_{series}", labels)

    stages = ("gate", "journal", "broker")
    assert [stage(name, "count") for name in stages] == [1, 1, 1]
    seconds = [stage(name, "sum") or 0.0 for name in stages]
    assert 0 < seconds[0] < seconds[1] < seconds[2] <= spent  # each from the arrival of the order
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_heartbeat_is_complete(tmp_path: Path, feed: FakeFeed) -> None:
    edge = process(tmp_path)
    running = asyncio.create_task(edge.run())
    await until(lambda: edge.unready() is None)
    beat = edge._heart.document()
    assert set(beat) >= {"v", "journal", "epoch", "release", "version", "at", "trading_state", "flat", "idle"}
    assert [strategy["name"] for strategy in beat["strategies"]] == ["ema-cross"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_second_executor_is_refused(tmp_path: Path, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = StateLock(tmp_path / "state")
    await lock.acquire()
    edge = process(tmp_path)
    acquire = edge._lock.acquire
    monkeypatch.setattr(edge._lock, "acquire", lambda: acquire(timeout=0))
    with pytest.raises(StateLockedError, match="in use"):
        await edge.run()
    lock.release()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EngineConfig(mode="live"), "mode live"),
        (EngineConfig(brokers=(Broker(name="flattrade"),)), "flattrade"),
        (EngineConfig(brokers=(Broker(name="paper"), Broker(name="paper"))), "paper"),
    ],
)
def test_what_this_version_cannot_do_is_refused_before_anything_is_opened(
    tmp_path: Path, feed: FakeFeed, config: EngineConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        process(tmp_path, engine=config)
    assert not (tmp_path / "state").exists()


async def test_an_edge_that_stops_with_orders_in_flight_says_so(
    tmp_path: Path, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_STOP_SECONDS", 0.01)
    edge = process(tmp_path)
    running = asyncio.create_task(edge.run())
    await until(lambda: edge.unready() is None)

    called = asyncio.Event()

    async def never(*_: Any) -> Any:
        called.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(edge.broker, "place", never)
    made = order(expires_at=None)
    assert edge.engine.start(made) is not None
    await called.wait()
    await edge.stop_intake()
    assert not edge.engine.idle
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    after = await Edge(tmp_path / "state").start()
    assert state_of(after, made) == ("REJECTED", 0, "not_at_broker")
    await after.stop()


class Disk:
    """How much room the disk of each folder has; `looks` counts who asked."""

    def __init__(self) -> None:
        self.free = {"journal": LEAST_FREE_BYTES, "paper": LEAST_FREE_BYTES}
        self.looks = 0

    def usage(self, folder: Path) -> Any:
        self.looks += 1
        return SimpleNamespace(free=self.free[folder.name])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr("tradingengine.storage.sqlite.shutil.disk_usage", made.usage)
    monkeypatch.setattr(main, "_RETRY_SECONDS", 0.01)
    return made


@pytest.mark.parametrize("folder", ["journal", "paper"])
async def test_a_full_disk_at_the_start_is_waited_for(
    tmp_path: Path, feed: FakeFeed, disk: Disk, caplog: pytest.LogCaptureFixture, folder: str
) -> None:
    disk.free[folder] = 2**20
    metrics = Metrics(component="edge")
    edge = main.EdgeProcess(settings(tmp_path), metrics)
    running = asyncio.create_task(edge.run())
    await until(lambda: disk.looks > 5)
    assert not running.done()
    assert "its disk has 1 MiB left, 16 are needed. Check the volume" in str(edge.unready())
    assert metrics.registry.get_sample_value("tradingengine_edge_storage_failed") == 1
    assert [record.message for record in caplog.records].count("the edge waits and trades nothing") == 1
    document = edge.document()
    assert document is not None
    assert (document["idle"], document["flat"], document["recovered"]) == (True, False, False)
    transport = httpx.ASGITransport(app=edge.console.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        refused = await http.post("/v1/halt", headers={"x-te-console": "1"})
    assert (refused.status_code, refused.json()["detail"]) == (503, edge.unready())
    disk.free[folder] = LEAST_FREE_BYTES
    await until(lambda: edge.unready() is None)
    assert metrics.registry.get_sample_value("tradingengine_edge_storage_failed") == 0
    made = order(expires_at=None)
    await edge.engine.submit(made)
    assert str(edge.engine.book.orders[made.id].state) == "FILLED"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_disk_that_fills_up_in_the_first_step_of_the_paper_book_is_waited_for(
    tmp_path: Path, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_RETRY_SECONDS", 0.01)
    edge = process(tmp_path)
    resting = order(price_paise=9900, expires_at=None)
    running = asyncio.create_task(edge.run())
    await until(lambda: edge.unready() is None)
    await edge.engine.submit(resting)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    feed.market.at += timedelta(days=1)  # the order is of another day now, which is written down at the start
    feed.clock.set(epoch_ms(feed.market.at))
    again = process(tmp_path)
    file, full, tries = again.broker._book._file, [True], []

    def prepare(connection: apsw.Connection) -> None:
        tries.append(1)
        if full:
            connection.pragma("query_only", True)

    monkeypatch.setattr(file, "_setup", prepare)
    running = asyncio.create_task(again.run())
    await until(lambda: len(tries) > 3)
    assert "cannot be written" in str(again.unready())
    full.clear()
    await until(lambda: again.unready() is None)
    assert str(again.engine.book.orders[resting.id].state) == "EXPIRED"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_journal_that_fails_while_it_is_read_is_read_again_from_the_start(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    first, second = order(), order()
    await edge.engine.submit(first)
    await edge.engine.submit(second)
    await edge.stop()
    again = Edge(tmp_path)
    replay, broken = again.journal.replay, [True]

    async def breaks(visit: Any) -> int:
        await replay(visit)
        if broken:
            broken.clear()
            await again.journal._file.run(bad_block)
        return 0

    def bad_block(connection: apsw.Connection) -> None:
        raise apsw.IOError("a bad block")

    again.journal.replay = breaks  # type: ignore[method-assign,assignment]
    with pytest.raises(SqliteFailedError):
        await again.engine.open()
    assert not again.engine.book.orders
    await again.engine.open()
    (position,) = again.engine.book.positions.values()
    assert position.quantity == 20
    assert not again.engine.inputs.journal_failed, "the journal works now: new risk is not refused for its sake"
    await again.stop()


async def test_a_data_folder_that_is_refused_is_said_and_ends_nothing(
    tmp_path: Path, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    engine = EngineConfig(market_data=MarketData(source="replay"))
    made = settings(tmp_path, engine=engine, data_dir=tmp_path / "data", control_port=unused_tcp_port)
    stop = asyncio.Event()
    running = asyncio.create_task(main.main(made, stop))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as http:
        async with asyncio.timeout(20):
            while (reasons := await unready(http)) in (None, {"process": "starting"}):
                assert not running.done(), running
                await asyncio.sleep(0.01)
        assert "no recorded prices" in str(reasons)
        assert "te data check" in str(reasons)
        assert (await http.get("/healthz")).status_code == 200
        state = (await http.get("/control/v1/state", headers={"authorization": "Bearer a-token-for-tests"})).json()
    jsonschema.validate(state["edge"], contract("EdgeState"), cls=jsonschema.Draft202012Validator)
    assert (state["edge"]["idle"], state["edge"]["flat"]) == (True, False)
    assert [record.levelname for record in caplog.records].count("CRITICAL") == 1
    stop.set()
    await running
    assert not (tmp_path / "state").exists()


async def unready(http: httpx.AsyncClient) -> dict[str, str] | None:
    """Why the pod is not ready; None while its port does not answer."""
    try:
        reasons: dict[str, str] = (await http.get("/readyz")).json()["reasons"]
    except httpx.TransportError:
        return None
    return reasons


def contract(name: str) -> dict[str, Any]:
    """The schema of a part of the control API."""
    document = json.loads((contract_folder() / "control-v1.schema.json").read_text())
    return {"$ref": f"#/$defs/{name}", "$defs": document["$defs"]}


def test_export_says_when_there_is_no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TE_CONSOLE_PORT", "1")
    with pytest.raises(UnavailableError, match="no edge answers on port 1"):
        export()
