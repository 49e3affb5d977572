"""SQL of users, sessions and login attempts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tradingengine.storage.postgres import Connection


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may log in."""

    id: str
    login: str
    name: str
    roles: tuple[str, ...]
    disabled: bool = False


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user with the hash of the password; never leaves the login."""

    user: User
    password_hash: str


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Failed logins within the window: of this login from this address, of the address, of the login."""

    pair: int
    address: int
    login: int


def _user_of(row: Mapping[str, Any]) -> User:
    return User(
        id=row["id"],
        login=row["login"],
        name=row["name"],
        roles=tuple(row["roles"]),
        disabled=row["disabled_at"] is not None,
    )


async def add(connection: Connection, user: User, password_hash: str) -> bool:
    """Make a user; False when the login exists."""
    status: str = await connection.execute(
        "insert into users (id, login, name, password_hash, roles) values ($1, $2, $3, $4, $5) "
        "on conflict (login) do nothing",
        user.id,
        user.login,
        user.name,
        password_hash,
        list(user.roles),
    )
    return status == "INSERT 0 1"


async def everybody(connection: Connection) -> list[User]:
    """All users by login."""
    rows = await connection.fetch("select id, login, name, roles, disabled_at from users order by login")
    return [_user_of(row) for row in rows]


async def credentials(connection: Connection, login: str) -> Credentials | None:
    """The user of a login with the password's hash, None when there is none."""
    row = await connection.fetchrow(
        "select id, login, name, roles, disabled_at, password_hash from users where login = $1", login
    )
    return Credentials(user=_user_of(row), password_hash=row["password_hash"]) if row is not None else None


async def disable(connection: Connection, login: str) -> bool:
    """Bar a user and end the sessions; False when there is no such login."""
    user_id = await connection.fetchval(
        "update users set disabled_at = coalesce(disabled_at, now()) where login = $1 returning id", login
    )
    if user_id is None:
        return False
    await end_sessions(connection, user_id)
    return True


async def set_password(connection: Connection, login: str, password_hash: str) -> bool:
    """Set a new password and end the sessions; False when there is no such login."""
    user_id = await connection.fetchval(
        "update users set password_hash = $2, password_changed_at = now() where login = $1 returning id",
        login,
        password_hash,
    )
    if user_id is None:
        return False
    await end_sessions(connection, user_id)
    return True


async def rehash(connection: Connection, user_id: str, password_hash: str) -> None:
    """Replace a hash made with older parameters."""
    await connection.execute("update users set password_hash = $2 where id = $1", user_id, password_hash)


async def start_session(connection: Connection, user_id: str, token_hash: bytes, expires_at: datetime) -> None:
    """Open a session that lasts until `expires_at` at most, and remove those that ended a day ago."""
    await connection.execute(
        "insert into sessions (token_hash, user_id, expires_at) values ($1, $2, $3)", token_hash, user_id, expires_at
    )
    await connection.execute("delete from sessions where expires_at < now() - interval '1 day'")


async def session_user(connection: Connection, token_hash: bytes, idle: timedelta) -> User | None:
    """The user of a live session, None when it ended, was idle for too long, or its user is disabled.

    Being used keeps a session from going idle; that is written once a minute at most.
    """
    row = await connection.fetchrow(
        "select u.id, u.login, u.name, u.roles, u.disabled_at, s.last_seen_at < now() - interval '1 minute' as due "
        "from sessions s join users u on u.id = s.user_id where s.token_hash = $1 and s.revoked_at is null "
        "and s.expires_at > now() and s.last_seen_at > now() - $2::interval and u.disabled_at is null",
        token_hash,
        idle,
    )
    if row is None:
        return None
    if row["due"]:
        await connection.execute("update sessions set last_seen_at = now() where token_hash = $1", token_hash)
    return _user_of(row)


async def end_session(connection: Connection, token_hash: bytes) -> None:
    """Log out."""
    await connection.execute(
        "update sessions set revoked_at = now() where token_hash = $1 and revoked_at is null", token_hash
    )


async def end_sessions(connection: Connection, user_id: str) -> None:
    """Log out everywhere."""
    await connection.execute(
        "update sessions set revoked_at = now() where user_id = $1 and revoked_at is null", user_id
    )


async def failures(connection: Connection, login: str, address: str, window: timedelta) -> Failures:
    """Failed logins within the last `window`."""
    row = await connection.fetchrow(
        "select count(*) filter (where login = $1 and address = $2) as pair, "
        "count(*) filter (where address = $2) as address, count(*) filter (where login = $1) as login "
        "from login_attempts where not succeeded and at > now() - $3::interval and (login = $1 or address = $2)",
        login,
        address,
        window,
    )
    return Failures(pair=row["pair"], address=row["address"], login=row["login"])


async def begin_attempt(connection: Connection, login: str, address: str) -> int:
    """Count a login attempt as failed before the password is looked at; its id.

    Those that run at the same time see each other so, and many at once get no more tries than one after the other.
    """
    return int(
        await connection.fetchval(
            "insert into login_attempts (login, address, succeeded) values ($1, $2, false) returning id",
            login[:64],
            address,
        )
    )


async def attempt_succeeded(connection: Connection, attempt: int) -> None:
    """The password was right."""
    await connection.execute("update login_attempts set succeeded = true where id = $1", attempt)


async def forget_attempt(connection: Connection, attempt: int) -> None:
    """The password was not looked at: the attempt does not count."""
    await connection.execute("delete from login_attempts where id = $1", attempt)
