"""The two slots of API and dashboard, applied from a release's record alone."""

from __future__ import annotations

from tradingengine_operator.api import Slot

from . import names
from .context import EngineContext, Manifest
from .release import ReleaseRecord
from .templates import fill


def build_slot(
    ctx: EngineContext, record: ReleaseRecord, component: names.SlotComponent, slot: Slot, replicas: int | None
) -> list[Manifest]:
    """Service, headless Service of all pods, and Deployment of one slot.

    `replicas` is left out when None: under an autoscaler the number belongs to it.
    """
    name = names.slot(ctx.name, component, slot)
    spec: Manifest = {
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": ctx.selector(component, slot)},
        "template": fill(getattr(record.templates, component), record.number, slot),
    }
    if replicas is not None:
        spec["replicas"] = replicas
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": ctx.metadata(name, component, slot=slot, release=record.number),
        "spec": spec,
    }
    return [_service(ctx, component, slot), _pods_service(ctx, component, slot), deployment]


def build_hpa(ctx: EngineContext, component: names.SlotComponent, slot: Slot, *, floor: int = 0) -> Manifest:
    """Autoscaler of a component's live slot, between the bounds of the specification; both aim at the same CPU use.

    While another release carries a part of the load, `floor` keeps it from giving up the pods that it needs at once
    when that release is withdrawn.
    """
    name = names.slot(ctx.name, component, slot)
    replicas = ctx.spec.api.replicas if component == "api" else ctx.spec.dashboard.replicas
    target = {"type": "Utilization", "averageUtilization": ctx.spec.api.target_cpu}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": ctx.metadata(name, component, slot=slot),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": min(max(replicas.min, floor), replicas.most),
            "maxReplicas": replicas.most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def build_budget(ctx: EngineContext, component: names.SlotComponent, slot: Slot) -> Manifest:
    """How many pods of a slot in use may be taken away at once: one.

    Each slot has its own, so that the trouble of one release allows nothing less to the other's pods, and a warm slot
    is there when it is needed. A pod that is not ready protects nothing, and must not stop a drain.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": ctx.metadata(names.slot(ctx.name, component, slot), component, slot=slot),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": ctx.selector(component, slot)},
        },
    }


def _service(ctx: EngineContext, component: names.SlotComponent, slot: Slot) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ctx.metadata(names.slot(ctx.name, component, slot), component, slot=slot),
        "spec": {
            "type": "ClusterIP",
            "selector": ctx.selector(component, slot),
            "ports": [{"name": "http", "port": names.SERVICE_PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def _pods_service(ctx: EngineContext, component: names.SlotComponent, slot: Slot) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ctx.metadata(names.slot_pods(ctx.name, component, slot), component, slot=slot),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": ctx.selector(component, slot),
            "ports": [{"name": "control", "port": names.CONTROL_PORT, "targetPort": "control", "protocol": "TCP"}],
        },
    }
