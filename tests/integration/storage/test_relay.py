"""The relay on real servers: it repeats until the edge speaks, once a second, from one pod at a time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tradingengine.domain.ids import new_id
from tradingengine.storage import events, halts, outbox, streams
from tradingengine.storage.outbox import Command
from tradingengine.storage.postgres import Database
from tradingengine.storage.projection import spoken_of
from tradingengine.storage.relay import Relay
from tradingengine.telemetry.metrics import Metrics

from tests.integration.kit import Journal, entries, new_order, wait_until
from tests.integration.servers import Redis

pytestmark = pytest.mark.integration


def command(kind: str, **more: Any) -> Command:
    """A command of a person."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {"id": new_id(), "created_at": now, "expires_at": now + timedelta(seconds=30), **more}
    return Command(kind=kind, release="1", slot="a", user="asha", **fields)


async def queue(database: Database, *commands: Command) -> None:
    """Store commands."""
    async with database.transaction() as connection:
        for item in commands:
            await outbox.add(connection, item)


async def sent(cache: streams.Client) -> dict[str, list[str]]:
    """Ids by stream."""
    return {
        stream: [fields["id"] for fields in await entries(cache, stream)]
        for stream in (streams.COMMANDS, streams.PRIORITY_COMMANDS)
    }


async def confirm(database: Database, command_id: str) -> None:
    """What the projector does when the edge's journal speaks of a command."""
    journal = Journal()
    entry = journal.add("command.done", {"kind": "cancel", "result": "done"}, ref=command_id)
    async with database.transaction() as connection:
        await events.ensure_journal(connection, journal.id)
        await events.advance(
            connection, entry, seen=1, stream_id="1-0", trading_state=None, commands=spoken_of([entry])
        )


def relay_of(database: Database, cache: streams.Client) -> Relay:
    """One pod's relay."""
    return Relay(database, cache, Metrics(component="api"))


async def test_each_command_goes_to_its_stream_and_only_one_pod_claims_it(
    database: Database, cache: streams.Client
) -> None:
    order = new_order()
    place, cancel = command("place", id=order.id, order=order), command("cancel", target=new_id())
    await queue(database, place, cancel)
    counts = await asyncio.gather(*(relay_of(database, cache).send_due() for _ in range(4)))
    assert sum(counts) == 2
    found = await sent(cache)
    assert found == {streams.COMMANDS: [place.id], streams.PRIORITY_COMMANDS: [cancel.id]}
    (fields,) = await entries(cache, streams.COMMANDS)
    body = streams.loads(fields["body"])
    assert (body["kind"], body["order"]["price_paise"], body["origin"]["user"]) == ("place", 250_000, "asha")


async def test_a_command_is_repeated_until_it_was_seen(database: Database, cache: streams.Client) -> None:
    item = command("cancel", target=new_id())
    await queue(database, item)
    relay = relay_of(database, cache)
    task = asyncio.create_task(relay.run())

    async def repeated() -> bool:
        return len((await sent(cache))[streams.PRIORITY_COMMANDS]) >= 3

    await wait_until("three copies", repeated)
    await confirm(database, item.id)
    assert await relay.send_due() == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_late_command_is_repeated_for_a_minute_and_then_dropped(
    database: Database, cache: streams.Client
) -> None:
    now = datetime.now(UTC)
    late = command("place", expires_at=now - timedelta(seconds=10))
    gone = command("place", expires_at=now - timedelta(seconds=outbox.LATE_SECONDS + 1))
    await queue(database, late, gone)
    assert await relay_of(database, cache).send_due() == 1
    async with database.connection() as connection:
        assert await outbox.mark_expired(connection) == 1
        assert await outbox.pending(connection) == 1


async def test_a_release_waits_until_the_edge_holds_the_halt_and_not_for_its_end(
    database: Database, cache: streams.Client
) -> None:
    halt, release = command("halt"), command("release")
    async with database.transaction() as connection:
        await halts.request(connection, halt.id, by="asha", reason=None, at=halt.created_at)
    await queue(database, halt, release)
    relay = relay_of(database, cache)
    await relay.send_due()
    assert (await sent(cache))[streams.PRIORITY_COMMANDS] == [halt.id]
    async with database.transaction() as connection:
        # The gate is closed; a cancel that the broker never confirms keeps the halt from its end.
        await halts.at_edge(connection, halt.id, edge_id=halt.id, by="asha", reason=None, at=datetime.now(UTC))
    await relay.send_due()
    assert (await sent(cache))[streams.PRIORITY_COMMANDS][-1] == release.id


async def test_a_release_that_nobody_took_can_be_asked_for_again(database: Database) -> None:
    past = datetime.now(UTC) - timedelta(seconds=outbox.LATE_SECONDS + 1)
    halt, release = command("halt"), command("release", expires_at=past)
    async with database.transaction() as connection:
        await halts.request(connection, halt.id, by="asha", reason=None, at=halt.created_at)
        await halts.request_release(connection, halt.id, release_id=release.id, by="asha", at=past)
    await queue(database, release)
    async with database.transaction() as connection:
        assert await outbox.mark_expired(connection) == 1
        row = await halts.active(connection)
    assert row is not None
    assert (row["release_id"], row["release_requested_at"]) == (None, None)


async def test_a_command_taken_while_redis_is_away_arrives_when_it_is_back(
    database: Database, redis_server: Redis, redis_url: str
) -> None:
    client = streams.command_client(redis_url)
    relay = relay_of(database, client)
    task = asyncio.create_task(relay.run())
    await asyncio.to_thread(redis_server.kill)
    item = command("cancel", target=new_id())
    await queue(database, item)
    relay.wake()
    await asyncio.to_thread(redis_server.start)

    async def arrived() -> bool:
        try:
            return item.id in (await sent(client))[streams.PRIORITY_COMMANDS]
        except streams.CACHE_ERRORS:
            return False

    await wait_until("the command", arrived)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.aclose()
