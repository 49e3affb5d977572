"""What watches, lists and our own writes have shown of one namespace, so that a pass asks the API server for nothing.

Three sources feed a store and none of them is in step with the others: events of a watch, the answers of our own
writes, and lists. Which of two states of an object is the newer one is told by `resourceVersion`, compared as an
integer. Kubernetes promises that order since 1.35 (before, it was only so): versions are the revisions of etcd, which
grow with every write, so within one kind the greater one is always the later one.

A stored object is never changed: whoever reads it must not change it either, and gets a newer one when there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.errors import UnreadError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key, key_of, slim

#: Kinds that a store holds: engines, and the children that are watched.
OBSERVED: tuple[kinds.Kind, ...] = (kinds.ENGINE, *kinds.WATCHED)
NOT_LISTED = "it was not listed yet"
_OBSERVED_NAMES = frozenset(kind.kind for kind in OBSERVED)


class Change(NamedTuple):
    """An object that is new or newer than what was known, or that is gone."""

    manifest: Manifest
    gone: bool


class ObservedStore:
    """Engines of one namespace and their children, as last seen."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._objects: dict[Key, Manifest] = {}
        self._children: dict[str, dict[Key, Manifest]] = {}
        #: Version at which an object was last seen to be gone; what is not newer than that does not bring it back.
        self._gone: dict[Key, int] = {}
        #: Version of the newest list of each kind: what it lacked and is not newer is gone.
        self._listed: dict[str, int] = {}
        self._missing: dict[str, str] = dict.fromkeys(sorted(_OBSERVED_NAMES), NOT_LISTED)
        self._refused: set[str] = set()

    def put(self, manifest: Manifest) -> bool:
        """Takes a state in; True when it is news: of an object that was not there, or newer than what was."""
        if manifest.get("kind") not in _OBSERVED_NAMES:
            return False
        key, version = key_of(manifest), version_of(manifest)
        old = self._objects.get(key)
        known = version_of(old) if old is not None else self._listed.get(key.kind, -1) + 1
        if version < known or version <= self._gone.get(key, -1):
            return False
        self._gone.pop(key, None)
        self._keep(key, manifest)
        return old is None or version > version_of(old)

    def drop(self, kind: kinds.Kind, name: str, version: int | None = None) -> bool:
        """An object is gone, since `version` or since what was last seen of it. True when it was there."""
        key = Key(kind.kind, name)
        old = self._objects.get(key)
        if version is not None and old is not None and version < version_of(old):
            return False  # an object of that name was made again since
        known = version_of(old) if old is not None else -1
        self._gone[key] = max(known if version is None else version, self._gone.get(key, -1))
        if old is not None:
            self._remove(key)
        return old is not None

    def replace(self, kind: kinds.Kind, listing: Iterable[Manifest], version: int) -> list[Change]:
        """Takes a whole list in, which is as of `version`; what changed by it.

        What the list lacks is gone, unless it is newer than the list. The kind counts as listed from now on.
        """
        changes, listed = list[Change](), set[Key]()
        for manifest in listing:
            listed.add(key_of(manifest))
            if self.put(manifest):
                changes.append(Change(manifest, gone=False))
        for key, manifest in [entry for entry in self._objects.items() if entry[0].kind == kind.kind]:
            if key not in listed and version_of(manifest) <= version:
                changes.append(Change(manifest, gone=True))
                self._remove(key)
        self._listed[kind.kind] = max(version, self._listed.get(kind.kind, -1))
        self._gone = {key: gone for key, gone in self._gone.items() if key.kind != kind.kind or gone > version}
        self._missing.pop(kind.kind, None)
        self._refused.discard(kind.kind)
        return changes

    def forbid(self, kind: kinds.Kind, why: str, *, refused: bool = True) -> bool:
        """A kind cannot be listed; True when that is news. `refused` tells what may not be from what fails."""
        news = self._missing.get(kind.kind) != why
        self._missing[kind.kind] = why
        (self._refused.add if refused else self._refused.discard)(kind.kind)
        return news

    def require(self, kind: kinds.Kind) -> None:
        """UnreadError with the reason when a kind was not listed, or no longer can be."""
        why = self._missing.get(kind.kind)
        if why is not None:
            raise UnreadError(kind.plural, why, refused=kind.kind in self._refused)

    def rescale(self, kind: kinds.Kind, answer: Mapping[str, Any]) -> None:
        """Takes in the answer of `/scale`, which tells replicas and version, and nothing else of the object.

        The event of that write has the same version, so it replaces this with the whole truth.
        """
        old = self._objects.get(Key(kind.kind, answer["metadata"]["name"]))
        if old is None or version_of(answer) <= version_of(old):
            return
        metadata = {**old["metadata"], "resourceVersion": answer["metadata"]["resourceVersion"]}
        spec = {**old["spec"], "replicas": int((answer.get("spec") or {}).get("replicas") or 0)}
        self.put({**old, "metadata": metadata, "spec": spec})

    @property
    def missing(self) -> Mapping[str, str]:
        """Kinds that were not listed, or no longer can be, each with the reason."""
        return MappingProxyType(dict(self._missing))

    def engine(self, name: str) -> Manifest | None:
        """An engine, None when it is not there."""
        return self._objects.get(Key(kinds.ENGINE.kind, name))

    def engines(self) -> list[Manifest]:
        """All engines."""
        return [manifest for key, manifest in self._objects.items() if key.kind == kinds.ENGINE.kind]

    def routes(self) -> list[Manifest]:
        """The routes of all engines."""
        return [manifest for key, manifest in self._objects.items() if key.kind == kinds.ROUTE.kind]

    def children(self, engine: str) -> Mapping[Key, Manifest]:
        """Children of an engine as they are now; what comes later does not change it.

        Of a kind that is `missing` it has what was last seen, which may be gone or changed since.
        """
        return MappingProxyType(dict(self._children.get(engine, {})))

    def __iter__(self) -> Iterator[Manifest]:
        return iter(list(self._objects.values()))

    def _keep(self, key: Key, manifest: Manifest) -> None:
        self._remove(key)  # it may have been another engine's
        if key.kind != kinds.ENGINE.kind:
            manifest = slim(manifest)
        self._objects[key] = manifest
        if key.kind != kinds.ENGINE.kind:
            self._children.setdefault(engine_of(manifest), {})[key] = manifest

    def _remove(self, key: Key) -> None:
        old = self._objects.pop(key, None)
        if old is None or key.kind == kinds.ENGINE.kind:
            return
        engine = engine_of(old)
        children = self._children.get(engine, {})
        children.pop(key, None)
        if not children:
            self._children.pop(engine, None)


