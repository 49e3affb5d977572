"""Volumes: made and removed as claims come and go, and the edge's journals at fixed paths."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Kubectl, Manifest
from te_devcluster.network import NODES
from te_devcluster.paths import journals_dir, node_dir
from te_devcluster.system_images import HELPER_IMAGE

DEFAULT_CLASS = "local-path"
JOURNAL_CLASS = "tradingengine-journal"
PROVISIONER = "rancher.io/local-path"
PROVISIONER_NAMESPACE = "local-path-storage"
JOURNAL_USER = 10001
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SIZE = re.compile(r"[1-9][0-9]*(Mi|Gi|Ti)")


def storage_classes() -> list[Manifest]:
    """The default class, whose `local` volumes honour fsGroup, and the journals' class, which nobody provisions."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": DEFAULT_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true", "defaultVolumeType": "local"},
            },
            "provisioner": PROVISIONER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": JOURNAL_CLASS},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
        },
    ]


def provisioner_config() -> Manifest:
    """The provisioner's configuration: where each node keeps its volumes."""
    return {"nodePathMap": [{"node": net.name, "paths": [str(node_dir(net.name) / "volumes")]} for net in NODES]}


def helper_pod() -> Manifest:
    """The pod that makes and removes a volume's folder; root, since the folder's parent is root's."""
    container = {
        "name": "helper-pod",
        "image": HELPER_IMAGE,
        "imagePullPolicy": "Never",
        "securityContext": {"runAsUser": 0},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"priorityClassName": "system-node-critical", "containers": [container]},
    }


def provisioner_objects(config: str, helper: str) -> list[Manifest]:
    """Namespace, service account and ConfigMap that the provisioner (a process in the hub) refers to."""
    meta = {"namespace": PROVISIONER_NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROVISIONER_NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**meta, "name": "local-path-provisioner-service-account"},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**meta, "name": "local-path-config"},
            "data": {
                "config.json": config,
                "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
                "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
                "helperPod.yaml": helper,
            },
        },
    ]


def volume_name(namespace: str, engine: str) -> str:
    """The journal's PersistentVolume."""
    return f"te-journal-{namespace}-{engine}"


def journal_path(namespace: str, engine: str) -> Path:
    """The journal's folder on the edge, the same after every restart of everything."""
    return journals_dir() / f"{namespace}-{engine}"


def check_names(namespace: str, engine: str, size: str = "5Gi") -> None:
    """Refuses what Kubernetes would not take as names or as a size."""
    for what, value in (("namespace", namespace), ("engine name", engine)):
        if not _NAME.fullmatch(value):
            raise DevclusterError(f"`{value}` is no {what}", "use small letters, digits and dashes")
    if not _SIZE.fullmatch(size):
        raise DevclusterError(f"`{size}` is no size", "say it like 5Gi or 500Mi")


def journal_volume(
    namespace: str, engine: str, size: str, path: Path | None = None, hostname: str = "edge"
) -> Manifest:
    """The static `local` PersistentVolume, bound in advance to the claim of the engine's edge pod.

    `path` is on the node with that `hostname` (its label); None is where the devcluster keeps journals.
    """
    node_term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(namespace, engine), "labels": {"tradingengine.io/journal": engine}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": JOURNAL_CLASS,
            "volumeMode": "Filesystem",
            "local": {"path": str(path or journal_path(namespace, engine))},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [node_term]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace,
                "name": f"journal-{engine}-edge-0",
            },
        },
    }


def add_journal(kubectl: Kubectl, namespace: str, engine: str, size: str) -> None:
    """Makes the folder and the volume; may be repeated. A volume whose claim is gone becomes free again."""
    check_names(namespace, engine, size)
    path = journal_path(namespace, engine)
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, JOURNAL_USER, JOURNAL_USER)
    path.chmod(0o770)
    name = volume_name(namespace, engine)
    phase = kubectl.run("get", "pv", name, "--ignore-not-found", "-o", "jsonpath={.status.phase}").strip()
    if phase in ("Released", "Failed"):
        # The claim it was bound to is gone: without the old claim's uid the next claim of that name takes it.
        kubectl.run(
            "patch", "pv", name, "--type=merge", "-p", '{"spec":{"claimRef":{"uid":null,"resourceVersion":null}}}'
        )
    elif not phase:
        kubectl.apply([journal_volume(namespace, engine, size)])


def remove_journal(kubectl: Kubectl, namespace: str, engine: str) -> None:
    """Removes the volume and the folder with all that is in it; refused while a claim uses it."""
    check_names(namespace, engine)
    name = volume_name(namespace, engine)
    phase = kubectl.run("get", "pv", name, "--ignore-not-found", "-o", "jsonpath={.status.phase}").strip()
    if phase == "Bound":
        claim = f"journal-{engine}-edge-0"
        raise DevclusterError(
            f"the journal of {namespace}/{engine} is in use by the claim {claim}",
            f"kubectl -n {namespace} delete pvc {claim}",
        )
    kubectl.run("delete", "pv", name, "--ignore-not-found")
    shutil.rmtree(journal_path(namespace, engine), ignore_errors=True)
