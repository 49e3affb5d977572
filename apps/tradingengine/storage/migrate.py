"""Bring a database to the schema of this version.

One runner works at a time, by an advisory lock that is polled: waiting for it inside one statement would deadlock
with CREATE INDEX CONCURRENTLY, which waits for all older snapshots, the waiter's among them.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tradingengine.errors import DatabaseUnavailableError, TradingEngineError

LOCK_KEY: Final = 7_410_223_904_611_001
_POLL_SECONDS: Final = 0.5
Say = Callable[[str], None]


class MigrationError(TradingEngineError):
    """The schema could not be brought to this version; nothing of the failed revision was kept."""

    code = "migration"
    title = "The migration failed"


def alembic_config() -> Config:
    """Alembic's settings without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """The newest revision in the source."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise MigrationError("there is no migration in the source")
    return head


async def current_revision(url: str) -> str | None:
    """The revision of the database, None when it has none; DatabaseUnavailableError when it does not answer."""
    engine = _engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_revision_of)
    except (DBAPIError, OSError, TimeoutError) as error:
        raise DatabaseUnavailableError(f"Postgres did not answer: {_reason(error)}") from None
    finally:
        await engine.dispose()


async def upgrade(url: str, *, wait_seconds: float, say: Say) -> str:
    """Run all revisions that are missing and return the head; safe to repeat and to run twice at once.

    Waits up to `wait_seconds` for the database and again for the lock. DatabaseUnavailableError when the database did
    not answer, MigrationError when the lock or a revision failed.
    """
    engine = _engine(url)
    try:
        lock = await _connect(engine, wait_seconds, say)
        try:
            await _take_lock(lock, wait_seconds, say)
            async with engine.connect() as connection:
                before = await connection.run_sync(_revision_of)
                await connection.rollback()
                await _run(connection, before, say)
        finally:
            await lock.close()
    finally:
        await engine.dispose()
    return head_revision()


def _engine(url: str) -> AsyncEngine:
    scheme, _, rest = url.partition("://")
    del scheme
    return create_async_engine(
        f"postgresql+asyncpg://{rest}",
        poolclass=NullPool,
        connect_args={
            "timeout": 5,
            "server_settings": {"lock_timeout": "3000", "application_name": "te-migrate", "timezone": "UTC"},
        },
    )


async def _connect(engine: AsyncEngine, wait_seconds: float, say: Say) -> AsyncConnection:
    deadline, delay = time.monotonic() + wait_seconds, 0.5
    while True:
        try:
            return await engine.connect()
        except (DBAPIError, OSError, TimeoutError) as error:
            if time.monotonic() + delay > deadline:
                raise DatabaseUnavailableError(
                    f"Postgres did not answer within {wait_seconds:.0f} s: {_reason(error)}",
                    mend="Check TE_DATABASE_URL_FILE (or TE_DATABASE_URL) and that the database is running.",
                ) from None
            say(f"waiting for the database: {_reason(error)}")
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)


async def _take_lock(connection: AsyncConnection, wait_seconds: float, say: Say) -> None:
    deadline, said = time.monotonic() + wait_seconds, False
    while True:
        taken = await connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": LOCK_KEY})
        await connection.commit()
        if taken:
            return
        if time.monotonic() > deadline:
            raise MigrationError(f"another migration held the lock for more than {wait_seconds:.0f} s")
        if not said:
            say("waiting for another migration to end")
            said = True
        await asyncio.sleep(_POLL_SECONDS)


async def _run(connection: AsyncConnection, before: str | None, say: Say) -> None:
    head = head_revision()
    if before == head:
        say(f"the schema is at {head}: nothing to do")
        return
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if before is not None and before not in known:
        # A release before the one that made this schema: migrations only expand, so it works as it is.
        say(f"the schema is at {before}, newer than this version's {head}: nothing to do")
        return
    say(f"from {before or 'an empty database'} to {head}")
    started = time.monotonic()
    try:
        await connection.run_sync(_upgrade)
    except DBAPIError as error:
        raise MigrationError(f"a revision failed and was rolled back: {_reason(error)}") from error
    await connection.commit()
    say(f"the schema is at {head} ({time.monotonic() - started:.1f} s)")


def _upgrade(connection: Any) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision_of(connection: Any) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _reason(error: BaseException) -> str:
    """The first line of an error, which holds no connection string."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
