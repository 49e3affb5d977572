"""Whose an object is. What has a child's name and is somebody else's is never taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradingengine_operator.api import KIND
from tradingengine_operator.builders import names
from tradingengine_operator.errors import ChildLeavingError, NameTakenError

from .kinds import kind_of

_LABELS = (names.LABEL_INSTANCE, names.LABEL_MANAGED_BY)


def require_ours(observed: Mapping[str, Any], wanted: Mapping[str, Any], *, given: bool = False) -> None:
    """Raises unless what is there is the child that is wanted, or was left by an engine of this name.

    Ours is what this engine owns, and what carries the labels of its children without another controller;
    `given`: also what a person made for it, as a Secret that is restored by hand or comes from a repository: one that
    nothing else manages, or that the label `tradingengine.io/use` gives to this engine.
    NameTakenError for an object of somebody else, ChildLeavingError for a child of a deleted engine of the same name.
    """
    own = {owner["uid"] for owner in wanted["metadata"].get("ownerReferences") or ()}
    owners = observed["metadata"].get("ownerReferences") or ()
    foreign = next((owner for owner in owners if owner.get("controller") and owner["uid"] not in own), None)
    engine = wanted["metadata"]["labels"][names.LABEL_INSTANCE]
    ours = _same_labels(observed, wanted) or own & {owner["uid"] for owner in owners}
    if foreign is None and (ours or (given and _is_given(observed, engine))):
        return
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    if foreign is not None and (foreign["kind"], foreign["name"]) == (KIND, engine):
        message = f"{kind} {name} is one of a deleted engine of this name"
        raise ChildLeavingError(message, mend="wait for the cluster's garbage collection")
    whose = f", and belongs to {foreign['kind']} {foreign['name']}" if foreign is not None else ""
    command = f"kubectl -n {wanted['metadata']['namespace']} get {kind_of(wanted).plural} {name}"
    mend = f"rename or delete it (`{command}`), or give this engine another name"
    if given and foreign is None:
        mend = f"{mend}; one that is meant for it gets the label {names.LABEL_USE}={engine}"
    raise NameTakenError(f"{kind} {name} is there already and is not of this engine{whose}", mend=mend)


def beside_theirs(manifest: Mapping[str, Any], observed: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is given to the engine, as we write it: labels by which other tools find it keep the values that they have.

    Such a tool, which keeps a repository in force, would write its own again and again.
    """
    theirs = ((observed or {}).get("metadata") or {}).get("labels") or {}
    labels = {
        label: value
        for label, value in manifest["metadata"]["labels"].items()
        if label not in _LABELS or theirs.get(label, value) == value
    }
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}


def is_left_by(observed: Mapping[str, Any], engine: str) -> bool:
    """Whether an object is a child of an engine of this name by its labels, and nobody else controls it."""
    labels, owners = observed["metadata"].get("labels") or {}, observed["metadata"].get("ownerReferences") or ()
    ours = (labels.get(names.LABEL_INSTANCE), labels.get(names.LABEL_MANAGED_BY)) == (engine, names.MANAGED_BY)
    return ours and all((owner["kind"], owner["name"]) == (KIND, engine) for owner in owners if owner.get("controller"))


def _same_labels(observed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    labels, expected = observed["metadata"].get("labels") or {}, wanted["metadata"].get("labels") or {}
    return all(labels.get(label) == expected.get(label) for label in _LABELS)


def _is_given(observed: Mapping[str, Any], engine: str) -> bool:
    """By the label that gives it, or since nobody says that something else manages it.

    `instance` alone says nothing: tools that bring a repository into the cluster put it on whatever they find there.
    """
    labels = observed["metadata"].get("labels") or {}
    return labels.get(names.LABEL_USE) == engine or names.LABEL_MANAGED_BY not in labels