class Stores:
    """The stores of all namespaces; it takes the answers of our own writes in."""

    def __init__(self, namespaces: Iterable[str]) -> None:
        self._stores = {namespace: ObservedStore(namespace) for namespace in namespaces}

    def __getitem__(self, namespace: str) -> ObservedStore:
        return self._stores[namespace]

    def __iter__(self) -> Iterator[ObservedStore]:
        return iter(self._stores.values())

    def wrote(self, kind: kinds.Kind, namespace: str, answer: Manifest) -> None:
        """The answer of a write: the object as it now is, or its scale."""
        store = self._stores.get(namespace)
        if store is None:
            return
        if answer.get("kind") == "Scale":
            store.rescale(kind, answer)
        elif answer.get("kind") == kind.kind:
            store.put(answer)

    def deleted(self, kind: kinds.Kind, namespace: str, name: str, answer: Manifest) -> None:
        """The answer of a deletion: a Status when the object is gone, else the object that is about to go."""
        store = self._stores.get(namespace)
        if store is None:
            return
        if answer.get("kind") == kind.kind and answer["metadata"].get("deletionTimestamp"):
            store.put(answer)
        else:
            store.drop(kind, name)


def version_of(manifest: Mapping[str, Any]) -> int:
    """The resourceVersion as a number; 0 for one that is no number, which any other one replaces."""
    text = str((manifest.get("metadata") or {}).get("resourceVersion") or "")
    return int(text) if text.isdigit() else 0


def engine_of(manifest: Mapping[str, Any]) -> str:
    """Name of the engine that an object belongs to, its own for an engine; empty when it says none."""
    metadata = manifest["metadata"]
    if manifest.get("kind") == kinds.ENGINE.kind:
        return str(metadata["name"])
    return str((metadata.get("labels") or {}).get(names.LABEL_INSTANCE, ""))
