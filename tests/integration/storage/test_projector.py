"""The projector on real servers: order, gaps, doubles, two at once, and the loss of Redis and of Postgres."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tradingengine.domain.orders import OrderState, Purpose, Side
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.storage import alerts, events, halts, market, orders, outbox, positions, streams
from tradingengine.storage.outbox import Command
from tradingengine.storage.postgres import Database
from tradingengine.storage.projector import BLOCK_SECONDS, Projector
from tradingengine.telemetry.metrics import Metrics

from tests.integration.kit import INDEX, INSTRUMENT, RUN, SYMBOL, Journal, new_order, stored, wait_until
from tests.integration.servers import Postgres, Redis

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def projecting(database: Database, url: str, pod: str = "a") -> AsyncIterator[list[tuple[str, str]]]:
    """A running projector of one pod, and what it said has changed."""
    changes: list[tuple[str, str]] = []
    client = streams.command_client(url)
    reader = streams.blocking_client(url, block_seconds=BLOCK_SECONDS)
    projector = Projector(
        database,
        client=client,
        reader=reader,
        metrics=Metrics(component="api"),
        pod=pod,
        on_changes=changes.extend,
    )
    task = asyncio.create_task(projector.run())
    try:
        yield changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()
        await reader.aclose()


async def applied(database: Database, journal: Journal) -> int:
    """How far the journal was applied; 0 while Postgres is away."""
    try:
        async with database.connection() as connection:
            return (await events.applied(connection)).get(journal.id, 0)
    except DatabaseUnavailableError:
        return 0


async def wait_applied(database: Database, journal: Journal) -> None:
    """Wait until all entries of the journal are applied."""

    async def done() -> bool:
        return await applied(database, journal) == len(journal.bodies)

    await wait_until("all entries are applied", done, timeout=40)


async def order_state(database: Database, order_id: str) -> tuple[str, int] | None:
    """State and filled quantity."""
    async with database.connection() as connection:
        return (await orders.states(connection, [order_id])).get(order_id)


async def table(database: Database, query: str, *arguments: Any) -> list[Any]:
    """Rows of a query."""
    async with database.connection() as connection:
        return list(await connection.fetch(query, *arguments))


async def test_orders_fills_positions_and_market_data_arrive(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal, bought, sold = Journal(), new_order(), new_order(side=Side.SELL, quantity=4)
    journal.add("instruments.snapshot", {"instruments": [INSTRUMENT, INDEX]})
    journal.add("run.started", {"source": "simulator"})
    journal.accept(bought, source="strategy", strategy="ema-cross")
    journal.fill(bought, 6, 250_000, cumulative=6)
    journal.fill(bought, 4, 250_000, cumulative=10)
    journal.accept(sold)
    journal.fill(sold, 4, 251_000, cumulative=4)
    rows = [[1_767_673_800, 1, 4, 1, 3, 10], [1_767_673_860, 3, 5, 2, 4, 20]]
    journal.add("candles.closed", {"symbol": SYMBOL, "interval": "1m", "candles": rows})
    await journal.ship(cache)
    async with projecting(database, redis_url) as changes:
        await wait_applied(database, journal)
        ack = await wait_until("the acknowledgement", lambda: streams.read_ack(cache))
    assert ack == {journal.id: len(journal.bodies)}
    assert await order_state(database, bought.id) == ("FILLED", 10)
    assert {("order", bought.id), ("order", sold.id), ("position", SYMBOL)} <= set(changes)
    async with database.connection() as connection:
        (held,) = await positions.everything(connection)
        kept = (await orders.by_ids(connection, [bought.id]))[bought.id]
        timeline = (await orders.timelines(connection, [bought.id]))[bought.id]
        found = await market.search_instruments(connection, "nifty", limit=5)
        bars = await market.candles(connection, SYMBOL, RUN, since=0, before=None, limit=10)
    assert (held.position.quantity, held.position.realised_paise) == (6, 4 * 1000)
    assert (kept.order.strategy, str(kept.delivery), kept.order.broker_order_id) == (
        "ema-cross", "delivered", f"P{bought.id[-6:]}",
    )  # fmt: skip
    assert [row["state"] for row in timeline] == ["INTENT", "SENT", "OPEN", "PARTIALLY_FILLED", "FILLED"]
    assert [instrument.symbol for instrument in found] == ["NSE:NIFTY"]
    assert [bar.row() for bar in bars] == rows


async def test_what_lies_beyond_a_gap_waits_for_it(database: Database, redis_url: str, cache: streams.Client) -> None:
    journal, order = Journal(), new_order()
    journal.accept(order)
    journal.fill(order, 10, 250_000, cumulative=10)
    async with projecting(database, redis_url):
        await journal.ship(cache, 1, 3, 4)

        async def stored_ones() -> bool:
            return len(await table(database, "select 1 from edge_events")) == 3

        await wait_until("the three entries are stored", stored_ones)
        assert await applied(database, journal) == 1
        assert await order_state(database, order.id) == ("INTENT", 0)
        await journal.ship(cache, 2)
        await wait_applied(database, journal)
    assert await order_state(database, order.id) == ("FILLED", 10)


async def test_two_projectors_and_doubles_count_each_fill_once(
    database: Database, postgres_url: str, redis_url: str, cache: streams.Client
) -> None:
    journal = Journal()
    placed = [new_order(quantity=10) for _ in range(30)]
    for order in placed:
        journal.accept(order)
        journal.fill(order, 5, 250_000, cumulative=5)
        journal.fill(order, 5, 250_000, cumulative=10)
    other = Database(postgres_url, application_name="other", size=3)
    await other.open()
    try:
        async with projecting(database, redis_url, "a"), projecting(other, redis_url, "b"):
            half = len(journal.bodies) // 2
            await journal.ship(cache, *range(1, half))
            await journal.ship(cache)
            await journal.ship(cache, *reversed(range(1, len(journal.bodies) + 1)))
            await wait_applied(database, journal)
    finally:
        await other.close()
    ((fills, units),) = await table(database, "select count(*), sum(quantity) from fills")
    assert (fills, units) == (60, 300)
    ((quantity,),) = await table(database, "select quantity from positions")
    assert quantity == 300
    assert not await table(database, "select 1 from edge_events where problem is not null")


async def test_an_entry_that_cannot_follow_changes_nothing_and_is_noted(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal, order = Journal(), new_order()
    journal.accept(order)
    journal.fill(order, 10, 250_000, cumulative=10)
    journal.add("order.cancelled", {"code": "cancelled_by_user", "message": "late"}, ref=order.id)
    journal.add("order.filled", {"fill_id": "x"}, ref=order.id)
    journal.add("order.sent", {}, ref=new_order().id)
    journal.add("instruments.snapshot", {"instruments": [{"symbol": 5}]})
    journal.add("something.new", {"of": "the next version"})
    journal.add("candles.closed", {"symbol": SYMBOL, "interval": "1m", "candles": [[1, 2]]})
    refused = Journal()
    refused.id, refused.bodies = journal.id, journal.bodies
    refused.intent(new_order(price_paise=-5))  # Postgres refuses it, and the rest of its batch must not suffer
    journal.add("mark")
    await journal.ship(cache)
    await cache.xadd(streams.EVENTS, {"body": "not JSON"})
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    assert await order_state(database, order.id) == ("FILLED", 10)
    noted = await table(database, "select seq, type from edge_events where problem is not null order by seq")
    assert [row["type"] for row in noted] == [
        "order.cancelled", "order.filled", "order.sent", "instruments.snapshot", "candles.closed", "order.intent",
    ]  # fmt: skip


async def test_a_flushed_redis_loses_nothing(database: Database, redis_url: str, cache: streams.Client) -> None:
    journal, order = Journal(), new_order()
    journal.accept(order)
    async with projecting(database, redis_url):
        await journal.ship(cache)
        await wait_applied(database, journal)
        await cache.flushall()
        ack = await wait_until("the acknowledgement comes back", lambda: streams.read_ack(cache))
        assert ack[journal.id] == 3
        journal.fill(order, 10, 250_000, cumulative=10)
        await journal.ship(cache, 4)
        await wait_applied(database, journal)
    assert await order_state(database, order.id) == ("FILLED", 10)


async def test_a_killed_redis_and_a_killed_postgres_are_survived(
    database: Database, postgres_server: Postgres, redis_server: Redis, redis_url: str
) -> None:
    journal, order = Journal(), new_order()
    journal.accept(order)
    async with projecting(database, redis_url):
        client = streams.command_client(redis_url)
        await journal.ship(client)
        await wait_applied(database, journal)
        await client.aclose()
        await asyncio.to_thread(redis_server.kill)
        await asyncio.to_thread(redis_server.start)
        journal.fill(order, 4, 250_000, cumulative=4)
        client = streams.command_client(redis_url)
        await journal.ship(client, 4)
        await wait_applied(database, journal)
        await asyncio.to_thread(postgres_server.kill)
        journal.fill(order, 6, 250_000, cumulative=10)
        await journal.ship(client, 5)
        await asyncio.to_thread(postgres_server.start)
        await wait_applied(database, journal)
        await client.aclose()
    assert await order_state(database, order.id) == ("FILLED", 10)


async def test_a_pod_that_starts_again_goes_on_behind_what_is_applied(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal, order = Journal(), new_order()
    journal.accept(order)
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    async with database.connection() as connection:
        start = await events.start_stream_id(connection)
    assert start == await streams.last_entry_id(cache, streams.EVENTS)
    journal.fill(order, 10, 250_000, cumulative=10)
    await journal.ship(cache, 4)
    async with projecting(database, redis_url) as changes:
        await wait_applied(database, journal)
    assert ("order", order.id) in changes


async def test_the_edge_speaks_of_a_command_and_it_is_not_sent_again(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal, order = Journal(), new_order()
    async with database.transaction() as connection:
        await orders.save(connection, [stored(order)])
        await outbox.add(connection, command("place", order.id, order=order))
    journal.intent(order)
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    async with database.connection() as connection:
        assert await outbox.pending(connection) == 0
        kept = (await orders.by_ids(connection, [order.id]))[order.id]
    assert str(kept.delivery) == "delivered"


def command(kind: str, command_id: str, **more: Any) -> Command:
    """A command of a person."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {"created_at": now, "expires_at": now + timedelta(seconds=30), **more}
    return Command(id=command_id, kind=kind, release="1", slot="a", user="asha", **fields)


