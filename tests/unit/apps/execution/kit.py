"""A small edge: settable clocks, a settable market, the real journal and the real paper broker on temporary files."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from tradingengine.brokers.paper import PaperBroker
from tradingengine.brokers.port import Broker
from tradingengine.domain.clock import rfc3339
from tradingengine.domain.ids import new_id
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.domain.orders import Order, OrderType, Side
from tradingengine.domain.quotes import Quote
from tradingengine.domain.risk import Limits
from tradingengine.execution.commands import Command, CommandKind, Origin
from tradingengine.execution.engine import Engine
from tradingengine.execution.journal import Journal
from tradingengine.execution.metrics import EdgeMetrics

from tests.waiting import until as until

NOW = datetime(2026, 1, 5, 5, 0, tzinfo=UTC)
SHARE = "NSE:ABC"
LIMITS = Limits(order_paise=50_000_000, position_paise=150_000_000, daily_loss_paise=2_500_000, orders_per_second=100)


class FakeWall:
    """Wall time that stands still until it is moved; with `running` its durations go on by themselves too."""

    def __init__(self) -> None:
        self.at = NOW
        self.seconds = 1000.0
        self.running = False

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds + (time.monotonic() if self.running else 0)

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


class FakeMarket:
    """A market with one share and one index, open, at 100.00 / 100.05."""

    def __init__(self) -> None:
        self.instruments = {
            SHARE: Instrument(
                symbol=SHARE,
                exchange="NSE",
                segment=Segment.NSE_EQ,
                name="ABC",
                kind=InstrumentKind.EQUITY,
                freeze_quantity=1000,
            ),
        }
        self.quotes = {SHARE: quote()}
        self.opened = True
        self.fresh = True
        self.at = NOW
        self.run = ""

    def instrument(self, symbol: str) -> Instrument | None:
        return self.instruments.get(symbol)

    def quote(self, symbol: str) -> Quote | None:
        return self.quotes.get(symbol) if self.fresh else None

    def is_open(self, symbol: str) -> bool:
        return self.opened

    def is_fresh(self) -> bool:
        return self.fresh

    def now(self) -> datetime:
        return self.at


def quote(**changes: Any) -> Quote:
    values: dict[str, Any] = {
        "symbol": SHARE,
        "last": 10000,
        "previous_close": 10000,
        "open": 10000,
        "high": 10000,
        "low": 10000,
        "volume": 1,
        "bid": 10000,
        "ask": 10005,
        "bid_quantity": 100,
        "ask_quantity": 100,
        "at_ms": 0,
    }
    return Quote(**{**values, **changes})


def order(**changes: Any) -> Order:
    """A BUY of 10 at the market unless changed; a `price_paise` makes it a LIMIT."""
    kind = OrderType.LIMIT if changes.get("price_paise") is not None else OrderType.MARKET
    values: dict[str, Any] = {
        "id": new_id(),
        "symbol": SHARE,
        "side": Side.BUY,
        "quantity": 10,
        "type": kind,
        "created_at": NOW,
        "updated_at": NOW,
        "expires_at": NOW + timedelta(seconds=30),
    }
    return Order(**{**values, **changes})


def body(
    kind: CommandKind,
    *,
    command_id: str = "",
    order: dict[str, Any] | None = None,
    target: str | None = None,
    seconds: float = 30,
) -> str:
    """The JSON of a command that expires `seconds` after NOW."""
    command = Command(
        id=command_id or new_id(),
        kind=kind,
        origin=Origin("7", "a", "asha"),
        created_at=NOW,
        expires_at=NOW + timedelta(seconds=seconds),
        order=order,
        target=target,
    )
    return msgspec.json.encode(command).decode()


def wire(**changes: Any) -> dict[str, Any]:
    """The `order` part of a command: a BUY of 10 at the market unless changed."""
    values = {"symbol": SHARE, "side": "BUY", "quantity": 10, "type": "MARKET", "product": "MIS", "validity": "DAY"}
    return {**values, **changes}


class Edge:
    """Journal, paper broker and engine on one folder; `broker` replaces the paper broker."""

    def __init__(self, folder: Path, *, broker: Broker | None = None, limits: Limits = LIMITS) -> None:
        self.wall = FakeWall()
        self.market = FakeMarket()
        self.journal = Journal(folder / "journal" / "journal.sqlite", wall=self.wall, market=self.market)
        self.paper = PaperBroker(folder / "paper" / "book.sqlite", self.market, latency=0)
        self.registry = CollectorRegistry()
        self.engine = Engine(
            journal=self.journal,
            broker=broker or self.paper,
            market=self.market,
            wall=self.wall,
            metrics=EdgeMetrics(self.registry),
            limits=limits,
        )

    async def start(self, *, recover: bool = True) -> "Edge":
        await self.engine.open()
        await self.engine.broker.start()
        if recover:
            await self.engine.recover()
        return self

    async def stop(self) -> None:
        await self.engine.broker.close()
        await self.journal.close()

    def crash(self) -> None:
        """What a killed process leaves: the files as they are."""
        self.journal.abandon()
        self.paper.abandon()

    async def types(self, after: int = 0) -> list[str]:
        """The journal's entry types."""
        return [entry.type for entry in await self.journal.read(after, 10_000)]

    async def price(self, **changes: Any) -> None:
        """A new quote reaches the market and the broker."""
        made = quote(**changes)
        self.market.quotes[made.symbol] = made
        await self.paper.on_quotes([made])

    async def heard(self) -> None:
        """Journal what the paper broker has to report so far."""
        for row in self.paper.take_updates():
            await self.engine.router.on_row(row)

    def value(self, name: str, **labels: str) -> float:
        """A metric's value, 0 when it has no such sample."""
        return self.registry.get_sample_value(name, labels) or 0.0


def at_text(seconds: float = 0) -> str:
    return rfc3339(NOW + timedelta(seconds=seconds))
