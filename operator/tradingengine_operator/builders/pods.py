"""Parts that the pods have in common: security, probes, resources, spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.resources import ResourceNeeds

from . import names
from .context import Manifest

#: The user and group that every pod runs as, and that owns its volumes.
UID = 10001
GRACE_SECONDS = 40
PRE_STOP_SECONDS = 5
CONFIG_DIR = "/etc/tradingengine"
CONTROL_DIR = "/run/secrets/control"
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


def secret_env(name: str, secret: str, key: str) -> Manifest:
    """An environment variable that the kubelet reads from a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


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


def database_secret(engine: str, spec: TradingEngineSpec) -> tuple[str, str]:
    """Secret and key that hold the database's URI."""
    managed = spec.database.managed
    if spec.database.type == "managed" and managed is not None:
        return managed.secret_name, managed.key
    return names.database(engine), "uri"


def cache_secret(engine: str, spec: TradingEngineSpec) -> tuple[str, str]:
    """Secret and key that hold the cache's URI."""
    managed = spec.cache.managed
    if spec.cache.type == "managed" and managed is not None:
        return managed.secret_name, managed.key
    return names.cache(engine), "uri"
