"""Logins of the stores: one more is made valid beside the one in use, or every other one is closed.

Postgres knows one password for each role, so two login roles, members of the owner, take turns; Redis knows several
passwords of one user. No password is sent: Postgres is given what SCRAM keeps of it, Redis its hash.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import asyncpg
from redis.exceptions import AuthenticationError

from tradingengine.errors import DatabaseUnavailableError, TradingEngineError
from tradingengine.storage import streams
from tradingengine.storage.postgres import CONNECTION_ERRORS, Connection

_ITERATIONS: Final = 4096
_POLL_SECONDS: Final = 1.0
_MEMBERS: Final = """
select member.rolname from pg_auth_members
join pg_roles member on member.oid = pg_auth_members.member
where pg_auth_members.roleid = current_user::regrole and member.rolname <> session_user"""
#: A volume that was made before the login roles lets the owner in. Nothing, when it is the login in use itself.
_OWNER: Final = "select current_user where current_user <> session_user"
T = TypeVar("T")


class LoginError(TradingEngineError):
    """A login could not be made valid, or another one not be closed."""

    code = "login"
    title = "The login was not changed"


async def accept_in_database(current: str, other: str, *, wait_seconds: float) -> None:
    """Make the login of `other` valid, a role that acts as the owner; LoginError when it then cannot log in."""
    user, password = _user_of(other)
    connection = await _patiently(lambda: _connect(current), wait_seconds)
    try:
        async with connection.transaction():
            if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", user):
                await _run(connection, "create role %I in role %I", user, await _owner(connection))
            await _run(connection, "alter role %I set role = %L", user, await _owner(connection))
            await _run(connection, "alter role %I login password %L", user, scram_verifier(password))
            for owner in await connection.fetch(_OWNER):
                await _run(connection, "alter role %I nologin password null", owner[0])
    finally:
        await connection.close(timeout=5)
    trial = await _connect(other)
    await trial.close(timeout=5)


async def close_in_database(current: str, *, wait_seconds: float) -> int:
    """Close every login of the owner, its own too, but the one of `current`; returns how many sessions it ended."""
    connection = await _patiently(lambda: _connect(current), wait_seconds)
    try:
        others = [row[0] for query in (_MEMBERS, _OWNER) for row in await connection.fetch(query)]
        for user in others:
            await _run(connection, "alter role %I nologin password null", user)
        ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = any($1)"
        return int(await connection.fetchval(ended, others))
    finally:
        await connection.close(timeout=5)


async def accept_in_cache(current: str, other: str, *, wait_seconds: float) -> None:
    """Make the password of `other` valid as well; LoginError when it then cannot log in."""
    user, password = _user_of(other)
    await _patiently(lambda: _acl(current, "SETUSER", user, "on", f"#{_digest(password)}"), wait_seconds)
    await _acl(other, "WHOAMI")


async def close_in_cache(current: str, *, wait_seconds: float) -> None:
    """Leave the password of `current` as the only one of its user."""
    user, password = _user_of(current)
    await _patiently(lambda: _acl(current, "SETUSER", user, "resetpass", f"#{_digest(password)}"), wait_seconds)


def scram_verifier(password: str) -> str:
    """What Postgres keeps of a password (RFC 5803), which logs nobody in."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt_text}${stored_text}:{server_text}"


def _user_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


async def _connect(url: str) -> Connection:
    return await asyncpg.connect(url, timeout=5, command_timeout=30)


async def _owner(connection: Connection) -> str:
    return str(await connection.fetchval("select current_user"))


async def _run(connection: Connection, form: str, *names: str) -> None:
    """Run a statement of names that the server itself puts into quotes."""
    places = ", ".join(f"${number}::text" for number in range(2, len(names) + 2))
    await connection.execute(await connection.fetchval(f"select format($1, {places})", form, *names))


async def _acl(url: str, *words: str) -> Any:
    client = streams.command_client(url, timeout=5.0, name="te-store")
    try:
        return await client.execute_command("ACL", *words)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


async def _patiently(act: Callable[[], Awaitable[T]], wait_seconds: float) -> T:
    """Until it succeeds, while the store does not answer; a login that it refuses is not waited for."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return await act()
        except (asyncpg.InvalidAuthorizationSpecificationError, AuthenticationError) as error:
            raise LoginError(f"the login in use was refused: {type(error).__name__}") from None
        except (*CONNECTION_ERRORS, *streams.CACHE_ERRORS) as error:
            if time.monotonic() + _POLL_SECONDS > deadline:
                raise DatabaseUnavailableError(f"the store did not answer: {type(error).__name__}") from None
        await asyncio.sleep(_POLL_SECONDS)
