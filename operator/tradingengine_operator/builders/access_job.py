"""The Job that makes a store's next password valid, or the one before invalid. It reads all from mounted files."""

from __future__ import annotations

from . import names, pods
from .context import EngineContext, Manifest
from .store_access import Store, StoreAccess


def build_access_job(ctx: EngineContext, store: Store, access: StoreAccess, act: str, image: str) -> Manifest:
    """The Job of one act and turn; what becomes of a failed one is decided by the flow."""
    files = {"uri": "uri", "turn": "turn", "stage": "stage"} | ({"other": "other"} if act == "accept" else {})
    volume, mount = pods.store_volume(store, names.store_access(ctx.name, store), **files)
    volumes, mounts = pods.scratch(("tmp", "/tmp"))  # noqa: S108 - inside the pod
    container: Manifest = {
        "name": "access",
        "image": image,
        "imagePullPolicy": ctx.spec.images.pull_policy,
        "args": ["store", act, store, "--turn", str(access.turn), "--folder", f"{pods.SECRETS_DIR}/{store}"],
        "resources": pods.resources("20m", "64Mi", "1", "256Mi"),
        "securityContext": pods.container_security(),
        "volumeMounts": [mount, *mounts],
    }
    account = names.component(ctx.name, "access")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": ctx.metadata(names.access_job(ctx.name, store, act, access.turn), "access"),
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 600,
            "completions": 1,
            "parallelism": 1,
            "template": {
                "metadata": {"labels": ctx.labels("access")},
                "spec": pods.pod_spec(account, container, [volume, *volumes], restartPolicy="Never"),
            },
        },
    }
