"""What must hold of every engine, whatever was changed and whatever went wrong: pure functions of what was read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tradingengine_operator.api.base import seconds
from tradingengine_operator.builders import names
from tradingengine_operator.errors import RecordError
from tradingengine_operator.flows.state import INITIAL, Leaving, ReleaseState, Stage, load_state

Manifest = dict[str, Any]

#: A step that holds longer than this is a state of its own, and not waited for.
LONG_HOLD_SECONDS = 30
#: Fields of `metadata` that belong to one object and one moment.
_OWN = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "deletionTimestamp")
_PASSING_ANNOTATIONS = ("deployment.kubernetes.io/revision", names.ANNOTATION_PROGRESS)
_MEND = "To mend:"
#: Conditions that speak of something else than the specification.
_ASIDE = frozenset({"NamespaceDeletable"})


def state_of(engine: Mapping[str, Any]) -> ReleaseState:
    """The release flow's own state; the first one when there is none that can be read."""
    text = ((engine.get("status") or {}).get("release") or {}).get("progress")
    try:
        return load_state(text) if text else INITIAL
    except RecordError:
        return INITIAL


def conditions_of(engine: Mapping[str, Any]) -> dict[str, Manifest]:
    """Conditions by type."""
    return {entry["type"]: entry for entry in (engine.get("status") or {}).get("conditions") or ()}


def rest_of(engine: Mapping[str, Any]) -> str:
    """Where an engine rests: `converged`, `paused`, `holding`, `withdrawn: REASON`, `refused: TYPE REASON`.

    Empty while it works.
    Only what the operator said of this very generation counts.
    """
    generation = engine["metadata"]["generation"]
    said = conditions_of(engine)
    new = {type_: entry for type_, entry in said.items() if entry.get("observedGeneration") == generation}
    state = state_of(engine)
    if engine["spec"].get("paused"):
        return "paused" if _status(new, "Paused") == "True" else ""
    settled = state.candidate is None and (state.retiring is None or state.retiring.stage is Leaving.WARM)
    if settled and _serves(engine, new, "Running"):
        return "converged"
    if settled and state.withdrawn is not None and _serves(engine, new, "Withdrawn"):
        return f"withdrawn: {state.withdrawn.reason}"
    refusal = next((entry for entry in new.values() if entry["type"] not in _ASIDE and _refuses(entry)), None)
    if refusal is not None:
        return f"refused: {refusal['type']} {refusal['reason']}"
    if state.candidate is not None and state.candidate.stage is Stage.HOLDING and _holds_long(engine, state):
        return "holding"
    return ""


def _serves(engine: Mapping[str, Any], new: Mapping[str, Manifest], phase: str) -> bool:
    edge = new.get("EdgeReady", {})
    return (
        (engine.get("status") or {}).get("observedGeneration") == engine["metadata"]["generation"]
        and (engine.get("status") or {}).get("phase") == phase
        and all(_status(new, type_) == "True" for type_ in ("Ready", "SpecValid", "DatabaseReady", "CacheReady"))
        and _status(new, "Progressing") == "False"
        and (edge.get("status") == "True" or edge.get("reason") == "Disabled")
    )


def _status(conditions: Mapping[str, Manifest], type_: str) -> str:
    return str(conditions.get(type_, {}).get("status", ""))


def _refuses(entry: Mapping[str, Any]) -> bool:
    bad = "True" if entry["type"] == "Degraded" else "False"
    return (entry["status"] == bad and _MEND in entry.get("message", "")) or entry.get("reason") == "Invalid"


def _holds_long(engine: Mapping[str, Any], state: ReleaseState) -> bool:
    steps = engine["spec"]["rollout"]["steps"]
    candidate = state.candidate
    if candidate is None or candidate.step >= len(steps):
        return False
    hold = steps[candidate.step].get("hold", "0s")
    return hold == "manual" or seconds(hold) > LONG_HOLD_SECONDS


