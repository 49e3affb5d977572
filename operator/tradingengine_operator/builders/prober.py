"""The prober: asks both slots straight while a release is judged. It has no rights and no token but its own."""

from __future__ import annotations

import json

from . import names, pods
from .context import EngineContext, Manifest
from .release import ReleaseRecord

_GRACE_SECONDS = 5


def build_prober_service(ctx: EngineContext) -> Manifest:
    """The headless Service by which its figures are found; it is always there, so that its name is known."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ctx.metadata(names.prober(ctx.name), "prober"),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": ctx.selector("prober"),
            "ports": [{"name": "control", "port": names.CONTROL_PORT, "targetPort": "control", "protocol": "TCP"}],
        },
    }


def build_prober(ctx: EngineContext, record: ReleaseRecord) -> Manifest:
    """Its Deployment, with the image of the release that serves: nothing is judged by its own program."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": ctx.metadata(names.prober(ctx.name), "prober"),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": ctx.selector("prober")},
            "template": _template(ctx, record),
        },
    }


def targets(ctx: EngineContext) -> dict[str, dict[str, str]]:
    """The Services of the slots, past the Gateway: base URLs by slot and component."""
    return {
        slot: {part: f"http://{names.slot(ctx.name, part, slot)}.{ctx.namespace}.svc" for part in names.SLOT_COMPONENTS}
        for slot in names.SLOTS
    }


def _template(ctx: EngineContext, record: ReleaseRecord) -> Manifest:
    serving = record.templates.api["spec"]["containers"][0]
    volumes, mounts = pods.scratch(("tmp", "/tmp"))  # noqa: S108 - inside the pod
    volume, mount = pods.probe_volume(names.prober(ctx.name))
    environment = {
        "TE_COMPONENT": "prober",
        "TE_VERSION": record.version,
        "TE_PROBE_TARGETS": json.dumps(targets(ctx), sort_keys=True),
        "TE_PROBE_TOKEN_FILE": pods.PROBE_TOKEN_FILE,
    }
    container: Manifest = {
        "name": "prober",
        "image": serving["image"],
        "imagePullPolicy": serving["imagePullPolicy"],
        "args": ["prober"],
        "ports": [{"name": "control", "containerPort": names.CONTROL_PORT, "protocol": "TCP"}],
        "env": [*pods.env(environment), pods.pod_name_env()],
        "securityContext": pods.container_security(),
        "resources": pods.resources("50m", "64Mi", "500m", "192Mi"),
        "volumeMounts": [*mounts, mount],
    } | pods.control_probes()
    account = names.component(ctx.name, "prober")
    return {
        "metadata": {"labels": ctx.labels("prober")},
        "spec": pods.pod_spec(account, container, [*volumes, volume], terminationGracePeriodSeconds=_GRACE_SECONDS),
    }
