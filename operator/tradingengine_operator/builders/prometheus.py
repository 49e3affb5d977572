"""The embedded Prometheus, which judges releases."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import yaml

from . import names, pods, stateful
from .context import EngineContext, Manifest, digest

_CONFIG = "/etc/prometheus"
_DATA = "/prometheus"


def build_prometheus(ctx: EngineContext) -> list[Manifest]:
    """ConfigMap, Service and Deployment; nothing when the specification names a Prometheus."""
    if ctx.spec.monitoring.prometheus:
        return []
    config = _config(ctx)
    config_name = names.prometheus_config(ctx.name, digest(config))
    name = names.prometheus(ctx.name)
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": ctx.metadata(config_name, "prometheus"),
            "immutable": True,
            "data": {"prometheus.yml": yaml.safe_dump(config, sort_keys=False)},
        },
        stateful.service(ctx, name, "prometheus", "http", names.PROMETHEUS_PORT),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": ctx.metadata(name, "prometheus"),
            "spec": {
                "replicas": 1,
                "revisionHistoryLimit": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": ctx.selector("prometheus")},
                "template": _template(ctx, config_name),
            },
        },
    ]


def _config(ctx: EngineContext) -> dict[str, Any]:
    """Scrape jobs by DNS: pods need no token, and one that is not ready is seen too."""
    targets = {
        f"{component}-{slot}": names.slot_pods(ctx.name, component, slot)
        for component in names.SLOT_COMPONENTS
        for slot in names.SLOTS
    }
    targets["prober"] = names.prober(ctx.name)
    if ctx.spec.edge.enabled:
        targets["edge"] = names.edge(ctx.name)
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "10s"},
        "scrape_configs": [
            {
                "job_name": job,
                "dns_sd_configs": [
                    {
                        "names": [f"{service}.{ctx.namespace}.svc"],
                        "type": "A",
                        "port": names.CONTROL_PORT,
                        "refresh_interval": "2s",
                    }
                ],
                # Part of every query of the operator, so that a Prometheus of many engines serves too.
                "relabel_configs": [
                    {"target_label": "namespace", "replacement": ctx.namespace},
                    {"target_label": "engine", "replacement": ctx.name},
                ],
            }
            for job, service in targets.items()
        ]
        + _gateway_jobs(ctx),
    }


def _gateway_jobs(ctx: EngineContext) -> list[dict[str, Any]]:
    """The Gateway's own metrics, if their address is given: of this engine's route alone, and only what is asked."""
    url = urlsplit(ctx.spec.gateway.metrics.url)
    if not url.hostname:
        return []
    port = url.port or (443 if url.scheme == "https" else 80)
    # A certificate is of the name, and an address has none: those are asked as they are given.
    named = url.scheme == "http" and not url.hostname.replace(".", "").isdigit()
    by_name = {"names": [url.hostname], "type": "A", "port": port, "refresh_interval": "2s"}
    targets: dict[str, Any] = (
        {"dns_sd_configs": [by_name]} if named else {"static_configs": [{"targets": [f"{url.hostname}:{port}"]}]}
    )
    kept = r"traefik_service_request(s_total|_duration_seconds_(bucket|count))"
    job = {
        "job_name": names.GATEWAY_JOB,
        "scheme": url.scheme,
        "metrics_path": url.path if url.path not in {"", "/"} else "/metrics",
        **targets,
        "metric_relabel_configs": [
            {
                "source_labels": ["__name__", "service"],
                "regex": f"{kept};{names.gateway_service(ctx.name, ctx.namespace)}",
                "action": "keep",
            }
        ],
    }
    return [job]


def _template(ctx: EngineContext, config_name: str) -> Manifest:
    volumes, mounts = pods.scratch(("tmp", "/tmp"))  # noqa: S108 - inside the pod
    probe: Manifest = {"port": "http"}
    container: Manifest = {
        "name": "prometheus",
        "image": ctx.images.prometheus,
        "imagePullPolicy": ctx.spec.images.pull_policy,
        "command": ["prometheus"],
        "args": [
            f"--config.file={_CONFIG}/prometheus.yml",
            f"--storage.tsdb.path={_DATA}",
            "--storage.tsdb.retention.time=6h",
            "--storage.tsdb.retention.size=512MB",
            f"--web.listen-address=:{names.PROMETHEUS_PORT}",
        ],
        "ports": [{"name": "http", "containerPort": names.PROMETHEUS_PORT, "protocol": "TCP"}],
        "resources": pods.resources("30m", "128Mi", "1", "512Mi"),
        "securityContext": pods.container_security(),
        "startupProbe": {"httpGet": {"path": "/-/ready"} | probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {"httpGet": {"path": "/-/ready"} | probe, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {"httpGet": {"path": "/-/healthy"} | probe, "periodSeconds": 20, "failureThreshold": 6},
        "volumeMounts": [
            {"name": "configuration", "mountPath": _CONFIG, "readOnly": True},
            {"name": "data", "mountPath": _DATA},
            *mounts,
        ],
    }
    own: list[Manifest] = [
        {"name": "configuration", "configMap": {"name": config_name}},
        {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    return {
        "metadata": {"labels": ctx.labels("prometheus")},
        "spec": pods.pod_spec(names.component(ctx.name, "prometheus"), container, [*own, *volumes]),
    }
