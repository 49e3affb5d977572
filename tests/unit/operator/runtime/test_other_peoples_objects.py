"""What somebody else gave the name of a child: nobody takes it over, uses it, or deletes it."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ConflictError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.runtime.observe.reader import ListReader
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy
from tradingengine_operator.runtime.reconcile.child_writer import ChildWriter
from tradingengine_operator.runtime.reconcile.children import read_children

from .fake_api import NAMESPACE
from .rig import Bench
from .test_passwords import values
from .test_reconciler import running

pytestmark = pytest.mark.unit
THEIRS = {names.LABEL_INSTANCE: "risk", names.LABEL_MANAGED_BY: "Helm"}
OWNER = {"apiVersion": "v1", "kind": "Vault", "name": "desk", "uid": "vault-1", "controller": True}


def thing(kind: str, name: str, labels: dict[str, str] | None = None, **more: Any) -> Manifest:
    """An object that a person makes."""
    metadata = {"name": name, "namespace": NAMESPACE} | ({"labels": labels} if labels else {})
    api_version = "apps/v1" if kind == "StatefulSet" else "v1"
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def secret(name: str, labels: dict[str, str] | None = None, **said: str) -> Manifest:
    """A Secret that a person makes."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in said.items()}
    return thing("Secret", name, labels, data=data)


async def end(bench: Bench) -> None:
    """The engine is deleted: data by policy, the rest with its owner."""
    await apply_deletion_policy(cast(KubernetesClient, bench.api), bench.api.objects[KIND, "desk"])
    bench.api.end(kinds.ENGINE, "desk")


@pytest.mark.parametrize("labels", [None, THEIRS])
async def test_a_strangers_stateful_set_and_its_claim_outlive_the_engine(labels: dict[str, str] | None) -> None:
    bench = Bench(deletionPolicy="delete")
    stranger = {
        "replicas": 1,
        "template": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "x", "image": "theirs:1"}]}},
    }
    bench.api.put(thing("StatefulSet", "desk-cache", labels, spec=stranger))
    bench.api.put(thing("PersistentVolumeClaim", "data-desk-cache-0", labels))
    for _ in range(3):
        await bench.turn()
    assert bench.condition("Ready")["reason"] == "NameTaken"
    assert "data-desk-database-0" in bench.names(kinds.CLAIM)
    await end(bench)
    assert bench.names(kinds.STATEFUL_SET) == {"desk-cache"}
    assert bench.names(kinds.CLAIM) == {"data-desk-cache-0"}
    assert bench.names(kinds.SECRET) == set()


@pytest.mark.parametrize("adopted", [False, True])
async def test_a_secret_that_the_specification_lends_outlives_the_engine(adopted: bool) -> None:
    """Also when the store was one of ours before, so that the Secret has got our labels."""
    managed = {"type": "managed", "managed": {"secretName": "desk-database"}}
    bench = await running(deletionPolicy="delete") if adopted else Bench(deletionPolicy="delete")
    if not adopted:
        lent = {names.LABEL_USE: "desk"}
        bench.api.put(secret("desk-database", lent, uri="postgresql://user:word@127.0.0.1:1/0"))
    bench.ask(deletionPolicy="delete", database=managed)
    for _ in range(3):
        await bench.turn()
    await end(bench)
    assert bench.names(kinds.SECRET) == {"desk-database"}


async def test_only_the_very_object_that_was_looked_at_is_deleted() -> None:
    """Somebody else's comes between the look and the deletion."""
    bench = await running(deletionPolicy="delete")

    def replaced(write: str) -> None:
        if write == "delete Secret/desk-cache" and "uid" not in swapped:
            del bench.api.objects["Secret", "desk-cache"]
            swapped["uid"] = bench.api.put(secret("desk-cache", THEIRS, key="theirs"))["metadata"]["uid"]

    swapped: dict[str, str] = {}
    bench.api.before_write = replaced
    await end(bench)
    assert swapped
    assert bench.names(kinds.SECRET) == {"desk-cache"}


async def test_a_deletion_that_never_meets_what_it_saw_is_no_success() -> None:
    bench = await running(deletionPolicy="delete")

    def replaced(write: str) -> None:
        if write == "delete PersistentVolumeClaim/data-desk-cache-0":
            claim = bench.api.objects.pop(("PersistentVolumeClaim", "data-desk-cache-0"))
            metadata = {"name": "data-desk-cache-0", "labels": claim["metadata"]["labels"]}
            bench.api.put({**claim, "metadata": metadata})

    bench.api.before_write = replaced
    with pytest.raises(ConflictError):
        await end(bench)


