"""A password is changed while requests flow: none fails, and the old login is left."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from tradingengine.addresses import Address
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.servers import Postgres, Redis

pytestmark = pytest.mark.integration

LOGINS = ("first", "second")


@contextlib.asynccontextmanager
async def steady(act: Callable[[], Awaitable[object]]) -> AsyncIterator[list[int]]:
    """Acts again and again from three tasks; the first failure ends the test. Yields how often they acted."""
    counts = [0, 0, 0]

    async def work(number: int) -> None:
        while True:
            await act()
            counts[number] += 1
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(number)) for number in range(3)]
        yield counts
        before = list(counts)
        await until(lambda: all(now > then for now, then in zip(counts, before, strict=True)))
        for task in tasks:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.1)


class Role:
    """Two login roles of one owner, as the operator's Job keeps them."""

    def __init__(self, admin: asyncpg.Connection, url: str) -> None:
        self.admin = admin
        self._tail = url.rpartition("@")[2]
        self._suffix = uuid.uuid4().hex[:8]

    def name(self, login: str) -> str:
        return f"{login}_{self._suffix}"

    def url(self, login: str, password: str) -> str:
        return f"postgresql://{self.name(login)}:{password}@{self._tail}"

    async def set_password(self, login: str, password: str) -> None:
        await self.admin.execute(f"alter role {self.name(login)} login password '{password}'")

    async def sessions(self, login: str) -> int:
        question = "select count(*) from pg_stat_activity where usename = $1"
        return int(await self.admin.fetchval(question, self.name(login)))


@pytest.fixture
async def role(postgres_server: Postgres, postgres_url: str) -> AsyncIterator[Role]:
    admin = await asyncpg.connect(postgres_url)
    made = Role(admin, postgres_url)
    for login in LOGINS:
        await admin.execute(f"create role {made.name(login)} in role te; alter role {made.name(login)} set role = te")
    yield made
    for login in LOGINS:
        await admin.execute(f"drop role {made.name(login)}")
    await admin.close()


def file_address(file: Path, url: str, scheme: str) -> Address:
    file.write_text(url)
    return Address.from_file("TE_URL_FILE", file, (scheme,))


async def test_a_pool_takes_the_next_login_and_leaves_the_old_one(role: Role, tmp_path: Path) -> None:
    await role.set_password("first", "one")
    file = tmp_path / "uri"
    address = file_address(file, role.url("first", "one"), "postgresql")
    database = Database(address, application_name="test", size=3)
    await database.open()

    async def ask() -> None:
        async with database.transaction() as connection:
            assert await connection.fetchval("select current_user") == "te"
            await connection.execute("create table if not exists made (id int)")

    async def left() -> bool:
        return await role.sessions("first") == 0

    try:
        await ask()
        async with steady(lambda: database.ping()):
            await role.set_password("second", "two")
            file.write_text(role.url("second", "two"))
            await until_async(left)
            await role.admin.execute(f"alter role {role.name('first')} nologin")
        await ask()
        assert await role.sessions("second") > 0
        owner = "select tableowner from pg_tables where tablename = 'made'"
        assert await role.admin.fetchval(owner) == "te", "what either login makes belongs to the owner"
    finally:
        await database.close()


async def test_a_pool_goes_on_while_a_wrong_password_is_written(role: Role, tmp_path: Path) -> None:
    await role.set_password("first", "one")
    file = tmp_path / "uri"
    good = role.url("first", "one")
    database = Database(file_address(file, good, "postgresql"), application_name="test", size=3)
    await database.open()
    try:
        await database.ping()
        async with steady(lambda: database.ping()) as counts:
            file.write_text(role.url("first", "wrong"))
            await asyncio.sleep(4)
            file.write_text(good)
        assert min(counts) > 10
    finally:
        await database.close()


async def test_a_process_that_starts_with_a_wrong_password_goes_on_when_it_is_mended(
    role: Role, tmp_path: Path
) -> None:
    await role.set_password("first", "one")
    file = tmp_path / "uri"
    database = Database(file_address(file, role.url("first", "wrong"), "postgresql"), application_name="test", size=3)
    await database.open()

    async def answers() -> bool:
        try:
            await database.ping()
        except DatabaseUnavailableError:
            return False
        return True

    try:
        assert not await answers()
        file.write_text(role.url("first", "one"))
        await until_async(answers)
    finally:
        await database.close()


@pytest.fixture
async def admin(redis_server: Redis) -> AsyncIterator[streams.Client]:
    client = streams.command_client(redis_server.url, timeout=5.0)
    for login in LOGINS:
        await acl(client, "SETUSER", login, "reset", "on", ">one", "~*", "&*", "+@all")
    yield client
    for login in LOGINS:
        await acl(client, "DELUSER", login)
    await client.aclose()


async def acl(client: streams.Client, *words: str) -> None:
    await client.execute_command("ACL", *words)  # type: ignore[no-untyped-call]


def cache_url(server: Redis, login: str, password: str) -> str:
    return f"redis://{login}:{password}@{server.url.rpartition('@')[2]}"


async def test_every_client_of_redis_follows_and_no_request_fails(
    redis_server: Redis, admin: streams.Client, tmp_path: Path
) -> None:
    file = tmp_path / "uri"
    address = file_address(file, cache_url(redis_server, "first", "one"), "redis")
    command = streams.command_client(address, timeout=10.0)
    reader = streams.blocking_client(address, block_seconds=1.0)
    subscriber = streams.subscriber_client(address)
    heard: list[str] = []

    async def listen() -> None:
        async with subscriber.pubsub(ignore_subscribe_messages=True) as subscription:
            while not subscription.subscribed:
                # As the product's own loop: on a machine that is taken a first connection may take its time.
                with contextlib.suppress(*streams.CACHE_ERRORS):
                    await subscription.subscribe("news")
            while True:
                message = await subscription.get_message(timeout=0.2)
                if message is not None:
                    heard.append(message["data"])

    async def ask() -> None:
        await asyncio.gather(
            command.set("key", "value"),
            streams.read_streams(reader, {"none": "0-0"}, count=1, block_ms=100),
            command.publish("news", str(time.monotonic())),
        )

    async def left() -> bool:
        return all(client["user"] != "first" for client in await admin.client_list())

    listener = asyncio.create_task(listen())
    try:
        async with steady(ask):
            await until(lambda: len(heard) > 3 or listener.done())
            assert not listener.done(), listener
            file.write_text(cache_url(redis_server, "second", "wrong"))
            await asyncio.sleep(2)
            assert not await left(), "a password that is wrong changes nothing"
            await acl(admin, "SETUSER", "second", ">two")
            file.write_text(cache_url(redis_server, "second", "two"))
            await until_async(left)
            before = len(heard)
            await until(lambda: len(heard) > before)
        assert not listener.done()
    finally:
        listener.cancel()
        await asyncio.wait([listener])
        for client in (command, reader, subscriber):
            await client.aclose()


async def test_one_user_may_have_two_passwords_meanwhile(
    redis_server: Redis, admin: streams.Client, tmp_path: Path
) -> None:
    file = tmp_path / "uri"
    address = file_address(file, cache_url(redis_server, "first", "one"), "redis")
    client = streams.command_client(address, timeout=10.0)
    try:
        async with steady(client.ping):
            await acl(admin, "SETUSER", "first", ">two")
            file.write_text(cache_url(redis_server, "first", "two"))
            await until(lambda: address.working == cache_url(redis_server, "first", "two"))
            await acl(admin, "SETUSER", "first", "<one")
            await client.connection_pool.disconnect(inuse_connections=False)  # or requests under way are cut off
    finally:
        await client.aclose()
