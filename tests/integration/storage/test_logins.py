"""The Job changes a password on real servers: `te store`, with the files and settings that the operator makes."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from redis.exceptions import AuthenticationError, NoPermissionError
from te_desk.servers import UID, Launch, Server
from tradingengine.cli import main
from tradingengine.storage import streams
from tradingengine_operator.builders.store_access import (
    DATABASE_LOGINS,
    DATABASE_OWNER,
    Login,
    Store,
    StoreAccess,
    access_values,
    first_access,
)
from tradingengine_operator.flows import rotation

from tests.integration.servers import Postgres
from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FIRST, SECOND, THIRD = "first'pass\\word", 'second"pass@word/%', "third-password"
SECOND_IN_URL = quote(SECOND, safe="")


class OwnedPostgres(Postgres):
    """As the operator starts it: an owner who cannot log in, and two login roles."""

    def environment(self) -> dict[str, str]:
        """With the files of the access Secret."""
        return {
            **super().environment(),
            "POSTGRES_USER": DATABASE_OWNER,
            "POSTGRES_DB": DATABASE_OWNER,
            "POSTGRES_LOGINS": " ".join(DATABASE_LOGINS),
            "POSTGRES_LOGIN_FILE": "/tmp/login",
        }

    def start(self) -> None:
        """Writes the login first."""
        (self.folder / "login").write_text(DATABASE_LOGINS[0] + "\n")
        super().start()


class UserRedis(Server):
    """Redis with the settings of the access Secret, on a port and a folder of its own."""

    name = "redis"
    settings = ""

    def command(self) -> list[str]:
        """The settings, and what differs here."""
        return ["redis-server", "/tmp/redis.conf", "--port", str(self.port), "--dir", "/tmp", "--bind", "127.0.0.1"]

    def launch(self) -> Launch:
        """Writes the settings first."""
        file = self.folder / "redis.conf"
        file.write_text(self.settings)
        os.chown(file, UID, UID)
        return super().launch()

    def answers(self) -> bool:
        """It says PONG without a password, as the probes need it."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return b"+PONG" in connection.recv(64)
        except OSError:
            return False


def values(store: Store, access: StoreAccess, port: int) -> dict[str, str]:
    """The Secret's values, for a server on this machine."""
    made = access_values(context(), store, access)
    host, usual = f"desk-{store}.trading.svc", "5432" if store == "database" else "6379"
    return {key: value.replace(f"@{host}:{usual}", f"@127.0.0.1:{port}") for key, value in made.items()}


