"""Logging in: slow for an attacker, equal for known and unknown names, bounded in attempts."""

import logging
from datetime import UTC, datetime
from typing import Any

from tradingengine.api.problems import NotLoggedInError, TooManyAttemptsError
from tradingengine.api.state import ApiState
from tradingengine.security import limits, sessions
from tradingengine.security.passwords import TooManyWaitingError, needs_rehash
from tradingengine.storage import audit, users
from tradingengine.storage.users import Credentials, User

log = logging.getLogger(__name__)


class WrongLoginError(NotLoggedInError):
    """Login or password is wrong, or the user is disabled; which of them is not said."""

    code = "wrong_login"
    title = "Login or password is wrong"


def session_document(state: ApiState, user: User) -> dict[str, Any]:
    """Session."""
    settings = state.settings
    return {
        "user": {"login": user.login, "name": user.name, "roles": list(user.roles)},
        "engine": {
            "name": settings.engine.engine,
            "mode": settings.engine.mode,
            "environment": settings.engine.environment,
            "version": settings.version,
            "release": settings.release,
            "slot": settings.slot,
        },
    }


async def log_in(state: ApiState, login: str, password: str, address: str) -> tuple[User, str]:
    """The user and a new session token; WrongLoginError, or TooManyAttemptsError before the password is looked at."""
    login = login.strip().lower()
    async with state.database.connection() as connection:
        found = await users.credentials(connection, login)
        name = limits.attempt_name(login, exists=found is not None, secret=state.settings.current_control_token())
        attempt = await users.begin_attempt(connection, name, address)
        failed = await users.failures(connection, name, address, limits.WINDOW)
        # This attempt is among them.
        if limits.too_many(failed.pair - 1, failed.address - 1, failed.login - 1):
            await users.forget_attempt(connection, attempt)
            raise _limited(state)
    try:
        right = await state.passwords.verify(found.password_hash if found is not None else None, password)
    except TooManyWaitingError:
        state.metrics.logins.labels("limited").inc()
        async with state.database.connection() as connection:
            await users.forget_attempt(connection, attempt)
        raise
    if found is None or not right or found.user.disabled:
        state.metrics.logins.labels("failed").inc()
        known = {"login": found.user.login} if found is not None else {}
        log.info("a login failed", extra={"address": address, **known})
        raise WrongLoginError("Login or password is wrong.", mend="An admin can set a new one: te user password LOGIN.")
    return found.user, await _open(state, found, password, address, attempt)


def _limited(state: ApiState) -> TooManyAttemptsError:
    state.metrics.logins.labels("limited").inc()
    seconds = int(limits.WINDOW.total_seconds())
    return TooManyAttemptsError(
        "Too many failed logins from here.", mend="Wait five minutes.", headers={"retry-after": str(seconds)}
    )


async def _open(state: ApiState, found: Credentials, password: str, address: str, attempt: int) -> str:
    user, token = found.user, sessions.new_token()
    rehashed = await state.passwords.hash(password) if needs_rehash(found.password_hash) else None
    async with state.database.transaction() as connection:
        if rehashed is not None:
            await users.rehash(connection, user.id, rehashed)
        await users.start_session(
            connection, user.id, sessions.token_hash(token), datetime.now(UTC) + sessions.ABSOLUTE
        )
        await users.attempt_succeeded(connection, attempt)
        await audit.record(
            connection, actor=user.login, action="session.open", subject=user.login, payload={"address": address}
        )
    state.metrics.logins.labels("succeeded").inc()
    return token


async def log_out(state: ApiState, token: str | None) -> None:
    """End the session of a token, if there is one."""
    if token:
        async with state.database.connection() as connection:
            await users.end_session(connection, sessions.token_hash(token))
