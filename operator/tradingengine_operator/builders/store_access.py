"""How programs get into a store of ours: the last accepted login, and while a password changes the next one as well.

It stands in a Secret that the operator alone writes. The Secret that people may edit is only a wish.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from . import names
from .context import EngineContext

Store = Literal["database", "cache"]
#: `accepting`: the next password is made valid. `spreading`: it is in use, and the old one still valid. `closing`: the
#: old one is made invalid.
Stage = Literal["settled", "accepting", "spreading", "closing"]

STORES: tuple[Store, ...] = ("database", "cache")
#: Owner of the database and of everything in it; nobody logs in as it.
DATABASE_OWNER = "tradingengine"
DATABASE_NAME = "tradingengine"
#: Login roles of the database that take turns, since Postgres knows one password for each.
DATABASE_LOGINS = ("te_a", "te_b")
#: The user of the cache, which may have two passwords.
CACHE_USER = "tradingengine"
_STAGES: tuple[Stage, ...] = ("settled", "accepting", "spreading", "closing")


@dataclass(frozen=True)
class Login:
    """A user and its password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user})"


@dataclass(frozen=True)
class StoreAccess:
    """Who gets into a store. `now` is in every pod's hands, or on its way there.

    `other` is the next login while it is made valid, and the one before until it is made invalid. `turn` counts
    changes. `refused` is the reason for which a change was put back last, at `refused_at`.
    """

    now: Login
    other: Login | None = None
    turn: int = 0
    stage: Stage = "settled"
    since: datetime | None = None
    refused: str = ""
    refused_at: datetime | None = None


def first_access(store: Store, password: str) -> StoreAccess:
    """Of a store that begins."""
    return StoreAccess(Login(DATABASE_LOGINS[0] if store == "database" else CACHE_USER, password))


def next_login(store: Store, current: str, password: str) -> Login:
    """The login that a new password is given to."""
    if store == "cache":
        return Login(CACHE_USER, password)
    return Login(next(user for user in DATABASE_LOGINS if user != current), password)


def uri(ctx: EngineContext, store: Store, login: Login) -> str:
    """Address of a store with a login."""
    who = f"{login.user}:{quote(login.password, safe='')}"
    if store == "database":
        host = names.database_host(ctx.name, ctx.namespace)
        return f"postgresql://{who}@{host}:{names.DATABASE_PORT}/{DATABASE_NAME}"
    return f"redis://{who}@{names.cache_host(ctx.name, ctx.namespace)}:{names.CACHE_PORT}/0"


def access_values(ctx: EngineContext, store: Store, access: StoreAccess) -> dict[str, str]:
    """The Secret's values: programs mount `uri`, the store its own; the rest is what the operator remembers."""
    values = {
        "uri": uri(ctx, store, access.now),
        "username": access.now.user,
        "password": access.now.password,
        "other": uri(ctx, store, access.other) if access.other is not None else "",
        "turn": str(access.turn),
        "stage": access.stage,
        "since": access.since.isoformat() if access.since is not None else "",
        "refused": access.refused,
        "refused-at": access.refused_at.isoformat() if access.refused_at is not None else "",
    }
    if store == "cache":
        values["redis.conf"] = _redis_conf(access)
    return values


def parse_access(values: Mapping[str, str]) -> StoreAccess | None:
    """What a Secret says, None when its address cannot be read. The address alone is enough: people may restore it."""
    now, other = _login(values.get("uri", "")), _login(values.get("other", ""))
    if now is None:
        return None
    stage: Stage = next((stage for stage in _STAGES if stage == values.get("stage")), "settled")
    turn = values.get("turn", "")
    since, refused_at = _time(values.get("since", "")), _time(values.get("refused-at", ""))
    if stage == "settled" or since is None or (stage == "accepting" and other is None):
        stage, since, other = "settled", None, None
    refused = values.get("refused", "") if refused_at is not None else ""
    return StoreAccess(now, other, int(turn) if turn.isdecimal() else 0, stage, since, refused, refused_at)


def _login(text: str) -> Login | None:
    try:
        parts = urlsplit(text.strip())
        user, password = parts.username, parts.password
    except ValueError:
        return None
    return Login(unquote(user), unquote(password)) if user and password else None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _redis_conf(access: StoreAccess) -> str:
    """Who gets in stands here and not only in the server's memory, so that a restart in mid-change forgets nobody."""
    logins = [access.now]
    if access.stage in {"accepting", "spreading"} and access.other is not None:
        logins.append(access.other)
    hashes = " ".join(f"#{hashlib.sha256(login.password.encode()).hexdigest()}" for login in logins)
    # Nothing may be evicted: streams carry orders, so a full cache must refuse rather than forget.
    lines = [
        "bind * -::*",
        # The mode would refuse everybody else on account of a default user without password, who may only ping.
        "protected-mode no",
        f"port {names.CACHE_PORT}",
        "dir /data",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        "user default on nopass resetkeys resetchannels -@all +ping",
        f"user {CACHE_USER} on {hashes} ~* &* +@all",
    ]
    return "\n".join(lines) + "\n"
