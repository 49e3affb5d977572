"""The pool of Postgres connections, and what to do when Postgres is gone for a while."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from tradingengine.errors import DatabaseUnavailableError

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
    """

    def __init__(self, url: str, *, application_name: str, size: int = 8) -> None:
        self._url = url
        self._application_name = application_name
        self._size = size
        self._pool: Any = None

    async def open(self) -> None:
        """Make the pool; connects nothing yet."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            timeout=4.0,
            command_timeout=8.0,
            init=_init_connection,
            reset=_keep_session,
            server_settings={**_SESSION, "application_name": self._application_name[:63]},
        )

    async def close(self) -> None:
        """Close all connections; those in use get three seconds."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(3.0):
                await self._pool.close()
        except (TimeoutError, *CONNECTION_ERRORS):
            self._pool.terminate()

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
