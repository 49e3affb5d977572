"""Servers once per run, an empty database and cache per test."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tradingengine.storage import migrate, streams
from tradingengine.storage.postgres import Database

from tests.integration.servers import Postgres, Redis

_TEMPLATE = "te_template"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL with a migrated template database."""
    server = Postgres(tmp_path_factory.mktemp("postgres") / "server")
    server.start()
    try:
        asyncio.run(_admin(server, f'create database "{_TEMPLATE}"'))
        asyncio.run(migrate.upgrade(server.url(_TEMPLATE), wait_seconds=30, say=lambda text: None))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A running Redis."""
    server = Redis(tmp_path_factory.mktemp("redis") / "server")
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def _admin(server: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_database_url(postgres_server: Postgres) -> AsyncIterator[str]:
    """The URL of a database without any table."""
    name = f"t{uuid.uuid4().hex}"
    await _admin(postgres_server, f'create database "{name}"')
    yield postgres_server.url(name)
    await _admin(postgres_server, f'drop database "{name}" with (force)')


@pytest.fixture
async def postgres_url(postgres_server: Postgres) -> AsyncIterator[str]:
    """The URL of a migrated database of this test's own."""
    name = f"t{uuid.uuid4().hex}"
    await _admin(postgres_server, f'create database "{name}" template "{_TEMPLATE}"')
    yield postgres_server.url(name)
    await _admin(postgres_server, f'drop database "{name}" with (force)')


@pytest.fixture
async def redis_url(redis_server: Redis) -> str:
    """The URL of an empty Redis."""
    client = streams.command_client(redis_server.url, timeout=5.0)
    await client.flushall()
    await client.aclose()
    return redis_server.url


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """A pool on a migrated database."""
    made = Database(postgres_url, application_name="test", size=4)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[streams.Client]:
    """A client of an empty Redis."""
    client = streams.command_client(redis_url, timeout=5.0)
    yield client
    await client.aclose()
