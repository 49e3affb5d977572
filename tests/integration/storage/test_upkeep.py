"""What runs beside the orders: the watch over the link, and the cleaning of old rows."""

import pytest
from tradingengine.storage import alerts, events, retention
from tradingengine.storage.heartbeat import Heartbeat
from tradingengine.storage.link_watch import LinkWatch
from tradingengine.storage.postgres import Database
from tradingengine.storage.retention import Retention

from tests.integration.kit import Journal, heartbeat, new_order

pytestmark = pytest.mark.integration


async def silent() -> Heartbeat | None:
    """An edge that says nothing."""
    return None


async def titles(database: Database) -> list[str]:
    """Titles of all alerts."""
    async with database.connection() as connection:
        return [row["title"] for row in await alerts.newest(connection, limit=50)]


async def test_a_lost_link_and_its_return_are_told_once_by_several_pods(database: Database) -> None:
    told: list[str] = []

    async def tell(ref: str) -> None:
        told.append(ref)

    pods = [LinkWatch(database, silent, tell) for _ in range(2)]
    heard = Heartbeat(document=heartbeat(), age=0.5)
    for pod in pods:
        await pod.look(None, 90.0)  # nothing was heard yet: nothing is lost
        await pod.look(heard, 100.0)
        await pod.look(None, 104.0)
    assert await titles(database) == []
    for pod in pods:
        await pod.look(None, 105.0)
        await pod.look(Heartbeat(document=heartbeat(), age=9.0), 106.0)
    assert await titles(database) == ["The link to the edge is lost"]
    for pod in pods:
        await pod.look(heard, 160.0)
        await pod.look(heard, 161.0)
    assert sorted(await titles(database)) == ["The link to the edge is back", "The link to the edge is lost"]
    assert len(set(told)) == 2
    async with database.connection() as connection:
        rows = await alerts.newest(connection, limit=5)
    assert {row["severity"]: row["detail"] for row in rows}["info"] == "It was silent for 60 s."


async def fill(database: Database, journal: Journal) -> None:
    """Rows of every table that is cleaned, each once old and once new; entries of an order beside."""
    order = new_order()
    async with database.transaction() as connection:
        await events.ensure_journal(connection, journal.id)
        entries = [journal.add("mark"), journal.intent(order), journal.add("mark"), journal.add("mark")]
        await events.store(connection, entries)
        await connection.execute("update edge_events set stored_at = now() - interval '8 days' where seq <> 3")
        await connection.execute("update edge_journals set applied_seq = 3, seen_seq = 4")
        for days in (100, 0):
            at = f"now() - interval '{days} days'"
            await connection.execute(
                f"insert into login_attempts (login, address, succeeded, at) values ('a','b',true,{at})"
            )
            await connection.execute(f"insert into pnl_samples values ({at}, 1)")
            await connection.execute(
                "insert into alerts (id, key, severity, title, detail, at, stored_at) values "
                f"(gen_random_uuid(), '{days}', 'info', 't', 'd', now(), {at})"
            )
            await connection.execute(
                "insert into outbox (id, kind, priority, body, expires_at, done_at) values "
                f"(gen_random_uuid(), 'cancel', true, '', {at}, {at})"
            )
        await connection.execute(
            "insert into outbox (id, kind, priority, body, created_at, expires_at) values "
            "(gen_random_uuid(), 'halt', true, '', now() - interval '100 days', now() - interval '93 days')"
        )


async def test_old_rows_go_and_what_was_said_of_orders_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    await fill(database, journal)
    monkeypatch.setattr(retention, "STEP", 1)
    expected = {"login_attempts": 1, "outbox": 1, "pnl_samples": 1, "alerts": 1, "edge_events": 1}
    assert await Retention(database).clean() == expected
    assert await Retention(database).clean() == {}
    async with database.connection() as connection:
        kept = await connection.fetch("select seq, type from edge_events order by seq")
        left = {table: await connection.fetchval(f"select count(*) from {table}") for table in expected}
    assert [(row["seq"], row["type"]) for row in kept] == [(2, "order.intent"), (3, "mark"), (4, "mark")]
    assert left == {"login_attempts": 1, "outbox": 2, "pnl_samples": 1, "alerts": 1, "edge_events": 3}


async def test_every_rule_is_a_statement_that_postgres_takes(database: Database) -> None:
    async with database.connection() as connection:
        for table, due in retention.RULES.items():
            assert await connection.fetchval(f"select count(*) from {table} where {due}") == 0
