"""`make demo-down` of a cluster that was there: what the record names, last made first, and nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from te_devcluster.commands import wait_until
from te_devcluster.console import say, step
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Manifest

from te_demo.existing import sight
from te_demo.existing.access import ContextKubectl, cluster_id
from te_demo.existing.hand import FOLDER, Hand
from te_demo.existing.record import LABEL, Record, Thing
from te_demo.existing.sight import ENGINE_CRD
from te_demo.product import ENGINE, HELM_RELEASE, NAMESPACE, OPERATOR_NAMESPACE

ENGINE_SECONDS = 120.0
GONE_SECONDS = 180.0
LEASE = "tradingengine-operator"


def take_away(record: Record) -> None:
    """All of one cluster's. What was taken away leaves the record at once, so that a second try goes on from there.

    Raises DevclusterError when the cluster does not answer, is another one by now, or a thing does not go.
    """
    kubectl = ContextKubectl(record.access)
    sight.versions(kubectl)
    found = cluster_id(kubectl)
    if found != record.cluster:
        raise DevclusterError(
            f"the context {record.access.context} leads to another cluster by now; the demo was on "
            f"{record.access.server}",
            "make the context lead there again; or, if that cluster is gone: make demo-down FORGET=1",
        )
    say(f"the demo's things in the cluster of the context {record.access.context}:")
    ends = _ends(kubectl, record)
    for thing in list(reversed(record.things)):
        if thing in record.things:
            with step(f"  {thing}"):
                ends[thing.kind](thing)
            if thing in record.things:
                record.done(thing)
    record.forget()
    if record.images:
        say(f"the images stay where they were brought ({record.images})")


def _ends(kubectl: ContextKubectl, record: Record) -> dict[str, Callable[[Thing], None]]:
    """How each kind of thing is taken away."""
    return {
        "label": lambda thing: _unlabel(kubectl, thing),
        "namespace": lambda thing: _remove(kubectl, record, thing),
        "crd": lambda thing: _remove_crd(kubectl, thing),
        "release": lambda thing: _uninstall(kubectl, thing),
        "storageclass": lambda thing: _remove(kubectl, record, thing),
        "persistentvolume": lambda thing: _remove(kubectl, record, thing),
        "engine": lambda thing: _remove_engine(kubectl, record, thing),
        FOLDER: lambda thing: _remove_folders(kubectl, record),
    }


def _get(kubectl: ContextKubectl, kind: str, name: str, namespace: str = "") -> Manifest | None:
    where = [f"--namespace={namespace}"] if namespace else []
    text = kubectl.run("get", kind, name, *where, "--ignore-not-found", "--output=json")
    found: Manifest | None = json.loads(text) if text.strip() else None
    return found


def _remove(kubectl: ContextKubectl, record: Record, thing: Thing) -> None:
    """Deletes it if it still carries our mark, and waits until it is gone."""
    found = _get(kubectl, thing.kind, thing.name)
    if found is None:
        return
    if (found["metadata"].get("labels") or {}).get(LABEL) != record.mark:
        say(f"  {thing} is left: it is not the one that the demo made")
        return
    limit = f"--timeout={GONE_SECONDS:.0f}s"
    kubectl.run("delete", thing.kind, thing.name, "--ignore-not-found", limit, timeout=GONE_SECONDS + 10)


def _unlabel(kubectl: ContextKubectl, thing: Thing) -> None:
    node = _get(kubectl, "node", thing.detail)
    if node is not None and (node["metadata"].get("labels") or {}).get(thing.name) == "edge":
        kubectl.run("label", "node", thing.detail, f"{thing.name}-")


def _remove_engine(kubectl: ContextKubectl, record: Record, thing: Thing) -> None:
    """The engine with its data: the claims first say that their volumes go with them, whatever their class would do."""
    volumes = [name for name in _volumes(kubectl) if not record.has("persistentvolume", name)]
    for name in volumes:
        patch = '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'
        kubectl.run("patch", "pv", name, "--type=merge", "-p", patch)
    where = [f"--namespace={thing.namespace}"]
    if kubectl.there("crd", ENGINE_CRD) and kubectl.there("tradingengine", thing.name, thing.namespace):
        with contextlib.suppress(CommandError):  # an engine that is refused as it is can be deleted all the same
            patch = '{"spec":{"deletionPolicy":"delete"}}'
            kubectl.run("patch", "tradingengine", thing.name, *where, "--type=merge", "-p", patch)
        _delete_engine(kubectl, thing, where)
    selector = f"--selector=app.kubernetes.io/instance={ENGINE}"
    # The operator may never have run: what it would have removed goes by its label.
    kubectl.run("delete", "statefulsets,deployments,jobs,pods", *where, selector, "--timeout=90s", timeout=100)
    kubectl.run("delete", "persistentvolumeclaims,secrets,configmaps", *where, selector, "--timeout=90s", timeout=100)
    wait_until(
        "nothing of the engine left",
        lambda: not sight.left_over(kubectl),
        timeout=GONE_SECONDS,
        every=1.0,
        hint=lambda: ", ".join(sight.left_over(kubectl)[:10]),
    )
    wait_until(
        "the engine's volumes gone",
        lambda: not [name for name in volumes if kubectl.there("pv", name)],
        timeout=GONE_SECONDS,
        every=1.0,
        hint=lambda: "kubectl get pv says which is left, and why",
    )


def _delete_engine(kubectl: ContextKubectl, thing: Thing, where: list[str]) -> None:
    delete = ["delete", "tradingengine", thing.name, *where, "--ignore-not-found"]
    if _operator_works(kubectl):
        kubectl.run(*delete, f"--timeout={ENGINE_SECONDS:.0f}s", timeout=ENGINE_SECONDS + 10)
        return
    say("  no operator works, so the engine's end is made without it")
    kubectl.run(*delete, "--wait=false")
    patch = '{"metadata":{"finalizers":null}}'
    with contextlib.suppress(CommandError):  # without a finalizer it is gone already
        kubectl.run("patch", "tradingengine", thing.name, *where, "--type=merge", "-p", patch)


def _operator_works(kubectl: ContextKubectl) -> bool:
    found = _get(kubectl, "deployment", HELM_RELEASE, OPERATOR_NAMESPACE)
    return found is not None and int(found.get("status", {}).get("readyReplicas") or 0) > 0


def _volumes(kubectl: ContextKubectl) -> list[str]:
    """The volumes behind the engine's claims."""
    selector = f"--selector=app.kubernetes.io/instance={ENGINE}"
    text = kubectl.run("get", "pvc", f"--namespace={NAMESPACE}", selector, "--output=json", check=False)
    claims = json.loads(text)["items"] if text.strip() else []
    return [str(claim["spec"]["volumeName"]) for claim in claims if claim["spec"].get("volumeName")]


