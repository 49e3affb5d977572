"""Parts that the pods have in common: security, probes, resources, spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.resources import ResourceNeeds

from . import names
from .context import Manifest
from .store_access import Store

#: The user and group that every pod runs as, and that owns its volumes.
UID = 10001
GRACE_SECONDS = 40
PRE_STOP_SECONDS = 5
CONFIG_DIR = "/etc/tradingengine"
SECRETS_DIR = "/run/secrets"
CONTROL_DIR = f"{SECRETS_DIR}/control"
PROBE_TOKEN_FILE = f"{SECRETS_DIR}/probe/token"
DATA_DIR = "/data"
STATE_DIR = "/var/lib/tradingengine"


def pod_security() -> Manifest:
    """`securityContext` of a pod: one unprivileged user, the runtime's system call filter."""
    return {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "fsGroup": UID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """`securityContext` of a container: nothing to gain, nothing to write."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(cpu: str, memory: str, cpu_limit: str, memory_limit: str, asked: ResourceNeeds | None = None) -> Manifest:
    """Requests and limits; what the specification gives takes the place of the default, key by key."""
    return {
        "requests": {"cpu": cpu, "memory": memory} | dict((asked and asked.requests) or {}),
        "limits": {"cpu": cpu_limit, "memory": memory_limit} | dict((asked and asked.limits) or {}),
    }


def control_probes(startup: str = "/readyz") -> Manifest:
    """The three probes of our own programs, on the control port, so that they never count as requests.

    `startup` is the path that ends the start; a pod that does not get there in two minutes is started again.
    """

    def probe(path: str, period: int, failures: int, timeout: int) -> Manifest:
        return {
            "httpGet": {"path": path, "port": "control"},
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": timeout,
        }

    return {
        "startupProbe": probe(startup, 1, 120, 2),
        "readinessProbe": probe("/readyz", 2, 2, 2),
        "livenessProbe": probe("/healthz", 10, 3, 5),
    }


def exec_probes(command: list[str]) -> Manifest:
    """Probes of a server that is asked by its own client; alive is judged later than ready."""

    def probe(period: int, failures: int) -> Manifest:
        return {
            "exec": {"command": command},
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": 5,
        }

    return {"startupProbe": probe(2, 150), "readinessProbe": probe(5, 2), "livenessProbe": probe(20, 6)}


def pre_stop() -> Manifest:
    """Time for the Gateway to hear that the pod is going, before it is told to stop."""
    return {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}


def env(values: Mapping[str, str]) -> list[Manifest]:
    """Environment variables with plain values."""
    return [{"name": name, "value": value} for name, value in values.items()]


def pod_name_env() -> Manifest:
    """The pod's own name."""
    return {"name": "TE_POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}


def scratch(*mounts: tuple[str, str]) -> tuple[list[Manifest], list[Manifest]]:
    """Volumes and mounts of empty directories, given as (name, path)."""
    volumes: list[Manifest] = [{"name": name, "emptyDir": {}} for name, _ in mounts]
    return volumes, [{"name": name, "mountPath": path} for name, path in mounts]


def spread(selector: Mapping[str, str]) -> list[Manifest]:
    """Pods of one template go to different nodes where there are any."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(selector)},
            "matchLabelKeys": ["pod-template-hash"],
        }
    ]


def pod_spec(service_account: str, container: Manifest, volumes: list[Manifest], **more: Any) -> Manifest:
    """A pod's `spec` around one container."""
    return {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
        "volumes": volumes,
    } | more


def probe_volume(secret: str) -> tuple[Manifest, Manifest]:
    """Volume and mount of the prober's token, for itself and for who is asked by it."""
    items = [{"key": "token", "path": "token"}]
    volume = {"name": "probe", "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}
    return volume, {"name": "probe", "mountPath": f"{SECRETS_DIR}/probe", "readOnly": True}


def store_secret(engine: str, spec: TradingEngineSpec, store: Store) -> tuple[str, str]:
    """Secret and key that hold the URI of a store."""
    asked = spec.database if store == "database" else spec.cache
    if asked.type == "managed" and asked.managed is not None:
        return asked.managed.secret_name, asked.managed.key
    return names.store_access(engine, store), "uri"


def store_file(store: Store) -> str:
    """Where a program finds the URI of a store."""
    return f"{SECRETS_DIR}/{store}/uri"


def store_volume(store: Store, secret: str, **files: str) -> tuple[Manifest, Manifest]:
    """Volume and mount of a store's Secret; `files` are its keys by the names of their files.

    A file, since a Secret that changes reaches a running pod there and nowhere else.
    """
    items = [{"key": key, "path": path} for path, key in files.items()]
    volume = {"name": store, "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}
    return volume, {"name": store, "mountPath": f"{SECRETS_DIR}/{store}", "readOnly": True}
