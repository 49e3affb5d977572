"""The edge: a StatefulSet of one, applied from a release's record in the replace step alone."""

from __future__ import annotations

from . import names, stateful
from .context import EngineContext, Manifest
from .release import ReleaseRecord
from .templates import fill


def build_edge(ctx: EngineContext, record: ReleaseRecord) -> list[Manifest]:
    """Headless Service and StatefulSet; nothing when the edge is switched off."""
    if not ctx.spec.edge.enabled:
        return []
    journal = ctx.spec.edge.journal
    claim = stateful.claim_template(ctx, "journal", "edge", journal.storage, journal.storage_class_name)
    template = fill(record.templates.edge, record.number)
    workload = stateful.stateful_set(ctx, names.edge(ctx.name), "edge", template, claim, on_delete=True)
    workload["metadata"]["labels"][names.LABEL_RELEASE] = str(record.number)
    return [_service(ctx), workload]


def _service(ctx: EngineContext) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ctx.metadata(names.edge(ctx.name), "edge"),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": ctx.selector("edge"),
            "ports": [{"name": "control", "port": names.CONTROL_PORT, "targetPort": "control", "protocol": "TCP"}],
        },
    }
