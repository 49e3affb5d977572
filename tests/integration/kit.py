"""A journal such as the edge ships, orders to put into it, and bounded waiting."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from tradingengine.domain.clock import rfc3339
from tradingengine.domain.ids import new_id
from tradingengine.domain.orders import Delivery, Order, Side
from tradingengine.execution.links import RedisLink
from tradingengine.storage import streams
from tradingengine.storage.events import EdgeEvent, decode_event
from tradingengine.storage.outbox import wire_order
from tradingengine.storage.records import StoredOrder

from tests.waiting import until

SYMBOL = "NSE:RELIANCE"
RUN = "run-1"
INSTRUMENT = {
    "symbol": SYMBOL,
    "exchange": "NSE",
    "segment": "NSE_EQ",
    "name": "Reliance Industries",
    "kind": "equity",
    "lot_size": 1,
    "tick_paise": 5,
    "freeze_quantity": 100_000,
    "tradable": True,
    "lower_band_paise": None,
    "upper_band_paise": None,
}
INDEX = {
    **INSTRUMENT,
    "symbol": "NSE:NIFTY",
    "segment": "NSE_INDEX",
    "name": "NIFTY 50",
    "kind": "index",
    "tradable": False,
}


def plain_client(**options: Any) -> httpx.AsyncClient:
    """A client of plain HTTP: it reads no certificates, which takes 20 ms each time."""
    return httpx.AsyncClient(verify=False, **options)


async def wait_until(what: str, condition: Callable[[], Awaitable[Any]], *, timeout: float = 20.0) -> Any:
    """`until` with its words first; asked every 20 ms, since each question goes to a server."""
    return await until(condition, what, timeout=timeout, every=0.02)


def new_order(**changes: Any) -> Order:
    """An order of ten shares at 2500.00 that a person placed just now."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "id": new_id(),
        "symbol": SYMBOL,
        "side": Side.BUY,
        "quantity": 10,
        "price_paise": 250_000,
        "placed_by": "asha",
        "created_at": now,
        "updated_at": now,
        "expires_at": now + timedelta(seconds=30),
    }
    return Order(**{**fields, **changes})


def stored(order: Order, delivery: Delivery = Delivery.PENDING) -> StoredOrder:
    """The order as the cloud has it."""
    return StoredOrder(order=order, delivery=delivery)


class Journal:
    """A journal of an edge; `ship` sends entries to Redis in any order and as often as a test likes."""

    def __init__(self) -> None:
        self.id = str(uuid4())
        self.bodies: list[str] = []

    def add(self, kind: str, data: dict[str, Any] | None = None, *, ref: str | None = None, **more: Any) -> EdgeEvent:
        """Append one entry."""
        now = datetime.now(UTC)
        body = {
            "v": 1,
            "journal": self.id,
            "epoch": 1,
            "seq": len(self.bodies) + 1,
            "at": rfc3339(now),
            "market_time": "2026-01-06T04:30:00.000000Z",
            "run": RUN,
            "type": kind,
            "id": ref,
            "data": data or {},
            **more,
        }
        self.bodies.append(streams.dumps(body))
        return decode_event(self.bodies[-1])

    def intent(self, order: Order, *, source: str = "person", strategy: str | None = None) -> EdgeEvent:
        """The whole order."""
        data = {
            **wire_order(order),
            "source": source,
            "strategy": strategy,
            "placed_by": order.placed_by,
            "created_at": rfc3339(order.created_at),
            "expires_at": rfc3339(order.expires_at) if order.expires_at else None,
        }
        return self.add("order.intent", data, ref=order.id)

    def accept(self, order: Order, **intent: Any) -> None:
        """Intent, sent, acknowledged."""
        self.intent(order, **intent)
        self.add("order.sent", {"tag": "t"}, ref=order.id)
        self.add("order.acknowledged", {"broker_order_id": f"P{order.id[-6:]}"}, ref=order.id)

    def fill(self, order: Order, quantity: int, price: int, *, cumulative: int) -> EdgeEvent:
        """One fill."""
        data = {
            "fill_id": f"F{len(self.bodies) + 1}",
            "quantity": quantity,
            "price_paise": price,
            "cumulative": cumulative,
            "average_paise": price,
        }
        return self.add("order.filled", data, ref=order.id)

    async def ship(self, client: streams.Client, *numbers: int) -> None:
        """Send entries by number from 1, all of them when none is named."""
        chosen = numbers or tuple(range(1, len(self.bodies) + 1))
        pipeline = client.pipeline(transaction=False)
        for number in chosen:
            pipeline.xadd(streams.EVENTS, {"body": self.bodies[number - 1]})
        await pipeline.execute()


def heartbeat(**changes: Any) -> dict[str, Any]:
    """A heartbeat of this moment."""
    return {
        "v": 1,
        "journal": str(uuid4()),
        "epoch": 1,
        "release": "1",
        "version": "0.1.0",
        "at": rfc3339(datetime.now(UTC)),
        "trading_state": "ACTIVE",
        "flat": True,
        "idle": True,
        "recovered": True,
        "sequence": 1,
        "shipped": 1,
        "unshipped": 0,
        "halt": None,
        "broker": {"name": "paper", "state": "connected"},
        "feed": {
            "source": "simulator",
            "age_ms": 100,
            "market_time": "2026-01-06T04:30:00.000000Z",
            "speed": 1.0,
            "run": RUN,
            "sessions": {"NSE_EQ": {"state": "open", "until": "2026-01-06T10:00:00.000000Z"}},
        },
        "strategies": [{"name": "ema-cross", "state": "running", "symbol": SYMBOL, "pnl_paise": -150, "orders": 3}],
        **changes,
    }


async def beat(client: streams.Client, **changes: Any) -> None:
    """Set the heartbeat as the edge does."""
    await RedisLink(client).beat(streams.dumps(heartbeat(**changes)))


def quote_message(last: int = 250_000, symbol: str = SYMBOL) -> str:
    """A message of `te:quotes` with one quote."""
    quote = {
        "s": symbol, "l": last, "pc": 248_000, "o": 249_000, "h": 251_000, "lo": 247_000, "v": 1000, "b": last - 5,
        "a": last + 5, "bq": 10, "aq": 20, "t": 1_767_673_800_000,
    }  # fmt: skip
    return streams.dumps({"at": rfc3339(datetime.now(UTC)), "run": RUN, "q": [quote]})


async def entries(client: streams.Client, stream: str) -> list[dict[str, str]]:
    """The fields of all entries of a stream."""
    found: Any = await client.xrange(stream)
    return [fields for _, fields in found]


async def set_price(client: streams.Client, last: int = 250_000, symbol: str = SYMBOL) -> None:
    """Publish a price, and keep it for late comers."""
    message = quote_message(last, symbol)
    await client.hset(streams.QUOTES_LAST, symbol, message)
    await client.publish(streams.QUOTES, message)
