"""Entries that cannot be stored as they are, and databases that know less than they did: the projection goes on."""

import random

import pytest
from tradingengine.storage import events, orders, streams
from tradingengine.storage.postgres import Database

from tests.integration.kit import Journal, new_order, wait_until
from tests.integration.storage.test_projector import projecting, wait_applied

pytestmark = pytest.mark.integration


async def problems(database: Database) -> list[tuple[int, str, bool]]:
    """Sequence and type of each entry, and whether a problem is noted beside it."""
    async with database.connection() as connection:
        rows = await connection.fetch("select seq, type, problem is not null as bad from edge_events order by seq")
    return [(row["seq"], row["type"], row["bad"]) for row in rows]


async def test_text_that_postgres_refuses_is_escaped_and_what_follows_is_applied(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal, order = Journal(), new_order()
    journal.add("command.done", {"kind": "cancel", "result": "unknown_order", "target": "\x00"}, ref="a\x00b")
    journal.intent(order)
    journal.add("order.rejected", {"code": "halted", "message": "why \x00", "mend": ""}, ref=order.id)
    journal.add("mark")
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    assert await problems(database) == [
        (1, "command.done", True),
        (2, "order.intent", False),
        (3, "order.rejected", True),
        (4, "mark", False),
    ]
    async with database.connection() as connection:
        found = (await orders.by_ids(connection, [order.id]))[order.id].order
    assert found.reason is not None
    assert (found.state, found.reason.message) == ("REJECTED", "why \\u0000")


async def test_an_entry_that_is_no_event_keeps_its_place_and_holds_nothing_up(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal = Journal()
    for _ in range(4):
        journal.add("mark")
    broken = streams.loads(journal.bodies[1])
    journal.bodies[1] = streams.dumps({**broken, "data": "not an object", "at": 7})
    journal.bodies[2] = streams.dumps({**streams.loads(journal.bodies[2]), "epoch": 2**63})
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    assert await problems(database) == [
        (1, "mark", False),
        (2, events.UNREADABLE, True),
        (3, events.UNREADABLE, True),
        (4, "mark", False),
    ]


async def test_a_value_that_postgres_alone_refuses_costs_its_own_entry_only(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal = Journal()
    journal.add("mark")
    journal.add("mark", ref=random.Random(1).randbytes(10_000).hex())  # longer than an index takes
    journal.add("mark")
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    assert await problems(database) == [(1, "mark", False), (2, events.UNREADABLE, True), (3, "mark", False)]


async def test_a_database_restored_under_a_running_pod_is_told_from_its_own_knowledge(
    database: Database, redis_url: str, cache: streams.Client
) -> None:
    journal = Journal()
    for _ in range(5):
        journal.add("mark")
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
        async with database.transaction() as connection:
            # What a restore of an older backup looks like.
            await connection.execute("delete from edge_events")
            await connection.execute("delete from edge_journals")
        journal.add("mark")
        await journal.ship(cache, 6)

        async def nothing() -> bool:
            return (await streams.read_ack(cache)).get(journal.id) == 0

        await wait_until("the acknowledgement says how little is left", nothing)
        await journal.ship(cache)
        await wait_applied(database, journal)
