"""Pruning and fingerprints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import (
    by_key,
    desired_digest,
    key_of,
    owned_digest,
    owns_replicas,
    slim,
)
from tradingengine_operator.plan.prune import job_outcome, old_records, prunable

from tests.unit.operator.builders.engines import all_manifests, context

pytestmark = pytest.mark.unit
CTX = context()


def observed(retain: bool = True) -> list[dict[str, Any]]:
    """Everything an engine is made of, as if read back."""
    return all_manifests(CTX if retain else context({"deletionPolicy": "delete"}))


def test_nothing_wanted_is_pruned() -> None:
    children = observed()
    assert prunable(children, {key_of(child) for child in children}, CTX.uid) == []


@pytest.mark.parametrize("retain", [True, False])
def test_data_and_records_are_never_pruned(retain: bool) -> None:
    gone = prunable(observed(retain), set(), CTX.uid)
    assert {child["kind"] for child in gone} & {"Secret", "PersistentVolumeClaim", "Pod", "Job"} == set()
    assert not [child for child in gone if "-release-" in child["metadata"]["name"]]
    assert {"Deployment", "StatefulSet", "Service", "NetworkPolicy"} <= {child["kind"] for child in gone}


def test_children_of_somebody_else_stay() -> None:
    gone = prunable(observed(), set(), "another-uid")
    assert {key_of(child).name for child in gone} == {
        child["metadata"]["name"] for child in observed() if child["metadata"]["name"].startswith("desk-config-")
    }


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    children = [child for child in observed() if child["kind"] == "Service"]
    for child in children:
        child["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    assert prunable(children, set(), CTX.uid) == []


def test_jobs_go_once_they_are_over() -> None:
    job = next(child for child in observed() if child["kind"] == "Job")
    assert job_outcome(job) is None
    assert prunable([job], set(), CTX.uid) == []
    job["status"] = {"conditions": [{"type": "Failed", "status": "False"}, {"type": "Complete", "status": "True"}]}
    assert job_outcome(job) == "Complete"
    assert prunable([job], set(), CTX.uid) == [job]


@given(
    numbers=st.sets(st.integers(min_value=1, max_value=200), max_size=40),
    referenced=st.sets(st.integers(min_value=1, max_value=200), max_size=3),
    limit=st.integers(min_value=2, max_value=20),
)
def test_history_keeps_the_newest_and_what_slots_are_made_from(
    numbers: set[int], referenced: set[int], limit: int
) -> None:
    gone = set(old_records(numbers, referenced, limit))
    kept = numbers - gone
    assert not gone & referenced
    assert len(kept) <= limit + len(referenced)
    assert set(sorted(numbers, reverse=True)[:limit]) <= kept


def entry(manager: str, fields: dict[str, Any], operation: str = "Apply", subresource: str = "") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, "subresource": subresource, "time": "now"}


def test_fingerprint_is_of_our_applied_fields_alone() -> None:
    mine = entry("me", {"f:spec": {"f:ports": {}}})
    alone = {"metadata": {"managedFields": [mine]}}
    with_others = {"metadata": {"managedFields": [mine, entry("you", {"f:status": {}}, "Update", "status")]}}
    later = {"metadata": {"managedFields": [mine | {"time": "later"}]}}
    stolen = {"metadata": {"managedFields": [entry("me", {"f:spec": {}})]}}
    assert owned_digest(alone, "me") == owned_digest(with_others, "me") == owned_digest(later, "me")
    assert owned_digest(alone, "me") != owned_digest(stolen, "me")
    assert owned_digest({"metadata": {}}, "me") == ""


def test_who_owns_replicas() -> None:
    deployment = {
        "metadata": {"managedFields": [entry("te-scale", {"f:spec": {"f:replicas": {}}}, subresource="scale")]}
    }
    assert owns_replicas(deployment, "te-scale")
    assert not owns_replicas(deployment, "tradingengine-operator")


def test_an_object_that_is_kept_says_the_same_of_us_and_nothing_of_others() -> None:
    me, scale = "tradingengine-operator", "te-scale"
    fields = [
        entry(me, {"f:spec": {"f:ports": {}}}),
        entry(scale, {"f:spec": {"f:replicas": {}}}, subresource="scale"),
        entry("kubelet", {"f:status": {"f:phase": {}}}, "Update", "status"),
    ]
    observed = {"metadata": {"name": "desk", "managedFields": fields}, "spec": {"replicas": 1}}
    for kept in (slim(observed), slim(slim(observed))):
        assert owned_digest(kept, me) == owned_digest(observed, me) != ""
        assert (owns_replicas(kept, scale), owns_replicas(kept, me)) == (True, False)
        assert [found["manager"] for found in kept["metadata"]["managedFields"]] == [me, scale]
        assert "f:ports" not in str(kept)
        assert "f:ports" in str(observed), "what was given is not changed"
        assert (kept["metadata"]["name"], kept["spec"]) == ("desk", {"replicas": 1})
    assert slim({"metadata": {"name": "desk"}}) == {"metadata": {"name": "desk"}}


def test_objects_that_are_kept_share_their_texts() -> None:
    """Fifty engines have the same fields in every object; each copy of a name would be kept apart."""
    text = json.dumps({"metadata": {"name": "desk"}, "spec": {"template": [{"image": "localhost/api:1"}, None, 2]}})
    first, second = slim(json.loads(text)), slim(json.loads(text))
    assert first == second == json.loads(text)
    one, other = (kept["spec"]["template"][0] for kept in (first, second))
    assert one is not other
    assert one["image"] is other["image"]
    assert next(iter(one)) is next(iter(other))


def test_digest_and_keys() -> None:
    children = by_key(observed())
    assert len(children) == len(observed())
    deployment = next(child for child in children.values() if child["kind"] == "Deployment" and "api" in str(child))
    assert desired_digest(deployment) == desired_digest(dict(reversed(deployment.items())))


def test_paths() -> None:
    assert kinds.POD.path("ns", "x", "status") == "/api/v1/namespaces/ns/pods/x/status"
    assert kinds.ROUTE.path("ns") == "/apis/gateway.networking.k8s.io/v1/namespaces/ns/httproutes"
    assert kinds.Kind("v1", "Node", "nodes", cluster=True).path("", "n") == "/api/v1/nodes/n"
    assert kinds.kind_of({"apiVersion": "apps/v1", "kind": "Deployment"}) is kinds.DEPLOYMENT
