"""`te user`: people who may log in. Passwords come from standard input and appear nowhere else."""

import argparse
import asyncio
import json
import re
import sys
from typing import Final
from uuid import uuid4

from tradingengine.config import load_settings
from tradingengine.errors import InvalidInputError, NotFoundError, UsageError
from tradingengine.security.passwords import check_strength, hash_password
from tradingengine.storage import audit, users
from tradingengine.storage.postgres import Database
from tradingengine.storage.users import User

_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,31}")
_ACTOR: Final = "te user"


def run(arguments: argparse.Namespace) -> int:
    """Carry out one act; 0 when done."""
    url = load_settings("migrations").database.written()
    return asyncio.run(_run(arguments, url))


async def _run(arguments: argparse.Namespace, url: str) -> int:
    database = Database(url, application_name="te-user", size=1)
    await database.open()
    try:
        if arguments.act == "list":
            return await _list(database, output=arguments.output)
        login = arguments.login.lower()
        if arguments.act == "add":
            return await _add(database, login, arguments)
        if arguments.act == "disable":
            return await _disable(database, login)
        return await _password(database, login)
    finally:
        await database.close()


def read_password() -> str:
    """One line of standard input without its line end; UsageError when there is none."""
    if sys.stdin.isatty():
        print("password: ", end="", file=sys.stderr, flush=True)  # noqa: T201
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("no password on standard input", mend="Pipe one line in: te user add asha < password-file")
    return password


async def _list(database: Database, *, output: str) -> int:
    async with database.connection() as connection:
        found = await users.everybody(connection)
    if output == "json":
        items = [{"login": u.login, "name": u.name, "roles": list(u.roles), "disabled": u.disabled} for u in found]
        print(json.dumps(items, ensure_ascii=False))  # noqa: T201
        return 0
    for user in found:
        print(f"{user.login:32} {','.join(user.roles):20} {'disabled' if user.disabled else '':9} {user.name}")  # noqa: T201
    return 0


async def _add(database: Database, login: str, arguments: argparse.Namespace) -> int:
    if not _LOGIN.fullmatch(login):
        raise InvalidInputError(f"{login!r} is not a login: 2 to 32 lower-case letters, digits, dots, dashes")
    password = read_password()
    check_strength(password, login=login)
    roles = tuple(dict.fromkeys(arguments.role or ["trader"]))
    user = User(id=str(uuid4()), login=login, name=arguments.name or login, roles=roles)
    async with database.transaction() as connection:
        made = await users.add(connection, user, hash_password(password))
        if made:
            await audit.record(
                connection, actor=_ACTOR, action="user.add", subject=login, payload={"roles": list(roles)}
            )
    if not made and not arguments.if_missing:
        raise UsageError(f"there is a user {login} already", mend="Use te user password, or --if-missing.")
    print(f"user {login} {'made' if made else 'exists'}", file=sys.stderr)  # noqa: T201
    return 0


async def _disable(database: Database, login: str) -> int:
    async with database.transaction() as connection:
        if not await users.disable(connection, login):
            raise NotFoundError(f"there is no user {login}")
        await audit.record(connection, actor=_ACTOR, action="user.disable", subject=login, payload={})
    print(f"user {login} disabled, sessions ended", file=sys.stderr)  # noqa: T201
    return 0


async def _password(database: Database, login: str) -> int:
    password = read_password()
    check_strength(password, login=login)
    async with database.transaction() as connection:
        if not await users.set_password(connection, login, hash_password(password)):
            raise NotFoundError(f"there is no user {login}")
        await audit.record(connection, actor=_ACTOR, action="user.password", subject=login, payload={})
    print(f"password of {login} set, sessions ended", file=sys.stderr)  # noqa: T201
    return 0