def _uninstall(kubectl: ContextKubectl, thing: Thing) -> None:
    """The chart, without its hook (it may never have got its image): what that asks is asked here."""
    others = _engines(kubectl)
    if others:
        raise DevclusterError(
            f"engines that the demo did not make need this operator: {', '.join(others)}",
            "delete them first; then make demo-down",
        )
    options = ("--namespace", thing.namespace, "--ignore-not-found", "--no-hooks", "--wait", "--timeout", "120s")
    kubectl.helm("uninstall", thing.name, *options)
    kubectl.run("delete", "lease", LEASE, f"--namespace={thing.namespace}", "--ignore-not-found")


def _engines(kubectl: ContextKubectl) -> list[str]:
    if not kubectl.there("crd", ENGINE_CRD):
        return []
    items = kubectl.get("tradingengines", "--all-namespaces")["items"]
    return [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in items]


def _remove_crd(kubectl: ContextKubectl, thing: Thing) -> None:
    others = _engines(kubectl)
    if others:
        raise DevclusterError(f"engines are left: {', '.join(others)}", "delete them first; then make demo-down")
    kubectl.run("delete", "crd", thing.name, "--ignore-not-found", "--timeout=60s", timeout=70)


def _remove_folders(kubectl: ContextKubectl, record: Record) -> None:
    """All folders at once, by one pod on the node; those of a node that is gone are gone with it."""
    folders = [thing for thing in reversed(record.things) if thing.kind == FOLDER]
    node = folders[0].detail
    if not kubectl.there("node", node):
        say(f"  the node {node} is gone, and {folders[0].name} with it")
    else:
        with Hand(kubectl, record, node, record.hand_image) as hand:
            for thing in folders:
                if not hand.remove_folder(Path(thing.name)):
                    say(f"  {thing.name} is left: something else is in it")
    for thing in folders:
        record.done(thing)


def forget(record: Record) -> None:
    """For a cluster that is gone: its record is dropped, and nothing is taken away."""
    record.forget()
    say(f"forgotten: the demo in the cluster of the context {record.access.context} ({record.access.server})")
