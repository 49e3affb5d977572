"""What StatefulSets of one pod have in common."""

from __future__ import annotations

from . import names
from .context import EngineContext, Manifest

#: What becomes of the claims when the StatefulSet goes: data live as long as the engine, never as long as a workload.
CLAIM_RETENTION = {"whenDeleted": "Retain", "whenScaled": "Retain"}


def claim_template(
    ctx: EngineContext, name: str, component: names.Component, storage: str, storage_class: str | None = None
) -> Manifest:
    """A claim template; no class means the cluster's default one."""
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": storage}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": ctx.labels(component)},
        "spec": spec,
    }


def service(ctx: EngineContext, name: str, component: names.Component, port_name: str, port: int) -> Manifest:
    """A Service with one port in front of a component's pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ctx.metadata(name, component),
        "spec": {
            "type": "ClusterIP",
            "selector": ctx.selector(component),
            "ports": [{"name": port_name, "port": port, "targetPort": port_name, "protocol": "TCP"}],
        },
    }


def stateful_set(
    ctx: EngineContext,
    name: str,
    component: names.Component,
    pod: Manifest,
    claim: Manifest,
    *,
    on_delete: bool = False,
) -> Manifest:
    """A StatefulSet of one pod; `pod` is the complete template."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": ctx.metadata(name, component),
        "spec": {
            "replicas": 1,
            "serviceName": name,
            # Ordered start would wait for ever for a broken pod before it takes the mended template.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete" if on_delete else "RollingUpdate"},
            "revisionHistoryLimit": 5,
            "persistentVolumeClaimRetentionPolicy": dict(CLAIM_RETENTION),
            "selector": {"matchLabels": ctx.selector(component)},
            "template": pod,
            "volumeClaimTemplates": [claim],
        },
    }