def mounted(folder: Path, content: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in content.items():
        (folder / name).write_text(value)
    return folder


async def job(act: str, store: Store, access: StoreAccess, folder: Path) -> int:
    words = ["store", act, store, "--turn", str(access.turn), "--folder", str(folder), "--wait", "20"]
    return await asyncio.to_thread(main, words)


def begun(store: Store, access: StoreAccess, wish: str) -> StoreAccess:
    return rotation.step(store, access, wish, "absent", NOW).access


def taken(store: Store, access: StoreAccess) -> StoreAccess:
    late = NOW.replace(hour=10)
    return rotation.step(store, access, None, "complete", late).access


def closing(store: Store, access: StoreAccess) -> StoreAccess:
    return rotation.step(store, access, None, "absent", NOW.replace(hour=11)).access


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = OwnedPostgres(tmp_path / "postgres" / "server", password=FIRST)
    server.start()
    yield server
    server.stop()


async def enters(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    assert await connection.fetchval("select current_user") == DATABASE_OWNER
    await connection.close()
    return True


async def test_two_login_roles_of_the_owner_take_turns(postgres: Postgres, tmp_path: Path) -> None:
    access = first_access("database", FIRST)
    made = values("database", access, postgres.port)
    assert await enters(made["uri"])
    owner = made["uri"].replace("//te_a:", f"//{DATABASE_OWNER}:")
    assert not await enters(owner), "the owner itself never logs in"
    for wish in (SECOND, THIRD):
        access = begun("database", access, wish)
        both = values("database", access, postgres.port)
        folder = mounted(tmp_path / "folder", both)
        for _ in range(2):  # a Job may be run again
            assert await job("accept", "database", access, folder) == 0
        assert await enters(both["uri"])
        assert await enters(both["other"])
        session = await asyncpg.connect(both["uri"])
        await session.execute(f"create table made_by_{access.turn} (id int)")
        access = closing("database", taken("database", access))
        folder = mounted(tmp_path / "folder", values("database", access, postgres.port))
        for _ in range(2):
            assert await job("close", "database", access, folder) == 0
        assert await enters(both["other"])
        assert not await enters(both["uri"]), "the old one is closed"
        assert session.is_closed() or await ended(session)
        access = rotation.step("database", access, wish, "complete", NOW).access
    connection = await asyncpg.connect(both["other"])
    owners = "select distinct tableowner from pg_tables where tablename like 'made_by_%'"
    assert [row["tableowner"] for row in await connection.fetch(owners)] == [DATABASE_OWNER]
    await connection.close()
    log = postgres.log.read_text()
    assert FIRST not in log
    assert SECOND not in log


class OldPostgres(Postgres):
    """A volume from before the login roles: the owner has the only login."""

    def environment(self) -> dict[str, str]:
        """Without the login roles."""
        return {**super().environment(), "POSTGRES_USER": DATABASE_OWNER, "POSTGRES_DB": DATABASE_OWNER}


@pytest.fixture
def old_postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = OldPostgres(tmp_path / "postgres" / "server", password=FIRST)
    server.start()
    yield server
    server.stop()


async def test_the_owner_of_an_old_volume_can_log_in_no_more(old_postgres: Postgres, tmp_path: Path) -> None:
    access = begun("database", StoreAccess(Login(DATABASE_OWNER, FIRST)), SECOND)
    both = values("database", access, old_postgres.port)
    assert await job("accept", "database", access, mounted(tmp_path / "folder", both)) == 0
    assert await enters(both["uri"]), "programs still go by it"
    assert await enters(both["other"])
    session = await asyncpg.connect(both["uri"])
    access = closing("database", taken("database", access))
    now = values("database", access, old_postgres.port)
    assert await job("close", "database", access, mounted(tmp_path / "folder", now)) == 0
    assert not await enters(both["uri"])
    assert session.is_closed() or await ended(session)
    assert await enters(now["uri"])
    connection = await asyncpg.connect(now["uri"])
    await connection.execute(f"alter role {DATABASE_OWNER} login password 'opened-by-hand'")
    await connection.close()
    opened = now["uri"].replace(SECOND_IN_URL, "opened-by-hand").replace("//te_a:", f"//{DATABASE_OWNER}:")
    assert await enters(opened)
    access = begun("database", rotation.step("database", access, SECOND, "complete", NOW).access, THIRD)
    both = values("database", access, old_postgres.port)
    assert await job("accept", "database", access, mounted(tmp_path / "folder", both)) == 0
    assert not await enters(opened), "the next change shuts it already when it begins"
    assert await enters(both["uri"])
    assert await enters(both["other"])


async def ended(session: asyncpg.Connection) -> bool:
    try:
        await session.fetchval("select 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return True
    return False


async def test_a_job_of_another_turn_or_without_a_way_in_changes_nothing(
    postgres: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    access = begun("database", first_access("database", FIRST), SECOND)
    both = values("database", access, postgres.port)
    folder = mounted(tmp_path / "folder", both | {"turn": "7"})
    assert await job("accept", "database", access, folder) == 2
    folder = mounted(tmp_path / "folder", both)
    assert await job("close", "database", access, folder) == 2
    folder = mounted(tmp_path / "folder", both | {"uri": both["uri"].replace("te_a:", "te_a:not-")})
    assert await job("accept", "database", access, folder) == 1
    assert not await enters(both["other"])
    assert await enters(both["uri"])
    said = capsys.readouterr()
    assert "Try again in a minute" in said.err
    assert "the login in use was refused" in said.err
    assert FIRST not in said.err + said.out


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[UserRedis]:
    server = UserRedis(tmp_path / "redis" / "server")
    server.settings = access_values(context(), "cache", first_access("cache", FIRST))["redis.conf"].replace(
        "dir /data\n", ""
    )
    await asyncio.to_thread(server.start)
    yield server
    server.stop()


async def may(url: str) -> bool:
    client = streams.command_client(url, timeout=10)
    try:
        await client.set("key", "value")
    except (AuthenticationError, NoPermissionError):
        return False
    finally:
        await client.aclose()
    return True


async def test_the_caches_user_has_two_passwords_meanwhile_also_after_a_restart(
    redis: UserRedis, tmp_path: Path
) -> None:
    access = first_access("cache", FIRST)
    first = values("cache", access, redis.port)["uri"]
    assert await may(first)
    assert not await may(f"redis://127.0.0.1:{redis.port}/0"), "without a password one may ask for a sign of life only"
    access = begun("cache", access, SECOND)
    both = values("cache", access, redis.port)
    assert not await may(both["other"])
    for _ in range(2):
        assert await job("accept", "cache", access, mounted(tmp_path / "folder", both)) == 0
    assert await may(both["uri"])
    assert await may(both["other"])
    redis.settings = both["redis.conf"].replace("dir /data\n", "")
    redis.kill()
    await asyncio.to_thread(redis.start)
    assert await may(both["uri"])
    assert await may(both["other"])
    access = closing("cache", taken("cache", access))
    only = values("cache", access, redis.port)
    assert await job("close", "cache", access, mounted(tmp_path / "folder", only)) == 0
    assert not await may(first)
    assert await may(only["uri"])
    redis.settings = only["redis.conf"].replace("dir /data\n", "")
    redis.kill()
    await asyncio.to_thread(redis.start)
    assert not await may(first)
    assert await may(only["uri"])
