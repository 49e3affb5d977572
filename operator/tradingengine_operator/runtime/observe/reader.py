"""Where a pass reads: from the stores that watches feed, or from lists of its own when nothing is watched."""

from __future__ import annotations

from typing import Protocol

from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import UnreadError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.children import Children, read_children

from .store import Stores


class Reader(Protocol):
    """Engines and their children as a pass sees them. What it hands out must not be changed."""

    async def engine(self, namespace: str, name: str) -> Manifest | None:
        """The engine, None when it is not there; UnreadError when that cannot be known."""
        ...

    async def children(self, namespace: str, engine: str) -> Children:
        """The children of an engine."""
        ...


class ListReader:
    """Asks the API server each time; for `run --once`."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def engine(self, namespace: str, name: str) -> Manifest | None:
        """One GET."""
        return await self._client.get(kinds.ENGINE, namespace, name)

    async def children(self, namespace: str, engine: str) -> Children:
        """One list of each kind."""
        return await read_children(self._client, namespace, engine)


class StoreReader:
    """Asks nobody: what was observed is at hand."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def engine(self, namespace: str, name: str) -> Manifest | None:
        """From the store. While engines cannot be listed nothing is done, since a person may have changed one."""
        store = self._stores[namespace]
        why = store.missing.get(kinds.ENGINE.kind)
        if why is not None:
            raise UnreadError(kinds.ENGINE.plural, why)
        return store.engine(name)

    async def children(self, namespace: str, engine: str) -> Children:
        """From the store."""
        store = self._stores[namespace]
        return Children(engine, store.children(engine), store.missing)
