"""Brings what is seen of one namespace into its store, and tells the engines that it concerns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

from .store import Change, ObservedStore, version_of

#: Labels of every child of every engine; the engines themselves have none.
CHILDREN = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
#: Answers that say that a kind cannot be read, and not only now: forbidden, or unknown to the server.
_REFUSALS = frozenset({403, 404})
logger = logging.getLogger(__name__)


class Listed(Enum):
    """How a list went."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


class Listener(Protocol):
    """Who is told of changes."""

    def engine_event(self, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """An engine is new, changed or gone."""
        ...

    def child_event(self, kind: str, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """A child is new, changed or gone."""
        ...

    def kind_event(self, namespace: str, kind: str) -> None:
        """A kind can no longer be listed in a namespace, or can be again."""
        ...


class Feed:
    """The way into the store of one namespace."""

    def __init__(
        self, store: ObservedStore, client: KubernetesClient, listener: Listener, metrics: OperatorMetrics
    ) -> None:
        self.store = store
        self._client = client
        self._listener = listener
        self._metrics = metrics
        self._due: set[kinds.Kind] = set()
        self.more = asyncio.Event()

    @property
    def namespace(self) -> str:
        """The namespace."""
        return self.store.namespace

    def event(self, kind: kinds.Kind, manifest: dict[str, Any], *, gone: bool) -> None:
        """What a watch shows. That which is known already, for example from the answer to our own write, is no news."""
        news = self.store.drop(kind, manifest["metadata"]["name"], version_of(manifest)) if gone else None
        if news or (news is None and self.store.put(manifest)):
            self._tell(kind, Change(manifest, gone))

    def relist_soon(self, kind: kinds.Kind) -> None:
        """Asks for a list of our own: a watch was begun anew, and does not tell what went away while it was down."""
        self._due.add(kind)
        self.more.set()

    def take_due(self) -> set[kinds.Kind]:
        """The kinds that `relist_soon` was called for; they are no longer due."""
        due, self._due = self._due, set()
        self.more.clear()
        return due

    async def relist(self, kind: kinds.Kind) -> Listed:
        """One list of our own: what it lacks is gone. A refusal is kept as the reason why the kind is missing."""
        missing = kind.kind in self.store.missing
        try:
            listing = await self._client.listing(kind, self.namespace, None if kind == kinds.ENGINE else CHILDREN)
        except ApiError as error:
            refused = error.status in _REFUSALS
            if refused or missing:
                self._forbid(kind, error.message, refused)
            return Listed.REFUSED if refused else Listed.FAILED
        changes = self.store.replace(kind, listing.items, listing.version)
        if missing:
            self._allow(kind)
        for change in changes:
            self._tell(kind, change)
        return Listed.OK

    def _tell(self, kind: kinds.Kind, change: Change) -> None:
        if kind == kinds.ENGINE:
            self._listener.engine_event(change.manifest, gone=change.gone)
        else:
            self._listener.child_event(kind.kind, change.manifest, gone=change.gone)

    def _forbid(self, kind: kinds.Kind, why: str, refused: bool) -> None:
        self._metrics.unobserved.labels(self.namespace, kind.kind).set(1)
        if self.store.forbid(kind, why, refused=refused):
            logger.warning("namespace %s: %s cannot be listed, tried again: %s", self.namespace, kind.plural, why)
            self._listener.kind_event(self.namespace, kind.kind)

    def _allow(self, kind: kinds.Kind) -> None:
        self._metrics.unobserved.labels(self.namespace, kind.kind).set(0)
        self._listener.kind_event(self.namespace, kind.kind)
