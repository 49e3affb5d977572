"""The pool when Postgres is not what it should be."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.storage.postgres import Database

from tests.integration.servers import Postgres, free_port

pytestmark = pytest.mark.integration


@pytest.fixture
async def small(postgres_url: str) -> AsyncIterator[Database]:
    """A pool of one connection."""
    made = Database(postgres_url, application_name="small", size=1)
    await made.open()
    yield made
    await made.close()


async def test_a_wrong_address_password_or_database_is_unavailable_and_no_secret_is_said(
    postgres_server: Postgres,
) -> None:
    good = postgres_server.url()
    wrong = (
        good.replace(f":{postgres_server.port}", f":{free_port()}"),
        good.replace("only-for-tests", "another-word"),
        postgres_server.url("nothing"),
    )
    for url in wrong:
        database = Database(url, application_name="test", size=1)
        await database.open()
        with pytest.raises(DatabaseUnavailableError) as refused:
            await database.ping(timeout=5)
        assert "another-word" not in str(refused.value)
        await database.close()


async def test_types_go_in_and_out(small: Database) -> None:
    order_id = "019abf30-5c1e-7a52-9d54-2f1de1b2c3d4"
    async with small.connection() as connection:
        row = await connection.fetchrow("select $1::uuid as id, $2::jsonb as data", order_id, {"a": [1, "ü"]})
    assert (row["id"], row["data"]) == (order_id, {"a": [1, "ü"]})


async def test_a_full_pool_refuses_in_time(small: Database) -> None:
    async with small.connection():
        with pytest.raises(DatabaseUnavailableError):
            await small.ping(timeout=0.1)
    assert await small.ping() > 0


async def test_a_statement_that_holds_rows_too_long_is_ended_and_its_connection_is_clean(small: Database) -> None:
    with pytest.raises(DatabaseUnavailableError):
        async with small.transaction(hold_ms=100) as connection:
            await connection.execute("select pg_sleep(30)")
    async with small.connection() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("show statement_timeout") == "5s"


async def test_an_error_rolls_back_and_a_cancelled_task_leaves_nothing_open(small: Database) -> None:
    async def fail() -> None:
        async with small.transaction(hold_ms=1000) as connection:
            await connection.execute("create table half (x int)")
            await connection.execute("select * from no_such_table")

    with pytest.raises(asyncpg.UndefinedTableError):
        await fail()

    async def hang() -> None:
        async with small.transaction(hold_ms=5000) as connection:
            await connection.execute("create table half (x int)")
            started.set()
            await asyncio.sleep(60)

    started = asyncio.Event()
    task = asyncio.create_task(hang())
    await asyncio.wait_for(started.wait(), timeout=10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with small.connection() as connection:
        assert await connection.fetchval("select to_regclass('half')") is None
