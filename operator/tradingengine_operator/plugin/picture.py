"""What `status` shows of an engine, as plain data: the JSON of `--output json`, from which the text is made. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tradingengine_operator.api import BUILT_IN, Slot
from tradingengine_operator.api.base import seconds
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.flows.pod_observation import is_over, is_ready, labels_of
from tradingengine_operator.plan.attachment import GatewayKey
from tradingengine_operator.plan.routes import read_route

from .terminal import seconds_since
from .world import World

#: The order of what is in no slot.
_OTHERS = ("edge", "prober", "database", "cache", "prometheus", "migrations", "access")
#: Conditions that are well when they are False.
_WELL_WHEN_FALSE = frozenset({"Degraded", "Progressing", "Paused"})
_MEND = "To mend: "
#: What is judged is stored after this part of a hold, in seconds at least and at most.
_STORED_PART, _STORED_LEAST, _STORED_MOST = 0.2, 5.0, 60.0


def picture(world: World) -> dict[str, Any]:
    """The whole picture; times are RFC 3339, lengths of time are seconds, weights are percent."""
    metadata, spec, status = world.engine["metadata"], world.engine.get("spec") or {}, world.status
    return {
        "at": world.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "name": world.name,
        "namespace": metadata["namespace"],
        "phase": status.get("phase") or "Unknown",
        "mode": spec.get("mode", "paper"),
        "host": spec.get("host", ""),
        "version": {"serves": status.get("version"), "asked": spec.get("version")},
        "operatorVersion": status.get("operatorVersion"),
        "ageSeconds": _whole(seconds_since(metadata.get("creationTimestamp"), world.at)),
        "behind": _behind(world),
        "release": _release(world, spec),
        "slots": [_slot(world, slot) for slot in names.SLOTS],
        "others": _others(world),
        "checks": _checks(world, spec),
        "notHealthy": not_healthy(status.get("conditions") or ()),
        "unread": [{"part": part, "why": why} for part, why in sorted(world.unread.items())],
    }


def progress_of(release: Mapping[str, Any]) -> Mapping[str, Any]:
    """The release flow's own state as it was stored, empty when it cannot be read."""
    try:
        found = json.loads(release.get("progress") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def under_way(progress: Mapping[str, Any]) -> Mapping[str, Any]:
    """The release that is on its way up, or that waits for a market's close; empty when there is none."""
    found: Mapping[str, Any] = progress.get("candidate") or progress.get("deferred") or {}
    return found


def not_healthy(conditions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Conditions that a person should know of, with the mend apart from what happened."""
    found = []
    for entry in conditions:
        well = "False" if entry["type"] in _WELL_WHEN_FALSE else "True"
        busy = entry["type"] == "Progressing" and entry["status"] == "True"
        if entry["status"] == well or busy:
            continue
        said, _, mend = str(entry.get("message", "")).partition(_MEND)
        parts = {name: entry.get(name, "") for name in ("type", "status", "reason")}
        found.append(parts | {"message": said.strip(), "mend": mend.strip()})
    ready = {entry["reason"] for entry in found if entry["type"] == "Ready"}
    return [entry for entry in found if entry["type"] != "Degraded" or entry["reason"] not in ready]


def _behind(world: World) -> bool:
    """Whether the status is of an older specification than the newest."""
    seen = world.status.get("observedGeneration")
    return seen is not None and seen < world.engine["metadata"].get("generation", 0)


def _release(world: World, spec: Mapping[str, Any]) -> dict[str, Any]:
    release, progress = world.release, progress_of(world.release)
    pin = progress.get("pin")
    return {
        "state": release.get("state"),
        "number": release.get("number"),
        "stable": release.get("stable"),
        "step": _step(world, spec, under_way(progress)),
        "paused": under_way(progress).get("paused"),
        "waitsForMarket": "deferred" in progress,
        "nextWindow": release.get("nextWindow"),
        "pinnedTo": {"record": pin.get("record"), "reason": pin.get("reason", "")} if pin else None,
        "reason": release.get("reason"),
        "message": release.get("message"),
        "command": release.get("command"),
    }


def _step(world: World, spec: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """The step of what is under way, None when nothing is. `leftSeconds` is None where no time ends the step."""
    steps = (spec.get("rollout") or {}).get("steps") or ()
    index = int(candidate.get("step", 0))
    if not candidate or index >= len(steps):
        return None
    hold = steps[index].get("hold")
    shown = {"number": index + 1, "of": len(steps), "weight": steps[index].get("weight"), "hold": hold}
    elapsed = seconds_since(candidate.get("stepStartedAt") or candidate.get("step_started_at"), world.at)
    if elapsed is None or hold is None or hold == "manual":
        return shown | {"judgedSeconds": None, "leftSeconds": None}
    try:
        length = float(seconds(hold))
    except ValueError:
        return shown | {"judgedSeconds": None, "leftSeconds": None}
    # Only time in which the release was judged counts; of what came since it was last stored that is not known yet.
    unstored = min(_STORED_MOST, max(_STORED_LEAST, length * _STORED_PART))
    judged = min(length, elapsed, float(candidate.get("held", 0.0)) + unstored)
    return shown | {"judgedSeconds": round(judged), "leftSeconds": round(length - judged)}


def _slot(world: World, slot: Slot) -> dict[str, Any]:
    said: Mapping[str, Any] = (world.release.get("slots") or {}).get(slot) or {}
    gateway = (world.engine.get("spec") or {}).get("gateway") or {}
    key = GatewayKey(gateway.get("namespace", ""), gateway.get("name", ""))
    route = read_route(world.route, world.name, key)
    live: dict[Slot, float] = {name: weight / 10 for name, weight in route.weights.items()}
    return {
        "slot": slot,
        "role": said.get("role", "empty"),
        "release": said.get("release"),
        "version": said.get("version"),
        # Live where the route may be read; else as the operator last saw it.
        "weight": live.get(slot, 0.0 if route.exists else float(said.get("weight", 0))),
        "live": world.route is not None,
        "warmUntil": said.get("warmUntil"),
        "components": [
            _component(world, component, slot) for component in names.SLOT_COMPONENTS if _pods(world, component, slot)
        ],
    }


def _others(world: World) -> list[dict[str, Any]]:
    there = {
        labels_of(pod).get(names.LABEL_COMPONENT, "") for pod in world.pods if not labels_of(pod).get(names.LABEL_SLOT)
    }
    order = [name for name in _OTHERS if name in there] + sorted(there - set(_OTHERS) - {""})
    found = [_component(world, name, None) for name in order]
    # Jobs that are done are no news.
    return [entry for entry in found if any(pod["state"] != "Succeeded" for pod in entry["pods"])]


def _component(world: World, component: str, slot: str | None) -> dict[str, Any]:
    pods = [_pod(world, pod) for pod in _pods(world, component, slot)]
    shown: dict[str, Any] = {"component": component, "ready": sum(pod["ready"] for pod in pods), "pods": pods}
    if component == "edge":
        edge = world.status.get("edge") or {}
        shown["edge"] = {name: edge.get(name) for name in ("state", "version", "release")}
    return shown


def _pods(world: World, component: str, slot: str | None) -> list[Manifest]:
    found = [
        pod
        for pod in world.pods
        if labels_of(pod).get(names.LABEL_COMPONENT) == component
        and (slot is None or labels_of(pod).get(names.LABEL_SLOT) == slot)
    ]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def _pod(world: World, pod: Manifest) -> dict[str, Any]:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    return {
        "name": pod["metadata"]["name"],
        "state": pod_state(pod),
        "ready": is_ready(pod) and not is_over(pod),
        "containers": f"{sum(bool(entry.get('ready')) for entry in containers)}/{max(len(containers), 1)}",
        "restarts": sum(int(entry.get("restartCount", 0)) for entry in containers),
        "release": labels_of(pod).get(names.LABEL_RELEASE),
        "node": (pod.get("spec") or {}).get("nodeName"),
        "ageSeconds": _whole(seconds_since(pod["metadata"].get("creationTimestamp"), world.at)),
    }


def pod_state(pod: Mapping[str, Any]) -> str:
    """One word for a pod, as kubectl has it: what a container waits for or ended by, else the phase."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if status.get("reason"):
        return str(status["reason"])
    for entry in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = entry.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return str(waiting["reason"])
        if ended.get("reason") and ended["reason"] != "Completed":
            return str(ended["reason"])
    return str(status.get("phase", "Unknown"))


def _checks(world: World, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Checks that are on while a release is judged, with the newest figure where there is one."""
    if not progress_of(world.release).get("candidate"):
        return []
    given = {entry["name"]: entry for entry in (spec.get("rollout") or {}).get("checks") or ()}
    samples = world.samples or {}
    found = []
    for name in dict.fromkeys([*BUILT_IN, *given, *samples]):
        entry = given.get(name, {})
        if entry.get("disabled"):
            continue
        found.append({"name": name, "value": samples.get(name), **_limit(name, entry)})
    return found


def _limit(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The limit of a check's figure. Where the figure is a share of slow answers, `slowerThan` says what slow is."""
    known, least = BUILT_IN.get(name), given.get("min")
    limit = given.get("max") or (known.limit if known is not None else None)
    if known is not None and known.times:
        return {"limit": f"{known.share:g}", "bound": "max", "slowerThan": limit}
    return {"limit": limit if least is None else least, "bound": "max" if least is None else "min", "slowerThan": None}


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