def snapshot(engine: Mapping[str, Any], children: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Everything that an engine at rest is made of, as `place: value`, comparable with another moment's.

    Apart: numbers of releases, which of the two slots serves, times, ConfigMaps that nothing in force names, and how
    many of the pods that it may have an autoscaler wants at the moment.
    """
    name, state = engine["metadata"]["name"], state_of(engine)
    alike = _Alike(name, state)
    kept = [child for child in children if not _is_history(child)]
    text = json.dumps([child for child in kept if child["kind"] != "ConfigMap"])
    kept = [child for child in kept if child["kind"] != "ConfigMap" or child["metadata"]["name"] in text]
    found: dict[str, str] = {}
    bounds = _scaled(kept)
    for child in kept:
        clean = alike.clean(child)
        low, high = bounds.get(child["metadata"]["name"], (1, 0))
        if child["kind"] == "Deployment" and low <= child["spec"].get("replicas", 0) <= high:
            clean["spec"] = clean["spec"] | {"replicas": "within the autoscaler's bounds"}
        place = f"{child['kind']}/{clean['metadata'].pop('name')}"
        found |= {f"{place}{way}": value for way, value in _flat(clean)}
    for entry in conditions_of(engine).values():
        found[f"condition/{entry['type']}"] = f"{entry['status']} {entry['reason']}"
    found["phase"] = str((engine.get("status") or {}).get("phase"))
    return found


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not as it was, a line each. A claim that came is none: data outlive the workload that they are for."""
    lines, had = [], {place.partition(".")[0] for place in before}
    for place in sorted({*before, *after}):
        if place.startswith("PersistentVolumeClaim/") and place.partition(".")[0] not in had:
            continue
        old, new = before.get(place, "nothing"), after.get(place, "nothing")
        if old != new:
            lines.append(f"{place}: {old} -> {new}")
    return lines


def claims_of(children: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Claims by name, each with its uid; one that is about to go counts as gone."""
    return {
        child["metadata"]["name"]: child["metadata"]["uid"]
        for child in children
        if child["kind"] == "PersistentVolumeClaim" and not child["metadata"].get("deletionTimestamp")
    }


def _scaled(children: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Bounds of the Deployments that autoscalers scale, by name."""
    return {
        child["spec"]["scaleTargetRef"]["name"]: (child["spec"]["minReplicas"], child["spec"]["maxReplicas"])
        for child in children
        if child["kind"] == "HorizontalPodAutoscaler"
    }


def _is_history(child: Mapping[str, Any]) -> bool:
    component = (child["metadata"].get("labels") or {}).get(names.LABEL_COMPONENT)
    return child["kind"] in {"Job", "Pod"} or (child["kind"] == "ConfigMap" and component == "release")


class _Alike:
    """Puts words in place of what may differ."""

    def __init__(self, engine: str, state: ReleaseState) -> None:
        self._slots: dict[str, str] = {"a": "spare", "b": "spare"}
        self._number = ""
        if state.stable is not None:
            self._slots[state.stable.slot] = "live"
            self._number = str(state.stable.release)
        parts = "|".join(names.SLOT_COMPONENTS)
        self._name = re.compile(rf"\b({re.escape(engine)}-(?:{parts})|(?:{parts})-release)-([ab])\b")
        self._cookie = re.compile(r"te-release=\d+")

    def clean(self, child: Mapping[str, Any]) -> Manifest:
        """The child without what is its own."""
        metadata = {key: value for key, value in child["metadata"].items() if key not in _OWN}
        owners = metadata.pop("ownerReferences", [])
        metadata["owners"] = [f"{owner['kind']}/{owner['name']}" for owner in owners]
        annotations = dict(metadata.get("annotations") or {})
        for key in _PASSING_ANNOTATIONS:
            annotations.pop(key, None)
        metadata["annotations"] = annotations
        body = {key: value for key, value in child.items() if key not in {"metadata", "status"}}
        if child["kind"] == "Secret":
            body["data"] = {key: _digest(value) for key, value in (child.get("data") or {}).items()}
        if child["kind"] == "Service":
            body["spec"] = {key: value for key, value in child["spec"].items() if not key.startswith("clusterIP")}
        cleaned: Manifest = self._words({**body, "metadata": metadata})
        return cleaned

    def _words(self, value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {self._words(name): self._named(name, value) for name in value}
        if isinstance(value, list):
            return [self._words(entry) for entry in value]
        if not isinstance(value, str):
            return value
        text = self._name.sub(lambda found: f"{found[1]}-{self._slots[found[2]]}", value)
        return self._cookie.sub("te-release=N", text)

    def _named(self, name: str, parent: Mapping[str, Any]) -> Any:
        """A value whose name says that it is a slot or a number."""
        value = parent[name]
        variable = parent.get("name") if name == "value" else ""
        if name == names.LABEL_SLOT or variable == "TE_SLOT":
            return self._slots.get(str(value), value)
        if name == names.LABEL_RELEASE or variable == "TE_RELEASE":
            return "N" if value == self._number else f"another than the live one: {value}"
        return self._words(value, name)


def _flat(value: Any, way: str = "") -> Iterable[tuple[str, str]]:
    """Leaves with their places. Lists of named things go by name, others by place."""
    if isinstance(value, Mapping):
        for key in value:
            yield from _flat(value[key], f"{way}.{key}")
        return
    if isinstance(value, list):
        named = all(isinstance(entry, Mapping) and isinstance(entry.get("name"), str) for entry in value)
        unique = named and len({entry["name"] for entry in value}) == len(value)
        for number, entry in enumerate(value):
            yield from _flat(entry, f"{way}[{entry['name'] if unique else number}]")
        return
    yield way, json.dumps(value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
