"""The pool of Postgres connections, and what to do when Postgres is gone for a while."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from tradingengine.addresses import Address
from tradingengine.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)
Connection: TypeAlias = Any
"""An asyncpg connection; asyncpg carries no types."""
Row: TypeAlias = Any
"""An asyncpg record: a mapping from column to value."""

CONNECTION_ERRORS: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
"""Postgres, or the way to it, is gone, not ready, too slow, or gave way to another transaction: asking again later may
help. What was asked may or may not have been committed."""

#: How often a pool looks whether its address was changed; seconds.
FOLLOW_SECONDS: Final = 2.0
_SESSION: Final = {
    "statement_timeout": "5000",
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "3000",
    "jit": "off",
    "timezone": "UTC",
}


class Database:
    """A small pool that connects when it is first needed, so that a pod starts and lives without Postgres.

    Errors of the connection come out as DatabaseUnavailableError. A transaction that failed that way may have been
    committed: repeat only what an id makes safe to repeat.

    An address that was changed is tried within seconds. When it works, new connections are made by it and the old ones
    are left: idle ones at once, those in use when they are given back. When it does not, everything goes on as before.
    """

    def __init__(self, url: str | Address, *, application_name: str, size: int = 8) -> None:
        self._address = Address.of(url)
        self._application_name = application_name
        self._size = size
        self._pool: Any = None
        self._follower: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the pool; connects nothing yet."""
        self._pool = await asyncpg.create_pool(
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            timeout=4.0,
            command_timeout=8.0,
            connect=self._connect,
            init=_init_connection,
            reset=_keep_session,
            server_settings={**_SESSION, "application_name": self._application_name[:63]},
        )
        if self._address.changes:
            self._follower = asyncio.create_task(self._follow(), name="database-address")

    async def close(self) -> None:
        """Close all connections; those in use get three seconds."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(3.0):
                await self._pool.close()
        except (TimeoutError, *CONNECTION_ERRORS):
            self._pool.terminate()

    async def _connect(self, _dsn: None, **options: Any) -> Connection:
        """A connection by the first address that works."""
        *others, last = self._address.candidates()
        for url in others:
            with contextlib.suppress(*CONNECTION_ERRORS):
                return await self._connect_by(url, **options)
        return await self._connect_by(last, **options)

    async def _connect_by(self, url: str, **options: Any) -> Connection:
        try:
            connection = await asyncpg.connect(url, **options)
        except CONNECTION_ERRORS as error:
            self._address.fails(url, error)
            raise
        self._address.works(url)
        return connection

    async def _follow(self) -> None:
        """Leaves connections that were made by an older address, once a newer one works."""
        used = self._address.written()
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            if self._address.wants_trial():
                with contextlib.suppress(*CONNECTION_ERRORS):
                    trial = await self._connect_by(self._address.written(), timeout=4.0)
                    await trial.close(timeout=4.0)
            if self._address.working not in ("", used):
                used = self._address.working
                with contextlib.suppress(*CONNECTION_ERRORS):
                    await self._renew()

    async def _renew(self) -> None:
        """Makes idle connections anew; one in use is closed when it is given back."""
        await self._pool.expire_connections()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(self._pool.get_idle_size()):
                await stack.enter_async_context(self._pool.acquire(timeout=4.0))

    async def warm(self, count: int) -> None:
        """Open `count` connections, so that the first requests do not wait for them."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(min(count, self._size)):
                await stack.enter_async_context(self.connection())

    @contextlib.asynccontextmanager
    async def connection(self, *, timeout: float = 3.0) -> AsyncGenerator[Connection]:
        """One connection, waited for at most `timeout` seconds."""
        try:
            async with self._pool.acquire(timeout=timeout) as connection:
                yield connection
        except asyncpg.ReadOnlySQLTransactionError as error:
            # After a failover old connections may sit on a server that was demoted.
            await self._pool.expire_connections()
            raise _unavailable(error) from error
        except CONNECTION_ERRORS as error:
            raise _unavailable(error) from error

    @contextlib.asynccontextmanager
    async def transaction(self, *, timeout: float = 3.0, hold_ms: int | None = None) -> AsyncGenerator[Connection]:
        """One transaction; `hold_ms` bounds each statement and each pause in it, so that a hung pod lets go of rows."""
        async with self.connection(timeout=timeout) as connection:
            if hold_ms is None:
                async with connection.transaction():
                    yield connection
                return
            # Sent together: each round trip counts while rows are locked.
            await connection.execute(
                f"begin; set local statement_timeout = {int(hold_ms)}; "
                f"set local idle_in_transaction_session_timeout = {int(hold_ms)}"
            )
            try:
                yield connection
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("rollback")
                raise
            await connection.execute("commit")

    async def ping(self, *, timeout: float = 1.0) -> float:
        """Seconds that the smallest query took; DatabaseUnavailableError when it did not answer."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with self.connection(timeout=timeout) as connection:
            await connection.fetchval("select 1", timeout=timeout)
        return loop.time() - started


def _unavailable(error: BaseException) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"Postgres did not answer ({type(error).__name__}).", mend="Try again in a few seconds."
    )


async def _init_connection(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )
    await connection.set_type_codec("uuid", schema="pg_catalog", format="text", encoder=str, decoder=str)


async def _keep_session(connection: Connection) -> None:
    """Nothing in this code changes a session outside a transaction: only one that was left open is cleaned up."""
    if connection.is_in_transaction():
        await connection.execute("rollback")


def _encode_jsonb(value: Any) -> bytes:
    return b"\x01" + orjson.dumps(value)


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(data[1:])
