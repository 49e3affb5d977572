"""Migrations on a real Postgres."""

import asyncio

import asyncpg
import pytest
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.storage import migrate, schema

from tests.integration.servers import free_port

pytestmark = pytest.mark.integration


async def test_an_empty_database_gets_the_schema_and_a_second_run_changes_nothing(empty_database_url: str) -> None:
    said: list[str] = []
    assert await migrate.current_revision(empty_database_url) is None
    assert await migrate.upgrade(empty_database_url, wait_seconds=10, say=said.append) == schema.REVISION
    assert await migrate.upgrade(empty_database_url, wait_seconds=10, say=said.append) == schema.REVISION
    assert await migrate.current_revision(empty_database_url) == schema.REVISION
    assert "an empty database" in said[0]
    assert said[-1].endswith("nothing to do")


async def test_three_runners_at_once_leave_one_schema(empty_database_url: str) -> None:
    said: list[str] = []
    runs = (migrate.upgrade(empty_database_url, wait_seconds=30, say=said.append) for _ in range(3))
    assert await asyncio.gather(*runs) == [schema.REVISION] * 3
    assert sum("empty database" in text for text in said) == 1


async def test_a_runner_gives_up_when_another_one_holds_the_lock(empty_database_url: str) -> None:
    holder = await asyncpg.connect(empty_database_url)
    await holder.execute("select pg_advisory_lock($1)", migrate.LOCK_KEY)
    said: list[str] = []
    with pytest.raises(migrate.MigrationError, match="held the lock"):
        await migrate.upgrade(empty_database_url, wait_seconds=1, say=said.append)
    await holder.close()
    assert said == ["waiting for another migration to end"]


async def test_a_schema_of_a_later_version_is_left_alone(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url, wait_seconds=10, say=lambda text: None)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("update alembic_version set version_num = '9999'")
    await connection.close()
    said: list[str] = []
    await migrate.upgrade(empty_database_url, wait_seconds=10, say=said.append)
    assert "newer than this version" in said[-1]
    assert await migrate.current_revision(empty_database_url) == "9999"


async def test_an_unreachable_database_is_waited_for_and_then_named(empty_database_url: str) -> None:
    gone = f"postgresql://te:secret-word@127.0.0.1:{free_port()}/te"
    said: list[str] = []
    with pytest.raises(DatabaseUnavailableError, match="did not answer within") as refused:
        await migrate.upgrade(gone, wait_seconds=0.8, say=said.append)
    assert said
    assert "secret-word" not in f"{said}{refused.value}"
