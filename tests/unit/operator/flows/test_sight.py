"""From objects of the cluster to what the flows see; conditions and phase."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.flows.conditions import Conditions, Overview, explain, phase_of
from tradingengine_operator.flows.sight import (
    COMING_SECONDS,
    Drained,
    is_coming,
    migration_sight,
    slot_sight,
    trouble_of,
)

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def pod(
    component: str, release: int = 2, *, ready: bool = True, restarts: int = 0, age: int = 600, **status: Any
) -> Any:
    """A pod of slot b."""
    created = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"{component}-{release}-{restarts}-{age}"
    container = {"name": component, "image": "image:1", "restartCount": restarts, "ready": ready, "started": ready}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "trading",
            "uid": f"uid-{name}",
            "creationTimestamp": created,
            "labels": {
                names.LABEL_COMPONENT: component,
                names.LABEL_SLOT: "b",
                names.LABEL_RELEASE: str(release),
            },
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container | status],
        },
    }


def deployments(release: int = 2, replicas: int = 1) -> dict[str, Any]:
    """Deployments of slot b."""
    metadata = {"labels": {names.LABEL_RELEASE: str(release)}}
    return {part: {"metadata": metadata, "spec": {"replicas": replicas}} for part in names.SLOT_COMPONENTS}


def sight(pods: list[Any], replicas: int = 1) -> Any:
    return slot_sight("b", deployments(replicas=replicas), pods, Drained(), NOW)


def edge_pod(*, started: bool = True, phase: str = "Running", since: int = 0, **metadata: Any) -> Any:
    """An edge's pod whose Ready condition changed `since` seconds ago."""
    made = pod("edge", started=started)
    made["metadata"] |= metadata
    made["status"]["phase"] = phase
    changed = (NOW - timedelta(seconds=since)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made["status"]["conditions"][0]["lastTransitionTime"] = changed
    return made


def ending(asked: int) -> dict[str, Any]:
    """Metadata of a pod that was deleted `asked` seconds ago with 40 s of grace."""
    by = (NOW + timedelta(seconds=40 - asked)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"deletionTimestamp": by, "deletionGracePeriodSeconds": 40}


LONG = int(COMING_SECONDS) + 1


@pytest.mark.parametrize(
    ("seen", "coming"),
    [
        (None, True),
        (edge_pod(phase="Pending", started=False, since=LONG), True),
        (edge_pod(started=False), True),
        (edge_pod(started=False, since=LONG), False),
        (edge_pod(), False),
        (edge_pod(**ending(1)), True),
        (edge_pod(**ending(LONG)), False),
    ],
    ids=["absent", "never started", "restarted", "silent since", "runs", "ends", "silent in its end"],
)
def test_a_pod_that_is_coming_is_told_from_one_that_is_cut_off(seen: Any, coming: bool) -> None:
    assert is_coming(seen, NOW) is coming


def test_a_complete_slot() -> None:
    seen = sight([pod("api"), pod("dashboard")])
    assert seen.release == 2
    assert seen.complete
    assert seen.pods == 2


def test_the_component_that_is_behind_counts() -> None:
    seen = sight([pod("api"), pod("api", age=601), pod("dashboard")], replicas=2)
    assert (seen.ready, seen.wanted) == (1, 2)
    assert not seen.complete


def test_pods_of_two_releases_are_no_release() -> None:
    seen = sight([pod("api", 1), pod("api", 2), pod("dashboard", 2)])
    assert seen.release is None
    assert not seen.complete


def test_pods_that_end_or_of_another_slot_do_not_count() -> None:
    ending, other = pod("api", age=30), pod("api", age=31)
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    other["metadata"]["labels"][names.LABEL_SLOT] = "a"
    assert sight([ending, other, pod("dashboard")]).ready == 0


def test_a_young_pod_that_was_never_ready_is_in_start_up() -> None:
    seen = sight([pod("api", ready=False, age=10), pod("dashboard")])
    assert (seen.ready, seen.starting) == (0, 1)
    assert sight([pod("api", ready=False, age=61), pod("dashboard")]).starting == 0
    assert sight([pod("api", ready=False, age=10, restarts=1), pod("dashboard")]).starting == 0


def test_restarts_and_kills_for_memory() -> None:
    killed = pod("api", restarts=2, lastState={"terminated": {"reason": "OOMKilled"}})
    seen = sight([killed, pod("dashboard")])
    assert seen.restarts[killed["metadata"]["uid"]] == 2
    assert seen.oom_killed == killed["metadata"]["name"]


@pytest.mark.parametrize(
    ("waiting", "reason", "words"),
    [
        ("ImagePullBackOff", "ImagePullFailed", "image:1"),
        ("CrashLoopBackOff", "CrashLoopBackOff", "logs api"),
        ("CreateContainerConfigError", "CreateContainerConfigError", "describe pod"),
    ],
)
def test_trouble_names_reason_and_mend(waiting: str, reason: str, words: str) -> None:
    found = trouble_of(pod("api", ready=False, state={"waiting": {"reason": waiting, "message": "no"}}))
    assert found is not None
    assert found.reason == reason
    assert words in found.mend


def test_a_pod_without_a_node_is_trouble_and_a_starting_one_is_not() -> None:
    lonely = pod("api", ready=False)
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    lonely["status"]["conditions"].append(unscheduled)
    found = trouble_of(lonely)
    assert found is not None
    assert found.reason == "Unschedulable"
    assert trouble_of(pod("api", ready=False, state={"waiting": {"reason": "ContainerCreating"}})) is None


@pytest.mark.parametrize(("component", "words"), [("edge", "devcluster journal add"), ("database", "StorageClass")])
def test_a_pod_whose_volume_is_missing_names_the_claim(component: str, words: str) -> None:
    lonely = pod(component, ready=False)
    message = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    lonely["status"]["conditions"].append(unscheduled)
    lonely["spec"] = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "the-claim"}}]}
    found = trouble_of(lonely)
    assert found is not None
    assert "trading/the-claim" in found.mend
    assert words in found.mend


