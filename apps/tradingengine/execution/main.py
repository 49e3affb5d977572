"""The edge process: `run()` starts everything and returns when it was told to stop and has stopped in good order."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from tradingengine.addresses import Address
from tradingengine.brokers.paper import PaperBroker
from tradingengine.brokers.port import BrokerError
from tradingengine.config import Settings, load_settings
from tradingengine.control.server import Listener, serve
from tradingengine.control.server import run as run_loop
from tradingengine.control.state import ControlState
from tradingengine.domain.clock import SystemClock
from tradingengine.errors import ConfigError
from tradingengine.execution.console import Console
from tradingengine.execution.dry_run import DryRunDesk
from tradingengine.execution.engine import Engine
from tradingengine.execution.journal import Draft, Journal, JournalError, StateLock, keep_short
from tradingengine.execution.links import CommandReader, Heart, RedisLink, Shipper
from tradingengine.execution.loops import keep_running
from tradingengine.execution.market import FeedMarket, MarketPump
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.execution.strategies import StrategyRunner
from tradingengine.marketdata.errors import MarketDataError
from tradingengine.marketdata.factory import make_feed
from tradingengine.marketdata.port import FeedEvent
from tradingengine.marketdata.publisher import CandleEvent, PricePublisher, RedisSink
from tradingengine.storage import streams
from tradingengine.storage.sqlite import SqliteFileError
from tradingengine.telemetry.logs import configure_logging
from tradingengine.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_STOP_SECONDS: Final = 4.0
_RETRY_SECONDS: Final = 5.0
T = TypeVar("T")


CLOSED: Final[dict[str, Any]] = {
    "epoch": 0,
    "sequence": 0,
    "idle": True,
    "flat": False,  # the journal may hold a position
    "trading_state": "HALTED",
    "journal": "",
    "recovered": False,
}
"""What an edge says that cannot trade at all: nothing is in flight, so its pod may be replaced by one that can."""


class EdgeProcess:
    """Everything of one edge, in the order in which it starts and stops."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Makes the parts; nothing is opened before `run`."""
        _check(settings)
        engine_config = settings.engine
        self._settings = settings
        self._metrics = metrics
        self._wall = SystemClock()
        self._lock = StateLock(settings.state_dir)
        self._feed = make_feed(engine_config.market_data, settings.data_dir, settings.state_dir)
        self._market = FeedMarket(self._feed)
        self.broker = PaperBroker(settings.state_dir / "paper" / "book.sqlite", self._market)
        self.journal = Journal(
            settings.state_dir / "journal" / "journal.sqlite", wall=self._wall, market=self._feed.clock
        )
        edge_metrics = EdgeMetrics(metrics.registry)
        edge_metrics.updates.set_function(lambda: self.broker.unheard)
        edge_metrics.storage_failed.set_function(lambda: self.storage_problem is not None)
        self.engine = Engine(
            journal=self.journal,
            broker=self.broker,
            market=self._market,
            wall=self._wall,
            metrics=edge_metrics,
            limits=engine_config.risk.limits(),
        )
        self._strategies: StrategyRunner | None = None
        self._clients = _Clients(settings.cache)
        self._shipper = Shipper(self.journal, self._clients.writing("events"), self._wall)
        desk = DryRunDesk(self._market, self._wall, edge_metrics)
        self._reader = CommandReader(self._clients.reading("commands"), self.engine, desk)
        self._heart = Heart(
            engine=self.engine,
            shipper=self._shipper,
            sink=self._clients.writing("heartbeat"),
            wall=self._wall,
            metrics=edge_metrics,
            identity={"release": settings.release, "version": settings.version},
            feed=self._market.document,
            strategies=lambda: [] if self._strategies is None else self._strategies.documents(),
        )
        self._publisher = PricePublisher(
            self._feed,
            RedisSink(self._clients.client("prices")),
            self._journal_candles,
            wall=self._wall,
        )
        self.console = Console(self.engine, self._wall, self._heart.document, closed=self._closed)
        self.opened = False
        self._obstacle = ""

    async def run(self) -> None:
        """Lock, journal, feed, broker, recovery, then trade until cancelled; then stop in good order.

        A disk that is full, or a file that cannot be used, is waited for; only StateLockedError ends it at once.
        """
        await self._persistently(self._lock.acquire)
        try:
            entries = await self._persistently(self.engine.open)
            log.info("journal is open", extra={"entries": entries, "epoch": self.journal.epoch})
            await self._feed.start()
            self.journal.run = self._feed.run
            self._market.reload()
            await self._persistently(self.broker.start)
            release = self._settings.release
            self._strategies = StrategyRunner(engine=self.engine, feed=self._feed, wall=self._wall, release=release)
            self.opened = True
            await self._trade()
        finally:
            await self._close()

    async def _persistently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step of the start as often as it needs. A process that ended instead would only be started again."""
        while True:
            try:
                result = await step()
            except (SqliteFileError, JournalError, BrokerError, OSError) as error:
                self._wait_for(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                if self._obstacle:
                    log.info("the start goes on")
                self._obstacle = ""
                return result

    def _wait_for(self, error: Exception) -> None:
        mend = getattr(error, "mend", None) or "Check the volume: its owner and its free space."
        if not self._obstacle:
            log.critical("the edge waits and trades nothing", extra={"problem": str(error), "mend": mend})
        self._obstacle = f"{error}. {mend}"

    async def _trade(self) -> None:
        pump = MarketPump(
            feed=self._feed,
            market=self._market,
            broker=self.broker,
            router=self.engine.router,
            journal=self.journal,
        )
        pump.listeners.append(self._publish)
        if self._strategies is not None:
            pump.listeners.append(self._strategies.take)
        loops: dict[str, Any] = {
            "market": pump.run,
            "broker": self.engine.follow_broker,
            "unknown-orders": self.engine.recovery.watch,
            "stuck-orders": self.engine.watch_stuck,
            "commands": self._reader.run,
            "events": self._shipper.run,
            "marks": self._shipper.mark,
            "heartbeat": self._heart.run,
            "prices": self._publisher.run,
            "retention": lambda: keep_short(self.journal, self._wall),
        }
        async with asyncio.TaskGroup() as tasks:
            for name, body in loops.items():
                tasks.create_task(keep_running(name, body, self._metrics), name=name)
            await self.engine.recover()

    async def _publish(self, event: FeedEvent) -> None:
        self._publisher.take(event)

    async def _journal_candles(self, events: Sequence[CandleEvent]) -> None:
        await self.journal.record(*(Draft("candles.closed", data) for data in events))

    async def stop_intake(self) -> None:
        """SIGTERM: take no more commands and let no new risk through, wait for what is in flight."""
        self._reader.taking = False
        self.engine.drain()
        if not await self.engine.settle(_STOP_SECONDS):
            log.warning("stopping with orders in flight; they are looked up at the next start")

    async def _close(self) -> None:
        await self._feed.aclose()
        await self.broker.close()
        await self.journal.close()
        await self._clients.close()
        self._lock.release()
        log.info("journal is closed", extra={"sequence": self.journal.sequence})

    @property
    def storage_problem(self) -> str | None:
        """What is wrong with the edge's files, and the mend; None when nothing is."""
        if self._obstacle:
            return self._obstacle
        if self.engine.inputs.journal_failed:
            return "the journal cannot be written. Free or replace the disk, then restart the pod."
        if self.opened and self.broker.state != "connected":
            return "the paper book cannot be written. Free or replace the disk, then restart the pod."
        return None

    def document(self) -> dict[str, Any] | None:
        """The edge object of `GET /control/v1/state`; None while nobody can say."""
        if self.opened:
            return self.engine.document()
        return CLOSED if self._obstacle else None

    def _closed(self) -> str | None:
        """Why the console can carry out nothing; None when it can."""
        return None if self.opened else self.unready()

    def unready(self) -> str | None:
        """Why this pod is not ready; None when it is."""
        if (problem := self.storage_problem) is not None:
            return problem
        if not self.engine.inputs.recovered:
            return "orders are being checked with the broker" if self.opened else "the journal is being opened"
        return None


