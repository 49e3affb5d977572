"""What may be removed: children of this engine, by label and owner, that nobody asks for any more. Never data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tradingengine_operator.builders import Manifest, names

from . import kinds
from .objects import Key, is_owned_by, key_of

#: Kinds that hold data, or are what others make of our children.
_NEVER = frozenset({kinds.SECRET.kind, kinds.CLAIM.kind, kinds.POD.kind})


def prunable(observed: Iterable[Manifest], wanted: Collection[Key], owner_uid: str) -> list[Manifest]:
    """Observed children that are ours and not wanted, in a stable order; running Jobs and release records stay."""
    gone = [
        manifest
        for manifest in observed
        if key_of(manifest) not in wanted and _is_ours(manifest, owner_uid) and _may_go(manifest)
    ]
    return sorted(gone, key=key_of)


def _is_ours(manifest: Mapping[str, Any], owner_uid: str) -> bool:
    """By owner; a configuration that outlives its engine has none, and is known by its labels alone."""
    labels = manifest["metadata"].get("labels") or {}
    return is_owned_by(manifest, owner_uid) or labels.get(names.LABEL_COMPONENT) == "config"


def _may_go(manifest: Mapping[str, Any]) -> bool:
    metadata = manifest["metadata"]
    if manifest["kind"] in _NEVER or metadata.get("deletionTimestamp"):
        return False
    if manifest["kind"] == kinds.JOB.kind:
        return job_outcome(manifest) is not None
    labels = metadata.get("labels") or {}
    return bool(labels.get(names.LABEL_COMPONENT) != "release")


def job_outcome(job: Mapping[str, Any]) -> str | None:
    """`Complete` or `Failed`, None while it runs."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            return str(condition["type"])
    return None


def old_records(numbers: Iterable[int], referenced: Collection[int], limit: int) -> list[int]:
    """Numbers of records beyond the newest `limit`, without those that a slot is made from."""
    newest_first = sorted(numbers, reverse=True)
    return sorted(number for number in newest_first[limit:] if number not in referenced)
