"""The embedded Redis."""

from __future__ import annotations

from . import names, pods, stateful
from .context import EngineContext, Manifest


def build_cache(ctx: EngineContext) -> list[Manifest]:
    """Service and StatefulSet of the embedded cache; nothing when it is managed."""
    if ctx.spec.cache.type != "embedded":
        return []
    name = names.cache(ctx.name)
    return [
        stateful.service(ctx, name, "cache", "redis", names.CACHE_PORT),
        stateful.stateful_set(
            ctx, name, "cache", _template(ctx), stateful.claim_template(ctx, "data", "cache", ctx.spec.cache.storage)
        ),
    ]


def _template(ctx: EngineContext) -> Manifest:
    volumes, mounts = pods.scratch(("tmp", "/tmp"))  # noqa: S108 - inside the pod
    # The address is for a person who has to restore the Secret.
    files = {"redis.conf": "redis.conf", "uri": "uri"}
    configuration, mount = pods.store_volume("cache", names.store_access(ctx.name, "cache"), **files)
    container: Manifest = {
        "name": "redis",
        "image": ctx.images.redis,
        "imagePullPolicy": ctx.spec.images.pull_policy,
        "command": ["redis-server", f"{pods.SECRETS_DIR}/cache/redis.conf"],
        "ports": [{"name": "redis", "containerPort": names.CACHE_PORT, "protocol": "TCP"}],
        "resources": pods.resources("20m", "32Mi", "1", "384Mi"),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            mount,
            *mounts,
        ],
        # While the log is read back the port is open and PING fails, so only its answer tells. It needs no password, so
        # that a change of it never ends the server.
    } | pods.exec_probes(["sh", "-c", f'[ "$(redis-cli -p {names.CACHE_PORT} ping)" = PONG ]'])
    return {
        "metadata": {"labels": ctx.labels("cache")},
        "spec": pods.pod_spec(names.component(ctx.name, "cache"), container, [configuration, *volumes]),
    }
