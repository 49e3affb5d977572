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
        """The engine as it was last seen, None when it is not there; UnreadError when that cannot be known."""
        ...

    def unread(self, namespace: str) -> UnreadError | None:
        """Why the engines of a namespace cannot be read now, so that one may have been changed since it was seen."""
        ...

    async def children(self, namespace: str, engine: str) -> Children:
        """The children of an engine."""
        ...

    async def engines(self, namespace: str) -> list[Manifest]:
        """All engines of a namespace; ApiError or UnreadError when they are not known."""
        ...

    async def routes(self, namespace: str) -> list[Manifest]:
        """The routes of all engines of a namespace; ApiError or UnreadError when they are not known."""
        ...


class ListReader:
    """Asks the API server each time; for `run --once`."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def engine(self, namespace: str, name: str) -> Manifest | None:
        """One GET."""
        return await self._client.get(kinds.ENGINE, namespace, name)

    def unread(self, _namespace: str) -> UnreadError | None:
        """What cannot be read is an error of whoever asks."""
        return None

    async def children(self, namespace: str, engine: str) -> Children:
        """One list of each kind."""
        return await read_children(self._client, namespace, engine)

    async def engines(self, namespace: str) -> list[Manifest]:
        """One list."""
        return await self._client.list_all(kinds.ENGINE, namespace)

    async def routes(self, namespace: str) -> list[Manifest]:
        """One list."""
        return await self._client.list_all(kinds.ROUTE, namespace)


class StoreReader:
    """Asks nobody: what was observed is at hand."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def engine(self, namespace: str, name: str) -> Manifest | None:
        """From the store, as it was last seen while engines cannot be listed."""
        store = self._stores[namespace]
        found = store.engine(name)
        if found is None:
            store.require(kinds.ENGINE)
        return found

    def unread(self, namespace: str) -> UnreadError | None:
        """Why its engines cannot be listed."""
        try:
            self._stores[namespace].require(kinds.ENGINE)
        except UnreadError as error:
            return error
        return None

    async def children(self, namespace: str, engine: str) -> Children:
        """From the store."""
        store = self._stores[namespace]
        return Children(engine, store.children(engine), store.missing)

    async def engines(self, namespace: str) -> list[Manifest]:
        """From the store."""
        store = self._stores[namespace]
        store.require(kinds.ENGINE)
        return store.engines()

    async def routes(self, namespace: str) -> list[Manifest]:
        """From the store."""
        store = self._stores[namespace]
        store.require(kinds.ROUTE)
        return store.routes()