async def test_silence_becomes_unknown_and_then_expired_and_a_late_word_is_believed(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=20)
    order = new_order(created_at=past, updated_at=past, expires_at=past + timedelta(seconds=5))
    async with database.transaction() as connection:
        await orders.save(connection, [stored(order)])
        await outbox.add(connection, command("place", order.id, order=order, expires_at=order.expires_at))
    journal = Journal()

    async def delivery() -> str:
        async with database.connection() as connection:
            return str((await orders.by_ids(connection, [order.id]))[order.id].delivery)

    async def is_unknown() -> bool:
        return await delivery() == "unknown"

    async def is_expired() -> bool:
        return await order_state(database, order.id) == ("EXPIRED", 0)

    async with projecting(database, redis_url):
        await wait_until("delivery is unknown", is_unknown)
        assert await order_state(database, order.id) == ("INTENT", 0)
        journal.add("mark", at=past.isoformat())
        await journal.ship(cache, 1)
        await wait_applied(database, journal)
        assert await order_state(database, order.id) == ("INTENT", 0)
        journal.add("mark")
        await journal.ship(cache, 2)
        await wait_until("the order is expired", is_expired)
        assert await delivery() == "not_delivered"
        async with database.connection() as connection:
            (told,) = await alerts.newest(connection, limit=5)
        assert told["title"] == f"Not delivered: BUY 10 {SYMBOL} MIS"
        # The edge had taken it in time after all: its journal is the record.
        journal.accept(order)
        journal.fill(order, 10, 250_000, cumulative=10)
        await journal.ship(cache, 3, 4, 5, 6)
        await wait_applied(database, journal)
    assert await order_state(database, order.id) == ("FILLED", 10)
    assert await delivery() == "delivered"


