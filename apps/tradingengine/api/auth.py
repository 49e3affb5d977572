"""Who asks, and whether they may."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import APIKeyCookie
from starlette.requests import HTTPConnection, Request

from tradingengine.api.problems import CrossOriginError, ForbiddenError, NotLoggedInError
from tradingengine.api.state import ApiState, State
from tradingengine.control.middleware import is_safe
from tradingengine.security import sessions
from tradingengine.security.origin import same_origin
from tradingengine.security.probing import LOGIN, ROLES, is_prober
from tradingengine.security.roles import Permission, allowed
from tradingengine.storage import users
from tradingengine.storage.users import User

_cookie = APIKeyCookie(
    name=sessions.COOKIE, scheme_name="session", description="From `POST /v1/session`.", auto_error=False
)


PROBER: Final = User(id=str(UUID(int=0)), login=LOGIN, name="The prober", roles=ROLES)
"""Stands in no table: whatever would be stored under its id is refused."""


def check_origin(connection: HTTPConnection) -> None:
    """Raise CrossOriginError when a page of another site sent this."""
    headers = connection.headers
    if not same_origin(headers.get("origin"), headers.get("host"), fetch_site=headers.get("sec-fetch-site")):
        raise CrossOriginError("The Origin header names another site.")


async def same_origin_only(request: Request) -> None:
    """For unsafe methods that need no session."""
    check_origin(request)


async def session_user(state: ApiState, token: str | None) -> User | None:
    """The user of a session token, None when there is no live session."""
    if not token:
        return None
    async with state.database.connection() as connection:
        return await users.session_user(connection, sessions.token_hash(token), sessions.IDLE)


async def current_user(request: Request, state: State, token: Annotated[str | None, Security(_cookie)] = None) -> User:
    """The person who asks; NotLoggedInError when nobody is logged in."""
    if not is_safe(request.method):
        check_origin(request)
    if is_prober(request.headers, state.settings.current_probe_token()):
        return PROBER
    user = await session_user(state, token)
    if user is None:
        raise NotLoggedInError("There is no session, or it is over.", mend="POST /v1/session with login and password.")
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def _needs(permission: Permission) -> Callable[[User], Awaitable[User]]:
    async def check(user: CurrentUser) -> User:
        if not allowed(user.roles, permission):
            raise ForbiddenError(
                f"{user.login} has the roles {', '.join(user.roles)}, which do not allow {permission}.",
                mend="Ask an admin for the role trader.",
            )
        return user

    return check


Reader = Annotated[User, Depends(_needs(Permission.READ))]
Trader = Annotated[User, Depends(_needs(Permission.TRADE))]
DryRunner = Annotated[User, Depends(_needs(Permission.DRY_RUN))]
Halter = Annotated[User, Depends(_needs(Permission.HALT))]
Releaser = Annotated[User, Depends(_needs(Permission.RELEASE_HALT))]
