"""Identity and fingerprints of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any, NamedTuple

from tradingengine_operator.builders import Manifest, digest, names

from .kinds import kind_of

#: In the place of a set of fields, its hash; no field's name has a space.
_DIGEST = "hash of all"


class Fixed(dict[str, Any]):
    """A manifest that is made once and never changed, so that its hash is computed once."""

    __slots__ = ("hash",)
    hash: str


class Key(NamedTuple):
    """What names an object within its namespace."""

    kind: str
    name: str


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Kind and name of a manifest."""
    return Key(kind_of(manifest).kind, manifest["metadata"]["name"])


def desired_digest(manifest: Mapping[str, Any]) -> str:
    """Hash of what we ask for."""
    if not isinstance(manifest, Fixed):
        return digest(manifest, 32)
    if not hasattr(manifest, "hash"):
        manifest.hash = digest(manifest, 32)
    return manifest.hash


def owned_digest(observed: Mapping[str, Any], manager: str) -> str:
    """What tells the set of fields that `manager` owns by apply from any other one, empty when it owns none.

    Any change by somebody else of a field that we own takes it out of our set, so this tells drift, while changes of
    status or of fields that are not ours do not show.
    """
    entries = [
        f"{entry.get('subresource', '')}={_fields_digest(entry.get('fieldsV1') or {})}"
        for entry in observed["metadata"].get("managedFields", ())
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
    ]
    return ";".join(entries)


def slim(observed: Mapping[str, Any]) -> dict[str, Any]:
    """An object to be kept: of the sets of fields only what `owned_digest` and `owns_replicas` ask about ours.

    The API server says for each manager which fields it owns, in a tree that is often larger than the object itself.
    Texts are shared with all other objects that are kept: fifty engines have the same fields, and many of their values.
    """
    metadata = observed["metadata"]
    if not metadata.get("managedFields"):
        return _shared(observed)
    ours = [
        {**entry, "fieldsV1": _slim_fields(entry.get("fieldsV1") or {})}
        for entry in metadata["managedFields"]
        if entry.get("manager") in {names.FIELD_MANAGER, names.SCALE_MANAGER}
    ]
    return _shared({**observed, "metadata": {**metadata, "managedFields": ours}})


def _shared(value: Mapping[str, Any]) -> dict[str, Any]:
    return {intern(str(name)): _shared_value(entry) for name, entry in value.items()}


def _shared_value(value: Any) -> Any:
    match value:
        case str():
            return intern(str(value))
        case Mapping():
            return _shared(value)
        case list():
            return [_shared_value(entry) for entry in value]
        case _:
            return value


def _slim_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {_DIGEST: _fields_digest(fields)}
    if "f:replicas" in fields.get("f:spec", {}):
        found["f:spec"] = {"f:replicas": {}}
    return found


def _fields_digest(fields: Mapping[str, Any]) -> str:
    known = fields.get(_DIGEST)
    return str(known) if known is not None else digest(fields, 32)


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