class _Clients:
    """One Redis client for each purpose: a slow one never holds up another."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._clients: list[streams.Client] = []

    def client(self, purpose: str) -> streams.Client:
        made = streams.command_client(self._address, name=f"edge-{purpose}")
        self._clients.append(made)
        return made

    def writing(self, purpose: str) -> RedisLink:
        return RedisLink(self.client(purpose))

    def reading(self, purpose: str) -> RedisLink:
        made = streams.blocking_client(self._address, block_seconds=1.0, name=f"edge-{purpose}")
        self._clients.append(made)
        return RedisLink(made)

    async def close(self) -> None:
        for client in self._clients:
            with contextlib.suppress(*streams.CACHE_ERRORS):
                await client.aclose()


def _check(settings: Settings) -> None:
    """What this version cannot do is refused before anything is opened."""
    config = settings.engine
    names = [broker.name for broker in config.brokers]
    if config.mode != "paper":
        raise ConfigError(f"mode {config.mode} is not available in this version", mend="Use mode: paper.")
    if names != ["paper"]:
        raise ConfigError(f"brokers {names} are not available in this version", mend="Use brokers: [{name: paper}].")


async def main(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Serve control port and console, and trade, until SIGTERM or `stop`; without prices live, and trade nothing."""
    metrics = Metrics(component="edge", release=settings.release, slot=settings.slot)
    state = ControlState(settings, metrics)
    try:
        edge = EdgeProcess(settings, metrics)
    except MarketDataError as error:
        await _without_prices(state, error, stop)
        return
    state.readiness["edge"] = edge.unready
    state.edge = edge.document
    state.on_drain.append(edge.engine.drain)
    state.on_resume.append(edge.engine.resume)
    state.on_stop.append(edge.stop_intake)
    console = Listener("console", edge.console.app, "127.0.0.1", settings.console_port)

    def trade() -> Coroutine[Any, Any, None]:
        return edge.run()

    await serve(state, [console], background=[trade], stop=stop)


async def _without_prices(state: ControlState, error: MarketDataError, stop: asyncio.Event | None) -> None:
    """Stay, and say why: a process that ended would read the whole folder again with every restart."""
    log.critical("the edge has no prices and trades nothing", extra={"problem": error.detail, "mend": error.mend})
    why = f"{error.detail} {error.mend or ''} Then restart the pod."
    state.readiness["edge"] = lambda: why
    state.edge = lambda: CLOSED
    await serve(state, stop=stop)


def run() -> None:
    """Entry of `te edge`."""
    settings = load_settings("edge")
    configure_logging(
        component="edge", level=settings.log_level, release=settings.release, slot=settings.slot, pod=settings.pod
    )
    # The journal's thread must get its turn at once when the disk has answered, not after Python's usual 5 ms.
    sys.setswitchinterval(0.001)
    run_loop(lambda: main(settings))
