"""The one hand that writes children in a pass: what is written is seen as written at once, and not pruned after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import LeaseLostError, OperatorError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind, kind_of
from tradingengine_operator.plan.objects import Key, key_of
from tradingengine_operator.plan.ownership import require_ours
from tradingengine_operator.runtime.observe.reader import Reader

from .children import Children


class ChildWriter:
    """Writes one engine's children. `seen` are the children as this pass knows them, its own writes included.

    `asked` are those that somebody applied in this pass. A child of a kind that cannot be read is not written either
    (UnreadError): nobody knows what would be overwritten.
    """

    def __init__(
        self, client: KubernetesClient, reader: Reader, applier: Applier, namespace: str, seen: Children
    ) -> None:
        self._client = client
        self._reader = reader
        self._applier = applier
        self._namespace = namespace
        self.seen = seen
        self.asked: set[Key] = set()

    async def refresh(self) -> Children:
        """Reads the children again."""
        self.seen = await self._reader.children(self._namespace, self.seen.engine)
        return self.seen

    async def ensure(self, manifest: Manifest) -> Manifest:
        """Applies a child if it is not yet as wanted, and keeps it from being pruned.

        NameTakenError when an object of somebody else has the name: children are seen by their labels, so that one has
        to be looked for by name before anything is made.
        """
        key, kind = key_of(manifest), kind_of(manifest)
        self.asked.add(key)
        observed = self.seen.get(kind, key.name) or await self._client.get(kind, self._namespace, key.name)
        if observed is not None:
            require_ours(observed, manifest)
        applied, written = await self._applier.ensure(manifest, observed)
        if written or self.seen.get(kind, key.name) is not observed:
            self.seen = self.seen.holding(applied)
        return applied

    async def ensure_all(self, manifests: Iterable[Manifest]) -> None:
        """Applies children in order. One that is refused does not stop the others; the first refusal is raised."""
        refused: OperatorError | None = None
        for manifest in manifests:
            try:
                await self.ensure(manifest)
            except LeaseLostError:
                raise
            except OperatorError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    async def create(self, manifest: Manifest) -> Manifest:
        """Creates a child; ConflictError when it exists."""
        created = await self._client.create(manifest)
        self.seen = self.seen.holding(created)
        return created

    async def scale(self, kind: Kind, name: str, replicas: int) -> None:
        """Sets the replicas of a workload."""
        await self._client.scale(kind, self._namespace, name, replicas)
        known = self.seen.get(kind, name)
        if known is not None:
            self.seen = self.seen.holding({**known, "spec": {**known["spec"], "replicas": replicas}})

    async def patch(self, kind: Kind, name: str, patch: Manifest) -> Manifest:
        """JSON merge patch."""
        patched = await self._client.merge_patch(kind, self._namespace, name, patch)
        self.seen = self.seen.holding(patched)
        return patched

    async def json_patch(self, kind: Kind, name: str, operations: list[Manifest]) -> Manifest:
        """JSON Patch; ConflictError when somebody wrote in between."""
        patched = await self._client.json_patch(kind, self._namespace, name, operations)
        self.seen = self.seen.holding(patched)
        return patched

    async def reread(self, kind: Kind, name: str) -> Manifest | None:
        """One child as the API server has it now, None when it is gone."""
        found = await self._client.get(kind, self._namespace, name)
        key = Key(kind.kind, name)
        self.seen = self.seen.holding(_typed(kind, found)) if found is not None else self.seen.without(key)
        return found

    async def delete(self, kind: Kind, manifest: Manifest) -> None:
        """Deletes this very child, and what belongs to it. A pod stays seen, since it takes its time to end.

        So does a child whose deletion was refused since another object has its name: the next pass sees what is there.
        """
        metadata = manifest["metadata"]
        key = Key(kind.kind, metadata["name"])
        deleted = await self._client.delete(kind, self._namespace, key.name, uid=metadata["uid"])
        if not deleted and await self._client.get(kind, self._namespace, key.name) is not None:
            return
        self._applier.forget(self._namespace, key)
        if kind != kinds.POD:
            self.seen = self.seen.without(key)


def _typed(kind: Kind, manifest: dict[str, Any]) -> Manifest:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
