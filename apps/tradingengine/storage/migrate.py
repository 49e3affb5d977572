"""Bring a database to the schema of this version, in two phases.

Revisions stand in two chains, marked by the label of their first one. `expand` adds, so that the version before works
on; it runs before a release. `contract` takes away what only versions before this one needed; it runs once none of them
may serve again. Ids of contracts begin with `c` and carry the number of what they complete (`c0007` after `0007`), and
ids grow: that is how the operator, and a version that does not know them, tell them apart.

One runner works at a time, by an advisory lock that is polled: waiting for it inside one statement would deadlock
with CREATE INDEX CONCURRENTLY, which waits for all older snapshots, the waiter's among them.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tradingengine.errors import DatabaseUnavailableError, TradingEngineError

LOCK_KEY: Final = 7_410_223_904_611_001
_POLL_SECONDS: Final = 0.5
Say = Callable[[str], None]
Phase = Literal["expand", "contract"]
#: Folder of `env.py` and `versions`.
MIGRATIONS = Path(__file__).parent / "migrations"
CONTRACT_MARK: Final = "c"


class MigrationError(TradingEngineError):
    """The schema could not be brought to this version; nothing of the failed revision was kept."""

    code = "migration"
    title = "The migration failed"


def alembic_config() -> Config:
    """Alembic's settings without a file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def head_revision(phase: Phase = "expand") -> str:
    """The newest revision of a phase in the source; empty when there is no contract."""
    heads = [
        script.revision for script in _scripts() if script.is_head and phase in (script.branch_labels or {"expand"})
    ]
    if not heads and phase == "expand":
        raise MigrationError("there is no migration in the source")
    return heads[0] if heads else ""


async def current_revision(url: str) -> str | None:
    """The database's expand revision, None when it has none; DatabaseUnavailableError when it does not answer."""
    engine = _engine(url)
    try:
        async with engine.connect() as connection:
            return (await connection.run_sync(_revisions_of))[0]
    except (DBAPIError, OSError, TimeoutError) as error:
        raise DatabaseUnavailableError(f"Postgres did not answer: {_reason(error)}") from None
    finally:
        await engine.dispose()


async def upgrade(url: str, *, wait_seconds: float, say: Say, phase: Phase = "expand") -> str:
    """Run all revisions of a phase that are missing and return its head; safe to repeat and to run twice at once.

    A contract runs what it completes first. Waits up to `wait_seconds` for the database and again for the lock.
    DatabaseUnavailableError when the database did not answer, MigrationError when the lock or a revision failed, or a
    later version took away what this one needs.
    """
    engine = _engine(url)
    try:
        lock = await _connect(engine, wait_seconds, say)
        try:
            await _take_lock(lock, wait_seconds, say)
            async with engine.connect() as connection:
                before = await connection.run_sync(_revisions_of)
                await connection.rollback()
                await _run(connection, before, phase, say)
        finally:
            await lock.close()
    finally:
        await engine.dispose()
    return head_revision(phase)


def _scripts() -> list[Script]:
    return list(ScriptDirectory.from_config(alembic_config()).walk_revisions())


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


async def _run(connection: AsyncConnection, before: tuple[str | None, str], phase: Phase, say: Say) -> None:
    expanded, contracted = before
    known, head = {script.revision for script in _scripts()}, head_revision(phase)
    if contracted and contracted not in known:
        raise MigrationError(
            f"a later version contracted the schema to {contracted}, which takes away what this version needs",
            mend="Ask for that version or a later one, or restore a backup from before.",
        )
    later = expanded is not None and expanded not in known
    if later and phase == "expand":
        # A release before the one that made this schema: without a contract it works on it as it is.
        say(f"the schema is at {expanded}, newer than this version's {head_revision()}: nothing to do")
        return
    if (expanded if phase == "expand" else contracted) == head:
        say(f"the schema is at {head or 'no contract'}: nothing to do")
        return
    say(f"{phase} from {(expanded if phase == 'expand' else contracted) or 'an empty database'} to {head}")
    started = time.monotonic()
    try:
        # What a later release expanded holds this version's expansion, and not its contract.
        parts: tuple[Phase, ...] = (phase,) if phase == "expand" or later else ("expand", "contract")
        for part in parts:
            await connection.run_sync(_upgrade, part)
    except DBAPIError as error:
        raise MigrationError(f"a revision failed and was rolled back: {_reason(error)}") from error
    await connection.commit()
    say(f"the schema is at {head} ({time.monotonic() - started:.1f} s)")


def _upgrade(connection: Any, phase: Phase) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}

    def missing(heads: Any, _context: MigrationContext) -> list[MigrationStep]:
        # Alembic's own command refuses a database that knows a revision which the source does not.
        revisions = scripts.iterate_revisions(
            f"{phase}@head", tuple(head for head in heads if head in known), implicit_base=True
        )
        return [MigrationStep.upgrade_from_script(scripts.revision_map, entry) for entry in reversed(list(revisions))]

    with EnvironmentContext(config, scripts, fn=missing):
        scripts.run_env()


def _revisions_of(connection: Any) -> tuple[str | None, str]:
    """What the database was expanded to, None for an empty one, and contracted to, empty for not at all."""
    heads = MigrationContext.configure(connection).get_current_heads()
    contracts = [head for head in heads if head.startswith(CONTRACT_MARK)]
    return next((head for head in heads if head not in contracts), None), max(contracts, default="")


def _reason(error: BaseException) -> str:
    """The first line of an error, which holds no connection string."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
