"""Whose an object is. What has a child's name and is somebody else's is never taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradingengine_operator.api import KIND
from tradingengine_operator.builders import names
from tradingengine_operator.errors import ChildLeavingError, NameTakenError

from .kinds import kind_of

_LABELS = (names.LABEL_INSTANCE, names.LABEL_MANAGED_BY)


def require_ours(observed: Mapping[str, Any], wanted: Mapping[str, Any], *, unlabelled: bool = False) -> None:
    """Raises unless what is there is the child that is wanted, or was left by an engine of this name.

    Ours is what this engine owns, and what carries the labels of its children without another controller;
    `unlabelled`: also what a person made without such labels, as a Secret that is restored by hand.
    NameTakenError for an object of somebody else, ChildLeavingError for a child of a deleted engine of the same name.
    """
    own = {owner["uid"] for owner in wanted["metadata"].get("ownerReferences") or ()}
    owners = observed["metadata"].get("ownerReferences") or ()
    foreign = next((owner for owner in owners if owner.get("controller") and owner["uid"] not in own), None)
    if foreign is None and (_same_labels(observed, wanted, unlabelled) or own & {owner["uid"] for owner in owners}):
        return
    engine = wanted["metadata"]["labels"][names.LABEL_INSTANCE]
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    if foreign is not None and (foreign["kind"], foreign["name"]) == (KIND, engine):
        message = f"{kind} {name} is one of a deleted engine of this name"
        raise ChildLeavingError(message, mend="wait for the cluster's garbage collection")
    whose = f", and belongs to {foreign['kind']} {foreign['name']}" if foreign is not None else ""
    command = f"kubectl -n {wanted['metadata']['namespace']} get {kind_of(wanted).plural} {name}"
    raise NameTakenError(
        f"{kind} {name} is there already and is not of this engine{whose}",
        mend=f"rename or delete it (`{command}`), or give this engine another name",
    )


def is_left_by(observed: Mapping[str, Any], engine: str) -> bool:
    """Whether an object is a child of an engine of this name by its labels, and nobody else controls it."""
    labels, owners = observed["metadata"].get("labels") or {}, observed["metadata"].get("ownerReferences") or ()
    ours = (labels.get(names.LABEL_INSTANCE), labels.get(names.LABEL_MANAGED_BY)) == (engine, names.MANAGED_BY)
    return ours and all((owner["kind"], owner["name"]) == (KIND, engine) for owner in owners if owner.get("controller"))


def _same_labels(observed: Mapping[str, Any], wanted: Mapping[str, Any], unlabelled: bool) -> bool:
    labels, expected = observed["metadata"].get("labels") or {}, wanted["metadata"].get("labels") or {}
    return all(labels.get(label) == expected.get(label) or (unlabelled and label not in labels) for label in _LABELS)