@pytest.mark.parametrize("name", ["desk-control", "desk-prober", "desk-cache", "desk-cache-access", "desk-database"])
@pytest.mark.parametrize("how", ["labels", "controller"])
async def test_a_secret_of_somebody_else_is_neither_used_nor_written(name: str, how: str) -> None:
    bench = Bench()
    theirs = secret(name, THEIRS if how == "labels" else None, password="a-word-of-theirs", token="a-token-of-theirs")
    if how == "controller":
        theirs["metadata"]["ownerReferences"] = [OWNER]
    before = bench.api.put(theirs)
    for _ in range(3):
        await bench.turn()
    assert bench.api.objects["Secret", name] == before
    assert bench.condition("Ready")["reason"] == "NameTaken"
    assert f"Secret {name} " in bench.condition("Ready")["message"]
    used = {value for other in bench.names(kinds.SECRET) - {name} for value in values(bench, other).values()}
    assert not [value for value in used if "of-theirs" in value]
    del bench.api.objects["Secret", name]
    await bench.settle()
    assert bench.status["phase"] == "Running"


async def test_a_secret_that_a_person_made_beforehand_is_the_wish() -> None:
    """As by `kubectl create secret generic desk-database --from-file=password=...`: without any labels."""
    bench = Bench()
    bench.api.put(secret("desk-database", password="a-word-of-mine"))
    await bench.settle()
    assert bench.status["phase"] == "Running"
    assert values(bench, "desk-database-access")["password"] == "a-word-of-mine"
    assert bench.api.objects["Secret", "desk-database"]["metadata"]["labels"][names.LABEL_INSTANCE] == "desk"


GITOPS = {names.LABEL_INSTANCE: "argo-desk", "kustomize.toolkit.fluxcd.io/name": "apps"}


@pytest.mark.parametrize("labels", [GITOPS, {**THEIRS, names.LABEL_USE: "desk"}], ids=["tool", "given"])
@pytest.mark.parametrize("name", ["desk-database", "desk-cache", "desk-control"])
async def test_a_secret_from_a_repository_is_used_and_keeps_the_labels_of_its_tool(
    name: str, labels: dict[str, str]
) -> None:
    bench = Bench(deletionPolicy="delete")
    said = {"token": "a-token-of-mine"} if name == "desk-control" else {"password": "a-word-of-mine"}
    bench.api.put(secret(name, labels, **said))
    await bench.settle()
    assert bench.status["phase"] == "Running"
    assert labels.items() <= bench.api.objects["Secret", name]["metadata"]["labels"].items()
    if name == "desk-control":
        assert values(bench, name)["token"] == "a-token-of-mine"
    else:
        assert values(bench, f"{name}-access")["password"] == "a-word-of-mine"
    before = len(bench.api.writes)
    for _ in range(3):
        await bench.turn()
    assert bench.api.writes[before:] == [], "nobody fights for a label"
    await end(bench)
    assert bench.names(kinds.SECRET) - {"desk-control"} <= {name}, "it is a person's, and stays"


@pytest.mark.parametrize("labels", [GITOPS, THEIRS], ids=["tool", "helm"])
async def test_a_secret_that_the_specification_names_may_have_any_labels(labels: dict[str, str]) -> None:
    managed = {"type": "managed", "managed": {"secretName": "pg"}}
    bench = Bench(database=managed)
    bench.api.put(secret("pg", {**labels, names.LABEL_USE: "desk"}, uri="postgresql://user:word@127.0.0.1:1/0"))
    await bench.turn()
    assert bench.condition("SecretsReady")["status"] == "True"
    assert bench.condition("Ready")["reason"] != "NameTaken"


async def test_a_name_that_is_taken_says_how_a_secret_is_given() -> None:
    bench = Bench()
    bench.api.put(secret("desk-database", THEIRS, password="a-word-of-theirs"))
    await bench.turn()
    assert "gets the label tradingengine.io/use=desk" in bench.condition("Ready")["message"]


async def test_a_child_whose_deletion_was_refused_is_seen_until_the_next_pass() -> None:
    bench = await running()
    client = cast(KubernetesClient, bench.api)
    children = await read_children(client, NAMESPACE, "desk")
    tools = bench.tools()
    writer = ChildWriter(client, ListReader(client), tools.applier, NAMESPACE, children)
    service = children.objects[Key("Service", "desk-cache")]
    del bench.api.objects["Service", "desk-cache"]
    bench.api.put({**service, "metadata": {"name": "desk-cache", "labels": service["metadata"]["labels"]}})
    await writer.delete(kinds.SERVICE, service)
    assert writer.seen.get(kinds.SERVICE, "desk-cache") is not None
    del bench.api.objects["Service", "desk-cache"]
    await writer.delete(kinds.SERVICE, service)
    assert writer.seen.get(kinds.SERVICE, "desk-cache") is None
