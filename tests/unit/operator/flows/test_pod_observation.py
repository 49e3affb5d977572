"""From objects of the cluster to what the flows see; conditions and phase."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.flows.conditions import Conditions, Overview, explain, phase_of
from tradingengine_operator.flows.pod_observation import (
    DrainObservation,
    PodAges,
    life_of,
    observe_migration,
    observe_slot,
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


def observe(pods: list[Any], replicas: int = 1) -> Any:
    return observe_slot(
        "b", deployments(replicas=replicas), pods, DrainObservation(), NOW, PodAges().look(pods, NOW, 0.0)
    )


def ago(seconds: float) -> str:
    """A time of the API server."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_slot_holds_a_release_until_its_last_pod_has_ended() -> None:
    ending, over = pod("api", 1), pod("dashboard", 3)
    ending["metadata"]["deletionTimestamp"] = ago(3)
    over["status"]["phase"] = "Failed"
    seen = observe([pod("api"), ending, over])
    assert (seen.release, seen.releases) == (2, {1, 2})
    none = observe_slot("b", {}, [ending, over], DrainObservation(), NOW, {})
    assert (none.pods, none.releases) == (0, frozenset({1}))


def test_a_pod_that_its_node_did_not_take_up_yet_lives_since_it_was_made() -> None:
    made = pod("edge", ready=False, age=30, state={"waiting": {"reason": "ContainerCreating"}})
    made["status"]["phase"] = "Pending"
    life = life_of(made)
    assert (life.placed, life.started, life.restarts) == (False, False, 0)
    assert life.begun == NOW - timedelta(seconds=30)
    assert life.waits == "ContainerCreating"
    # Seen at a first start: two writers of the volume at once, and the scheduler tries again by itself.
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "SchedulerError", "message": "object modified"}
    made["status"] = {"phase": "Pending", "conditions": [unscheduled]}
    assert life_of(made).waits == "a node"
    assert life_of(made).hindered == "SchedulerError: object modified"
    made["status"] = {}
    assert life_of(made).waits == "its node to take it up"


def test_a_running_pod_lives_since_its_container_began() -> None:
    running = pod("edge", ready=False, age=90, state={"running": {"startedAt": ago(20)}})
    running["status"]["phase"] = "Running"
    life = life_of(running)
    assert (life.placed, life.started, life.ending) == (True, False, False)
    assert life.begun == NOW - timedelta(seconds=20)
    running["status"]["containerStatuses"][0]["started"] = True
    assert life_of(running).started


def test_a_container_that_ended_says_how_and_begins_another_run() -> None:
    terminated = {"terminated": {"reason": "Error", "exitCode": 1}}
    crashed = pod("edge", ready=False, age=90, restarts=1, state={"waiting": {}}, lastState=terminated)
    crashed["status"]["phase"] = "Running"
    crashed["status"]["conditions"][0]["lastTransitionTime"] = ago(7)
    life = life_of(crashed)
    assert life.ended == "Error, exit code 1"
    assert life.begun == NOW - timedelta(seconds=7), "while none runs, since the pod was ready last"
    assert life.run != life_of(pod("edge", age=90)).run


def test_a_pod_that_ends_counts_from_when_it_was_asked_to() -> None:
    ending = pod("edge")
    ending["status"]["phase"] = "Running"
    ending["metadata"] |= {"deletionTimestamp": ago(-30), "deletionGracePeriodSeconds": 40}
    life = life_of(ending)
    assert life.ending
    assert life.begun == NOW - timedelta(seconds=10)


def test_a_complete_slot() -> None:
    seen = observe([pod("api"), pod("dashboard")])
    assert seen.release == 2
    assert seen.complete
    assert seen.pods == 2


def test_the_component_that_is_behind_counts() -> None:
    seen = observe([pod("api"), pod("api", age=601), pod("dashboard")], replicas=2)
    assert (seen.ready, seen.components["dashboard"].wanted) == (1, 2)
    assert not seen.complete
    assert seen.shortfall() == "dashboard 1 of 2"


def test_pods_of_two_releases_are_no_release() -> None:
    seen = observe([pod("api", 1), pod("api", 2), pod("dashboard", 2)])
    assert seen.release is None
    assert not seen.complete


def test_pods_that_end_or_of_another_slot_do_not_count() -> None:
    ending, other = pod("api", age=30), pod("api", age=31)
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    other["metadata"]["labels"][names.LABEL_SLOT] = "a"
    assert observe([ending, other, pod("dashboard")]).ready == 0


def test_a_young_pod_that_was_never_ready_is_in_start_up() -> None:
    seen = observe([pod("api", ready=False, age=10), pod("dashboard")])
    assert (seen.ready, seen.components["api"].starting) == (0, 1)
    assert observe([pod("api", ready=False, age=61), pod("dashboard")]).components["api"].starting == 0
    assert observe([pod("api", ready=False, age=10, restarts=1), pod("dashboard")]).components["api"].starting == 0


def test_restarts_and_kills_for_memory() -> None:
    killed = pod("api", restarts=2, lastState={"terminated": {"reason": "OOMKilled"}})
    seen = observe([killed, pod("dashboard")])
    assert seen.restarts[killed["metadata"]["uid"]] == 2
    assert seen.oom_killed == {killed["metadata"]["uid"]: (killed["metadata"]["name"], 2)}


