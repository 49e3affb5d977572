"""Complete pod templates of a release, as its record keeps them; where slot and number belong, they have marks.

All that a pod is made of is in the record: what is put in on applying stands where the record says, and nothing is
added, so that no other version of the operator changes a pod of a release that runs.
"""

from __future__ import annotations

from typing import Any

from tradingengine_operator.api.resources import API_DEFAULTS

from . import names, pods
from .config import config_name
from .context import EngineContext, Manifest
from .store_access import STORES, Store

_EDGE_TOLERATIONS: tuple[Manifest, ...] = (
    {"key": names.PLANE_KEY, "operator": "Equal", "value": names.PLANE_EDGE, "effect": "NoSchedule"},
    # Without a time: a cut link must never make the cluster take the executor away.
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
)


def image_of(ctx: EngineContext, component: names.Component) -> str:
    """Image of a component: the one that is named, or the one that follows the version."""
    spec = ctx.spec
    if component == "edge":
        return spec.images.edge or ctx.images.edge(spec.version)
    if component == "dashboard":
        return spec.images.dashboard or ctx.images.apps(spec.version)
    return spec.images.api or ctx.images.apps(spec.version)


def api_template(ctx: EngineContext) -> Manifest:
    """Pod template of the API."""
    (cpu, cpu_limit), (memory, memory_limit) = API_DEFAULTS["cpu"], API_DEFAULTS["memory"]
    return _web(ctx, "api", pods.resources(cpu, memory, cpu_limit, memory_limit, ctx.spec.api.resources))


def dashboard_template(ctx: EngineContext) -> Manifest:
    """Pod template of the dashboard."""
    return _web(ctx, "dashboard", pods.resources("30m", "96Mi", "1", "384Mi"))


def migrations_template(ctx: EngineContext) -> Manifest:
    """Pod template of the Job that migrates the database."""
    volumes, mounts = _volumes(ctx, "database")
    container = _container(ctx, "migrations", ["migrate", "--phase", names.MARK_PHASE]) | {
        "env": [*_environment(ctx, "migrations"), *_store_env("database"), *_marks("")],
        "resources": pods.resources("50m", "96Mi", "1", "384Mi"),
        "volumeMounts": mounts,
    }
    account = names.component(ctx.name, "migrations")
    return {
        "metadata": {"labels": _labels(ctx, "migrations")},
        "spec": pods.pod_spec(account, container, volumes, restartPolicy="Never"),
    }


def edge_template(ctx: EngineContext) -> Manifest:
    """Pod template of the edge: bound to its node, and never taken from it."""
    volumes, mounts = _serving_volumes(ctx, "cache")
    environment = [*_environment(ctx, "edge"), *pods.env({"TE_STATE_DIR": pods.STATE_DIR}), *_store_env("cache")]
    environment += _token_env()
    mounts.append({"name": "journal", "mountPath": pods.STATE_DIR})
    replay = ctx.spec.market_data.replay
    if ctx.spec.market_data.source == "replay" and replay is not None:
        environment += pods.env({"TE_DATA_DIR": pods.DATA_DIR})
        claim = {"claimName": replay.claim_name, "readOnly": True}
        volumes.append({"name": "recordings", "persistentVolumeClaim": claim})
        mounts.append({"name": "recordings", "mountPath": pods.DATA_DIR, "readOnly": True})
    container = (
        _container(ctx, "edge", ["edge"])
        | {
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "control", "containerPort": names.CONTROL_PORT, "protocol": "TCP"}],
            "env": [*environment, *_marks("")],
            "resources": pods.resources("100m", "192Mi", "2", "768Mi"),
            "volumeMounts": mounts,
        }
        # Recovery may have to wait for a broker; to start anew would only begin it again.
        | pods.control_probes(startup="/healthz")
    )
    account = names.component(ctx.name, "edge")
    return {
        "metadata": {"labels": _labels(ctx, "edge")},
        "spec": pods.pod_spec(
            account,
            container,
            volumes,
            nodeSelector=dict(ctx.spec.edge.node_selector),
            tolerations=[dict(toleration) for toleration in _EDGE_TOLERATIONS],
        ),
    }


