"""Engines as the plugin reads them, in the middle of a release and after one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.plan import kinds
from tradingengine_operator.plugin.world import World

AT = datetime(2026, 11, 28, 18, 30, tzinfo=UTC)
Manifest = dict[str, Any]
STEPS = [{"weight": 10, "hold": "1h"}, {"weight": 50, "hold": "2h"}, {"weight": 100}]
LABELS = {"app.kubernetes.io/name": "tradingengine", "app.kubernetes.io/instance": "desk"}
PAGE = """# HELP tradingengine_operator_release_sample What the candidate's checks found.
# TYPE tradingengine_operator_release_sample gauge
tradingengine_operator_release_sample{check="error-rate",engine="desk",namespace="trading"} 0.0004
tradingengine_operator_release_sample{check="latency-p95",engine="desk",namespace="trading"} 0.07
tradingengine_operator_release_sample{check="error-rate",engine="other",namespace="trading"} 0.9
tradingengine_operator_release_sample{check="error-rate",engine="desk",namespace="elsewhere"} 0.8
"""


def engine(progress: Manifest | None = None, **status: Any) -> Manifest:
    """Engine `desk`; `progress` is the release flow's state."""
    release = {"number": 6, "stable": 6, "state": "Stable", **status.pop("release", {})}
    if progress is not None:
        release["progress"] = json.dumps({"format": 1, "serial": 9, "last": 7, **progress})
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": "desk",
            "namespace": "trading",
            "uid": "u1",
            "generation": 3,
            "creationTimestamp": "2026-11-20T18:30:00Z",
        },
        "spec": {
            "version": "1.4.3",
            "mode": "paper",
            "host": "desk.localhost",
            "gateway": {"name": "web", "namespace": "gateway"},
            "rollout": {
                "steps": STEPS,
                "checks": [{"name": "latency-p95", "max": "2500ms"}, {"name": "queue", "query": "x", "min": "3"}],
            },
        },
        "status": {
            "phase": "Running",
            "observedGeneration": 3,
            "version": "1.4.2",
            "operatorVersion": "0.1.0",
            "conditions": [condition("Ready", "True", "Serving"), condition("Degraded", "False", "AsExpected")],
            "release": release,
            **status,
        },
    }


def condition(type_: str, status: str, reason: str, message: str = "") -> Manifest:
    """One condition."""
    return {"type": type_, "status": status, "reason": reason, "message": message}


def releasing() -> Manifest:
    """Release 7 holds in its first step, in slot b."""
    candidate = {
        "slot": "b",
        "release": 7,
        "stage": "holding",
        "step": 0,
        "weight": 100,
        "held": 1050.0,
        "step_started_at": "2026-11-28T18:12:00.000Z",
    }
    slots = {
        "a": {"release": 6, "version": "1.4.2", "role": "stable", "weight": 90, "ready": 2},
        "b": {"release": 7, "version": "1.4.3", "role": "canary", "weight": 10, "ready": 1},
    }
    found = engine(
        {"stable": {"slot": "a", "release": 6}, "candidate": candidate, "last": 7},
        phase="Releasing",
        release={"number": 7, "state": "Holding", "step": "1/3", "slots": slots, "weight": 10},
        edge={"state": "Connected", "version": "1.4.2", "release": 6},
    )
    found["status"]["conditions"] += [
        condition("Progressing", "True", "Releasing", "release 7"),
        condition("DatabaseReady", "False", "NotReady", "the database is not ready. To mend: look at its pod"),
    ]
    return found


def pod(name: str, component: str, slot: str = "", *, ready: bool = True, **state: Any) -> Manifest:
    """A pod of the engine; `state` is that of its container."""
    labels = {**LABELS, "app.kubernetes.io/component": component} | ({"tradingengine.io/slot": slot} if slot else {})
    container = {"name": component, "ready": ready, "restartCount": 0 if ready else 3, "state": state}
    return {
        "apiVersion": "v1",
        "kind": kinds.POD.kind,
        "metadata": {
            "name": name,
            "namespace": "trading",
            "uid": name,
            "labels": labels,
            "creationTimestamp": "2026-11-28T15:25:00Z",
        },
        "spec": {"nodeName": "cloud-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container],
        },
    }


def pods() -> tuple[Manifest, ...]:
    """Two pods of the stable release, a ready and a crashing one of the canary, edge and database."""
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    return (
        pod("desk-api-a-1", "api", "a"),
        pod("desk-api-a-2", "api", "a"),
        pod("desk-dashboard-a-1", "dashboard", "a"),
        pod("desk-api-b-1", "api", "b"),
        pod("desk-dashboard-b-1", "dashboard", "b", ready=False, **crash),
        pod("desk-edge-0", "edge"),
        pod("desk-database-0", "database"),
    )


def route(canary: int) -> Manifest:
    """The HTTPRoute with this weight of slot b, in tenths of a percent."""

    def rule(component: str) -> Manifest:
        weights = {"a": 1000 - canary, "b": canary}
        return {
            "name": component,
            "backendRefs": [{"name": f"desk-{component}-{slot}", "weight": weight} for slot, weight in weights.items()],
        }

    return {
        "apiVersion": kinds.ROUTE.api_version,
        "kind": kinds.ROUTE.kind,
        "metadata": {"name": "desk", "namespace": "trading", "generation": 1},
        "spec": {"rules": [rule("api"), rule("dashboard")]},
    }


def record(number: int, version: str, outcome: Manifest | None = None, **fields: Any) -> Manifest:
    """A record's ConfigMap."""
    data = {
        "number": number,
        "version": version,
        "createdAt": f"2026-11-2{number}T10:00:00Z",
        "requester": "asha",
        "images": {"api": f"registry.test/desk/tradingengine-apps:{version}"},
        **fields,
    }
    annotations = {"tradingengine.io/outcome": json.dumps(outcome)} if outcome else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"desk-release-{number}",
            "namespace": "trading",
            "labels": {**LABELS, "app.kubernetes.io/component": "release"},
            "annotations": annotations,
        },
        "data": {"release.json": json.dumps(data)},
    }


def world(found: Manifest, **parts: Any) -> World:
    """That engine with what belongs to it."""
    return World(found, AT, **parts)
