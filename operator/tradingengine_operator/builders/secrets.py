"""Secrets that the operator generates: each value once, and kept for as long as it exists."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from . import names
from .context import EngineContext, Manifest
from .store_access import Store, StoreAccess, access_values, uri


class SecretData(dict[str, str]):
    """Data of a Secret whose text never shows a value."""

    def __repr__(self) -> str:
        return f"SecretData({', '.join(sorted(self))})"

    __str__ = __repr__


def build_control_secret(ctx: EngineContext, token: str) -> Manifest:
    """The token of the control API."""
    return _secret(ctx, names.control_secret(ctx.name), "config", {"token": token}, owned=True)


def build_prober_secret(ctx: EngineContext, token: str) -> Manifest:
    """The prober's token: it opens reading and dry runs."""
    return _secret(ctx, names.prober(ctx.name), "prober", {"token": token}, owned=True)


def build_wish(ctx: EngineContext, store: Store, access: StoreAccess, wish: str) -> Manifest:
    """The Secret of a store that people may edit: the password that is asked for, and the login in force.

    It has no owner, as the access has none: credentials are worth as much as the volume, and the end of the engine
    decides about both.
    """
    values = {"username": access.now.user, "password": wish, "uri": uri(ctx, store, access.now)}
    return _secret(ctx, names.store(ctx.name, store), store, values, owned=False)


def build_store_access(ctx: EngineContext, store: Store, access: StoreAccess) -> Manifest:
    """The Secret of a store that the operator alone writes, and that pods mount."""
    return _secret(ctx, names.store_access(ctx.name, store), store, access_values(ctx, store, access), owned=False)


def _secret(
    ctx: EngineContext, name: str, component: names.Component, values: Mapping[str, str], *, owned: bool
) -> Manifest:
    metadata = ctx.metadata(name, component, owned=owned)
    metadata["labels"] = metadata["labels"] | {names.LABEL_USE: ctx.name}
    data = SecretData({key: base64.b64encode(value.encode()).decode() for key, value in values.items()})
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