def test_migrations() -> None:
    assert not migration_sight(None, []).exists
    job: dict[str, Any] = {"metadata": {"name": "desk-migrate-2"}, "status": {}}
    assert migration_sight(job, []).exists
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]}
    seen = migration_sight(job, [])
    assert seen.failed
    assert "BackoffLimitExceeded" in seen.message
    assert "logs job/desk-migrate-2" in seen.mend


def test_migrations_whose_image_cannot_be_pulled_say_so_with_the_mend() -> None:
    job: dict[str, Any] = {"metadata": {"name": "desk-migrate-2"}, "status": {}}
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    seen = migration_sight(job, [pod("migrations", ready=False, state=waiting)])
    assert not seen.failed
    assert seen.reason == "ImagePullFailed"
    assert "no such image" in seen.message
    assert "image:1" in seen.mend


def test_transition_times_change_with_the_status_alone() -> None:
    first = Conditions.begin([], 1, NOW)
    first.set("Ready", "False", "Starting", "soon")
    later = Conditions.begin(first.to_list(), 2, NOW + timedelta(minutes=1))
    later.set("Ready", "False", "Waiting", "later")
    assert later.entries["Ready"]["lastTransitionTime"] == first.entries["Ready"]["lastTransitionTime"]
    assert later.entries["Ready"]["observedGeneration"] == 2
    assert [flip.reason for flip in later.flips] == ["Waiting"]
    later.set("Ready", "True", "Serving")
    assert later.entries["Ready"]["lastTransitionTime"] != first.entries["Ready"]["lastTransitionTime"]
    again = Conditions.begin(later.to_list(), 2, NOW + timedelta(minutes=2))
    again.set("Ready", "True", "Serving")
    assert again.flips == []
    assert again.to_list() == later.to_list()


@pytest.mark.parametrize(
    ("overview", "phase"),
    [
        (Overview(), "Preparing"),
        (Overview(blocked=True), "Pending"),
        (Overview(spec_valid=False), "Pending"),
        (Overview(installed=True, ready=True), "Running"),
        (Overview(installed=True, ready=True, releasing=True), "Releasing"),
        (Overview(installed=True, ready=True, withdrawn=True), "Withdrawn"),
        (Overview(installed=True), "Degraded"),
        (Overview(installed=True, ready=True, spec_valid=False), "Degraded"),
        (Overview(installed=True, ready=True, paused=True), "Paused"),
        (Overview(installed=True, ready=True, paused=True, deleting=True), "Deleting"),
    ],
)
def test_phases(overview: Overview, phase: str) -> None:
    assert phase_of(overview) == phase


def test_explained_messages_end_with_the_mend() -> None:
    assert explain("it broke.", "mend it") == "it broke. To mend: mend it"
    assert explain("it broke.") == "it broke"
