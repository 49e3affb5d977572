"""Secrets that the operator generates: each value once, and kept for as long as it exists."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from urllib.parse import quote

from . import names
from .context import EngineContext, Manifest

DATABASE_USER = "tradingengine"
DATABASE_NAME = "tradingengine"


class SecretData(dict[str, str]):
    """Data of a Secret whose text never shows a value."""

    def __repr__(self) -> str:
        return f"SecretData({', '.join(sorted(self))})"

    __str__ = __repr__


def build_secrets(
    ctx: EngineContext, existing: Mapping[str, Mapping[str, str]], generate: Callable[[], str]
) -> list[Manifest]:
    """Secrets of database, cache and control API.

    `existing` maps a Secret's name to its decoded values, as read from the cluster; `generate` makes a new password.
    A managed database or cache has no Secret of ours. The credentials of volumes have no owner, since they are worth as
    much as the volume: the end of the engine decides about both, by the policy in force then.
    """
    secrets = []
    if ctx.spec.database.type == "embedded":
        name = names.database(ctx.name)
        password = existing.get(name, {}).get("password") or generate()
        secrets.append(_secret(ctx, name, "database", _database_values(ctx, password), owned=False))
    if ctx.spec.cache.type == "embedded":
        name = names.cache(ctx.name)
        password = existing.get(name, {}).get("password") or generate()
        secrets.append(_secret(ctx, name, "cache", _cache_values(ctx, password), owned=False))
    name = names.control_secret(ctx.name)
    token = existing.get(name, {}).get("token") or generate()
    secrets.append(_secret(ctx, name, "config", {"token": token}, owned=True))
    return secrets


def _database_values(ctx: EngineContext, password: str) -> dict[str, str]:
    host = names.database_host(ctx.name, ctx.namespace)
    uri = f"postgresql://{DATABASE_USER}:{quote(password, safe='')}@{host}:{names.DATABASE_PORT}/{DATABASE_NAME}"
    return {"username": DATABASE_USER, "password": password, "uri": uri}


def _cache_values(ctx: EngineContext, password: str) -> dict[str, str]:
    host = names.cache_host(ctx.name, ctx.namespace)
    uri = f"redis://:{quote(password, safe='')}@{host}:{names.CACHE_PORT}/0"
    return {"password": password, "uri": uri, "redis.conf": _redis_conf(password)}


def _redis_conf(password: str) -> str:
    # Nothing may be evicted: streams carry orders, so a full cache must refuse rather than forget.
    lines = [
        "bind * -::*",
        f"port {names.CACHE_PORT}",
        "dir /data",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        f"requirepass {password}",
    ]
    return "\n".join(lines) + "\n"


def _secret(
    ctx: EngineContext, name: str, component: names.Component, values: Mapping[str, str], *, owned: bool
) -> Manifest:
    metadata = ctx.metadata(name, component, owned=owned)
    metadata["labels"] = metadata["labels"] | {names.LABEL_USE: ctx.name}
    data = SecretData({key: base64.b64encode(value.encode()).decode() for key, value in values.items()})
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