def _web(ctx: EngineContext, component: names.SlotComponent, resources: Manifest) -> Manifest:
    volumes, mounts = _serving_volumes(ctx, *STORES)
    probe, probe_mount = pods.probe_volume(names.prober(ctx.name))
    container = (
        _container(ctx, component, [component])
        | {
            "ports": [
                {"name": "http", "containerPort": names.HTTP_PORT, "protocol": "TCP"},
                {"name": "control", "containerPort": names.CONTROL_PORT, "protocol": "TCP"},
            ],
            "env": [
                *_environment(ctx, component),
                *_store_env(*STORES),
                *_token_env(),
                *pods.env({"TE_PROBE_TOKEN_FILE": pods.PROBE_TOKEN_FILE}),
                *_marks(names.MARK_SLOT),
            ],
            "resources": resources,
            "volumeMounts": [*mounts, probe_mount],
            "lifecycle": pods.pre_stop(),
        }
        | pods.control_probes()
    )
    account = names.component(ctx.name, component)
    return {
        "metadata": {"labels": _labels(ctx, component) | {names.LABEL_SLOT: names.MARK_SLOT}},
        "spec": pods.pod_spec(
            account,
            container,
            [*volumes, probe],
            topologySpreadConstraints=pods.spread(ctx.selector(component)),
        ),
    }


def fill(template: Any, number: int, slot: str = "", phase: str = "") -> Any:
    """A copy of a record's template with release number, slot and phase of migrations where their marks are."""
    if isinstance(template, dict):
        return {key: fill(value, number, slot, phase) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, number, slot, phase) for value in template]
    marks = {names.MARK_RELEASE: str(number), names.MARK_SLOT: slot, names.MARK_PHASE: phase}
    return marks.get(template, template) if isinstance(template, str) else template


def _labels(ctx: EngineContext, component: names.Component) -> Manifest:
    return ctx.labels(component) | {names.LABEL_RELEASE: names.MARK_RELEASE}


def _marks(slot: str) -> list[Manifest]:
    return pods.env({"TE_SLOT": slot, "TE_RELEASE": names.MARK_RELEASE})


def _container(ctx: EngineContext, component: names.Component, args: list[str]) -> Manifest:
    return {
        "name": component,
        "image": image_of(ctx, component),
        "imagePullPolicy": ctx.spec.images.pull_policy,
        "args": args,
        "securityContext": pods.container_security(),
    }


def _environment(ctx: EngineContext, component: names.Component) -> list[Manifest]:
    plain = {
        "TE_COMPONENT": component,
        "TE_VERSION": ctx.spec.version,
        "TE_CONFIG": f"{pods.CONFIG_DIR}/config.json",
    }
    return [*pods.env(plain), pods.pod_name_env()]


def _store_env(*stores: Store) -> list[Manifest]:
    return pods.env({f"TE_{store.upper()}_URL_FILE": pods.store_file(store) for store in stores})


def _token_env() -> list[Manifest]:
    return pods.env({"TE_CONTROL_TOKEN_FILE": f"{pods.CONTROL_DIR}/token"})


def _serving_volumes(ctx: EngineContext, *stores: Store) -> tuple[list[Manifest], list[Manifest]]:
    """With the control token as a file: a Secret that changes reaches a running pod there, and nowhere else."""
    volumes, mounts = _volumes(ctx, *stores)
    secret = {"secretName": names.control_secret(ctx.name), "defaultMode": 0o440}
    volumes.append({"name": "control", "secret": secret})
    mounts.append({"name": "control", "mountPath": pods.CONTROL_DIR, "readOnly": True})
    return volumes, mounts


def _volumes(ctx: EngineContext, *stores: Store) -> tuple[list[Manifest], list[Manifest]]:
    volumes, mounts = pods.scratch(("tmp", "/tmp"))  # noqa: S108 - inside the pod
    for store in stores:
        secret, key = pods.store_secret(ctx.name, ctx.spec, store)
        volume, mount = pods.store_volume(store, secret, uri=key)
        volumes.append(volume)
        mounts.append(mount)
    volumes.append({"name": "configuration", "configMap": {"name": config_name(ctx)}})
    mounts.append({"name": "configuration", "mountPath": pods.CONFIG_DIR, "readOnly": True})
    return volumes, mounts
