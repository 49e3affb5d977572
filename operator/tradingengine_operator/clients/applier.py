"""Apply that writes nothing when nothing changed: the same is desired, and what we own of the object is untouched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.errors import ApiError
from tradingengine_operator.plan.kinds import Kind, kind_of
from tradingengine_operator.plan.objects import Key, desired_digest, key_of, owned_digest


class Applies(Protocol):
    """What is needed of the API server."""

    async def apply(self, manifest: Manifest, *, manager: str = ..., subresource: str = ...) -> Manifest:
        """Server-side apply."""
        ...

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Manifest, *, subresource: str = ...
    ) -> Manifest:
        """JSON merge patch."""
        ...


class Applier:
    """Remembers, for each object, what was asked for and what the server then said is ours."""

    def __init__(self, client: Applies) -> None:
        self._client = client
        # By namespace first: engines of the same name in two of them have children of the same names.
        self._done: dict[tuple[str, Key, str], tuple[str, str, str]] = {}
        self._of_engine: dict[tuple[str, str], set[Key]] = {}

    async def ensure(
        self, manifest: Manifest, observed: Mapping[str, Any] | None, *, subresource: str = "", only_over: str = ""
    ) -> tuple[Manifest, bool]:
        """The object as it is, and whether it was written. `observed` is what was just read, None when absent.

        With a resource version `only_over`, ConflictError when somebody changed it since; what is gone is made anew.
        """
        if observed is not None and self.holds(manifest, observed, subresource=subresource):
            return dict(observed), False
        key, wanted = _place(manifest, subresource), desired_digest(manifest)
        if only_over:
            manifest = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": only_over}}
        try:
            applied = await self._client.apply(manifest, subresource=subresource)
        except ApiError as error:
            if error.status != 422 or observed is None or subresource or "spec" not in manifest:
                raise
            applied = await self._force(manifest)
        self._done[key] = (wanted, *_fingerprint(applied))
        self._of_engine.setdefault((key[0], _engine_of(manifest)), set()).add(key[1])
        return applied, observed is None or _version(observed) != _version(applied)

    def holds(self, manifest: Manifest, observed: Mapping[str, Any], *, subresource: str = "") -> bool:
        """Whether `ensure` would write nothing."""
        done = self._done.get(_place(manifest, subresource))
        return done == (desired_digest(manifest), *_fingerprint(observed))

    async def _force(self, manifest: Manifest) -> Manifest:
        """Somebody changed the key of an entry of one of our lists, so that apply would add ours beside it.

        A merge patch sets whole lists. What cannot be changed at all is refused again, with the same words.
        """
        metadata = manifest["metadata"]
        patch = {"spec": manifest["spec"]}
        await self._client.merge_patch(kind_of(manifest), metadata["namespace"], metadata["name"], patch)
        return await self._client.apply(manifest)

    def forget(self, namespace: str, key: Key) -> None:
        """Forgets an object that was deleted."""
        for known in [entry for entry in self._done if entry[:2] == (namespace, key)]:
            del self._done[known]
        for (where, _), keys in self._of_engine.items():
            if where == namespace:
                keys.discard(key)

    def forget_engine(self, namespace: str, engine: str) -> None:
        """Forgets everything of an engine that is gone, or the memory would grow with every engine that ever was."""
        for key in tuple(self._of_engine.get((namespace, engine), ())):
            self.forget(namespace, key)
        self._of_engine.pop((namespace, engine), None)

    def __len__(self) -> int:
        """So many applied objects are remembered."""
        return len(self._done)


def _place(manifest: Mapping[str, Any], subresource: str) -> tuple[str, Key, str]:
    return manifest["metadata"]["namespace"], key_of(manifest), subresource


def _engine_of(manifest: Mapping[str, Any]) -> str:
    """The engine that an object belongs to by its label, or that it is."""
    metadata = manifest["metadata"]
    return str((metadata.get("labels") or {}).get(names.LABEL_INSTANCE) or metadata["name"])


def _fingerprint(observed: Mapping[str, Any]) -> tuple[str, str]:
    return observed["metadata"].get("uid", ""), owned_digest(observed, names.FIELD_MANAGER)


def _version(observed: Mapping[str, Any]) -> str:
    return str(observed["metadata"].get("resourceVersion", ""))