async def test_a_halt_is_followed_to_its_release(database: Database, redis_url: str, cache: streams.Client) -> None:
    journal, order = Journal(), new_order(purpose=Purpose.ENTRY)
    halt_id = new_order().id
    now = datetime.now(UTC)
    async with database.transaction() as connection:
        await halts.request(connection, halt_id, by="asha", reason="test", at=now)
    journal.accept(order)
    journal.add("trading.state", {"state": "HALTED", "reason": "test", "by": "asha"}, ref=halt_id)
    journal.add("order.cancelled", {"code": "cancelled_by_halt", "message": "halted"}, ref=order.id)
    journal.add("command.done", {"kind": "halt", "result": "confirmed", "total": 1, "cancelled": 1}, ref=halt_id)
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
        async with database.connection() as connection:
            row = await halts.active(connection)
            told = await alerts.newest(connection, limit=5)
        assert row is not None
        assert (row["id"], row["entries_total"], row["entries_cancelled"]) == (halt_id, 1, 1)
        assert row["confirmed_at"] is not None
        assert told[0]["title"] == "Trading halted"
        journal.add("trading.state", {"state": "ACTIVE", "reason": "", "by": "asha"})
        journal.add("trading.state", {"state": "HALTED", "reason": "by hand", "by": "console"})
        await journal.ship(cache, 7, 8)
        await wait_applied(database, journal)
    async with database.connection() as connection:
        pressed = await halts.active(connection)
    assert pressed is not None
    assert (pressed["requested_by"], pressed["reason"]) == ("console", "by hand")
    assert pressed["id"] != halt_id
    assert (await order_state(database, order.id)) == (str(OrderState.CANCELLED), 0)


async def test_a_rejected_order_and_a_paused_strategy_raise_alerts(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal, order, lost = Journal(), new_order(), new_order()
    journal.intent(order)
    journal.add("order.rejected", {"code": "halted", "message": "Trading is halted", "mend": "Release"}, ref=order.id)
    journal.intent(lost)
    journal.add("order.sent", {}, ref=lost.id)
    journal.add("order.unknown", {"message": "no answer"}, ref=lost.id)
    journal.add("strategy.state", {"strategy": "ema-cross", "state": "paused", "reason": "three losses"})
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    async with database.connection() as connection:
        told = await alerts.newest(connection, limit=5)
    assert {row["severity"] for row in told} == {"warning", "critical"}
    assert len(told) == 3
