"""Identity and fingerprints of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tradingengine_operator.builders import Manifest, digest

from .kinds import kind_of


class Key(NamedTuple):
    """What names an object within its namespace."""

    kind: str
    name: str


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Kind and name of a manifest."""
    return Key(kind_of(manifest).kind, manifest["metadata"]["name"])


def desired_digest(manifest: Mapping[str, Any]) -> str:
    """Hash of what we ask for."""
    return digest(manifest, 32)


def owned_digest(observed: Mapping[str, Any], manager: str) -> str:
    """Hash of the set of fields that `manager` owns by apply, empty when it owns none.

    Any change by somebody else of a field that we own takes it out of our set, so this tells drift, while changes of
    status or of fields that are not ours do not show.
    """
    entries = [
        (entry.get("subresource", ""), entry.get("fieldsV1"))
        for entry in observed["metadata"].get("managedFields", ())
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
    ]
    return digest(entries, 32) if entries else ""


def owns_replicas(observed: Mapping[str, Any], manager: str) -> bool:
    """Whether `manager` owns `spec.replicas`, on the object or through its scale."""
    return any(
        "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in observed["metadata"].get("managedFields", ())
        if entry.get("manager") == manager
    )


def by_key(manifests: Iterable[Manifest]) -> dict[Key, Manifest]:
    """Objects by kind and name; the later one of two wins."""
    return {key_of(manifest): manifest for manifest in manifests}


def is_owned_by(observed: Mapping[str, Any], uid: str) -> bool:
    """Whether the engine with this uid is an owner."""
    return any(owner.get("uid") == uid for owner in observed["metadata"].get("ownerReferences", ()))