@pytest.mark.parametrize(
    ("waiting", "reason", "words"),
    [
        ("ImagePullBackOff", "ImagePullFailed", "image:1"),
        ("CrashLoopBackOff", "CrashLoopBackOff", "logs api"),
        ("CreateContainerConfigError", "CreateContainerConfigError", "describe pod"),
    ],
)
def test_trouble_names_reason_and_mend(waiting: str, reason: str, words: str) -> None:
    found = trouble_of(pod("api", ready=False, state={"waiting": {"reason": waiting, "message": "no"}}), NOW)
    assert found is not None
    assert found.reason == reason
    assert words in found.mend


def test_a_pod_without_a_node_is_trouble_and_a_starting_one_is_not() -> None:
    lonely = pod("api", ready=False)
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    lonely["status"]["conditions"].append(unscheduled)
    found = trouble_of(lonely, NOW)
    assert found is not None
    assert found.reason == "Unschedulable"
    assert trouble_of(pod("api", ready=False, state={"waiting": {"reason": "ContainerCreating"}}), NOW) is None


@pytest.mark.parametrize(
    "message", ['persistentvolumeclaim "data" not found', "pod has unbound immediate PersistentVolumeClaims"]
)
def test_a_claim_that_is_as_new_as_its_pod_is_trouble_only_after_a_while(message: str) -> None:
    for age, troubled in ((9, False), (10, True)):
        young = pod("database", ready=False, age=age)
        young["status"]["conditions"].append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        )
        assert (trouble_of(young, NOW) is not None) is troubled, f"{age} s"
    none = pod("database", ready=False, age=1)
    none["status"]["conditions"].append(
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient memory"}
    )
    assert trouble_of(none, NOW) is not None, "what waiting does not mend is said at once"


@pytest.mark.parametrize(("component", "words"), [("edge", "devcluster journal add"), ("database", "StorageClass")])
def test_a_pod_whose_volume_is_missing_names_the_claim(component: str, words: str) -> None:
    lonely = pod(component, ready=False)
    message = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    lonely["status"]["conditions"].append(unscheduled)
    lonely["spec"] = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "the-claim"}}]}
    found = trouble_of(lonely, NOW)
    assert found is not None
    assert "trading/the-claim" in found.mend
    assert words in found.mend


def test_migrations() -> None:
    assert not observe_migration(None, [], NOW).exists
    job: dict[str, Any] = {"metadata": {"name": "desk-migrate-2"}, "status": {}}
    assert observe_migration(job, [], NOW).exists
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]}
    seen = observe_migration(job, [], NOW)
    assert seen.failed
    assert "BackoffLimitExceeded" in seen.message
    assert "logs job/desk-migrate-2" in seen.mend


def test_migrations_whose_image_cannot_be_pulled_say_so_with_the_mend() -> None:
    job: dict[str, Any] = {"metadata": {"name": "desk-migrate-2"}, "status": {}}
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    seen = observe_migration(job, [pod("migrations", ready=False, state=waiting)], NOW)
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


def test_pods_that_are_over_count_nowhere() -> None:
    evicted, ended = pod("api", 1, age=900), pod("dashboard", age=900)
    evicted["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}
    ended["status"]["phase"] = "Succeeded"
    seen = observe([evicted, ended, pod("api"), pod("dashboard")])
    assert seen.release == 2, "an evicted pod of the release before is no pod of another release"
    assert seen.complete
    assert seen.pods == 2


def test_each_component_is_seen_apart() -> None:
    seen = observe([pod("api"), pod("api", age=601), pod("dashboard", ready=False)], replicas=6)
    assert seen.dead == ("dashboard",)
    assert not seen.serving
    assert seen.ready == 0, "what people are shown is the dead one, not the one that misses most"
    assert seen.shortfall() == "api 2 of 6, dashboard 0 of 6"
    assert not seen.components["dashboard"].replaced, "a pod that is there and fails is its own fault"


def test_a_pod_that_was_taken_away_is_told_from_one_that_fails() -> None:
    drained, young = pod("dashboard"), pod("dashboard", ready=False, age=2)
    drained["metadata"]["deletionTimestamp"] = ago(1)
    first = observe([pod("api"), drained]).components["dashboard"]
    assert (first.ready, first.pods, first.ending, first.replaced) == (0, 0, 1, True)
    then = observe([pod("api"), drained, young]).components["dashboard"]
    assert (then.starting, then.replaced) == (1, True)
    late = observe([pod("api"), pod("dashboard", ready=False, age=61)]).components["dashboard"]
    assert not late.replaced
    evicted = pod("dashboard")
    evicted["status"] = {"phase": "Failed", "reason": "Evicted"}
    gone = observe([pod("api"), evicted]).components["dashboard"]
    assert (gone.pods, gone.replaced) == (0, True), "its replacement is not made yet"
    failing = observe([pod("api"), evicted, pod("dashboard", ready=False)]).components["dashboard"]
    assert not failing.replaced


def test_a_replacement_whose_startup_probe_just_passed_is_still_in_start_up() -> None:
    young = pod("dashboard", ready=False, age=9)
    young["status"]["containerStatuses"][0] |= {"started": True, "state": {"running": {"startedAt": ago(8)}}}
    young["status"]["conditions"][0]["lastTransitionTime"] = ago(9)
    assert observe([pod("api"), young]).components["dashboard"].starting == 1
    young["status"]["conditions"][0]["lastTransitionTime"] = ago(3)
    assert observe([pod("api"), young]).components["dashboard"].starting == 0, "it was ready, and is no more"
