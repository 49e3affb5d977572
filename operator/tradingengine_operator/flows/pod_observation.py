"""From objects as the API server gives them to what the flows see."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.plan.prune import job_outcome

from .observation import ComponentObservation, MigrationObservation, ProberObservation, SlotObservation
from .refusals import Trouble, refused_replicas
from .state import Schema, parse_time

#: A pod younger than this that was never ready is in start-up.
STARTING_SECONDS = 60.0
#: A scheduler that does not find the claim of a pod as young as this has not seen it yet.
CLAIM_SECONDS = 10.0
#: Reasons of a waiting container that a person has to mend.
_STUCK = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


@dataclass(frozen=True)
class Life:
    """How far a pod is on its way up or down. `name` is what `kubectl` takes for it.

    `run` changes with each new pod and each restart of a container; `begun` is when this run began, or its end was
    asked for. `placed` says that its node took it up, `started` that every startup probe was passed. `waits` is what it
    waits for, `hindered` the scheduler's words when it found no node (at a start that may pass by itself), and `ended`
    how its container ended last.
    """

    name: str
    run: str
    begun: datetime
    ending: bool = False
    placed: bool = True
    started: bool = False
    restarts: int = 0
    waits: str = ""
    hindered: str = ""
    ended: str = ""

    @property
    def pod(self) -> str:
        """The pod's uid, the same for all of its runs."""
        return self.run.partition("/")[0]


@dataclass(frozen=True)
class DrainObservation:
    """What the pods of a slot say by the control API."""

    quiet: float | None = None
    web_sockets: int = 0
    withdrawn: bool = False
    open: bool = False


class PodAges:
    """How old pods are: by their own time when they are first seen, and from then on by a clock that never jumps."""

    def __init__(self) -> None:
        self._born: dict[str, float] = {}

    def look(self, pods: Iterable[Manifest], now: datetime, tick: float) -> dict[str, float]:
        """Seconds by uid. One that was made ahead of this clock is as new as can be."""
        born: dict[str, float] = {}
        for pod in pods:
            uid, created = pod["metadata"]["uid"], pod["metadata"].get("creationTimestamp")
            if uid in self._born:
                born[uid] = self._born[uid]
            elif created is not None:
                born[uid] = tick - max(0.0, (now - parse_time(created)).total_seconds())
        self._born = born
        return {uid: tick - begin for uid, begin in born.items()}


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of an object."""
    return manifest["metadata"].get("labels") or {}


def of_component(pods: Iterable[Manifest], component: str, slot: Slot | None = None) -> list[Manifest]:
    """Pods of a component (and slot) that are there: neither ending nor over."""
    return [
        pod
        for pod in _all_of(pods, component, slot)
        if not is_over(pod) and not pod["metadata"].get("deletionTimestamp")
    ]


def is_over(pod: Mapping[str, Any]) -> bool:
    """Whether a pod will never run again: it was evicted, or ended. Its object may stay for hours."""
    return (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}


def _all_of(pods: Iterable[Manifest], component: str, slot: Slot | None) -> list[Manifest]:
    return [
        pod
        for pod in pods
        if labels_of(pod).get(names.LABEL_COMPONENT) == component
        and (slot is None or labels_of(pod).get(names.LABEL_SLOT) == slot)
    ]


def release_of(manifest: Mapping[str, Any]) -> int | None:
    """Release number of an object's label."""
    text = labels_of(manifest).get(names.LABEL_RELEASE, "")
    return int(text) if text.isdigit() else None


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod takes requests."""
    return any(
        entry["type"] == "Ready" and entry["status"] == "True"
        for entry in (pod.get("status") or {}).get("conditions") or ()
    )


def life_of(pod: Mapping[str, Any]) -> Life:
    """How far a pod is on its way up or down, as its kubelet said last."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ending = bool(metadata.get("deletionTimestamp"))
    own = status.get("containerStatuses") or ()
    placed = status.get("phase") not in {None, "Pending"}
    begun = _asked_to_end(metadata) if ending else _begun(pod) if placed else parse_time(metadata["creationTimestamp"])
    restarts = restarts_of(pod)
    return Life(
        name=f"-n {metadata['namespace']} {metadata['name']}",
        run=f"{metadata['uid']}/{restarts}",
        begun=begun,
        ending=ending,
        placed=placed,
        started=bool(own) and all(entry.get("started") for entry in own),
        restarts=restarts,
        waits=_waits(pod),
        hindered=_hindered(pod),
        ended=_ended(own),
    )


def has_run(pod: Mapping[str, Any]) -> bool:
    """Whether a container of the pod runs, or ever did."""
    states = [(entry.get("state") or {}).keys() for entry in _containers(pod)]
    return restarts_of(pod) > 0 or any({"running", "terminated"} & state for state in states)


def _asked_to_end(metadata: Mapping[str, Any]) -> datetime:
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return parse_time(metadata["deletionTimestamp"]) - grace


def _begun(pod: Mapping[str, Any]) -> datetime:
    """When its newest container began to run; while none does, when the pod was last ready, or was made."""
    status = pod.get("status") or {}
    states = [entry.get("state") or {} for entry in status.get("containerStatuses") or ()]
    runs = [state["running"]["startedAt"] for state in states if (state.get("running") or {}).get("startedAt")]
    changes = [entry.get("lastTransitionTime") for entry in status.get("conditions") or () if entry["type"] == "Ready"]
    known = runs or [moment for moment in changes if moment]
    return max(map(parse_time, [pod["metadata"]["creationTimestamp"], *known]))


def _waits(pod: Mapping[str, Any]) -> str:
    """What a pod that does not run yet waits for."""
    if _hindered(pod):
        return "a node"
    reasons = [((entry.get("state") or {}).get("waiting") or {}).get("reason", "") for entry in _containers(pod)]
    return next((reason for reason in reasons if reason), "its node to take it up")


def _hindered(pod: Mapping[str, Any]) -> str:
    """Why the scheduler found no node, in its words; empty while nothing was said."""
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if entry["type"] == "PodScheduled" and entry["status"] == "False":
            return f"{entry.get('reason', '')}: {entry.get('message', '')}"[:300]
    return ""


def _ended(containers: Iterable[Mapping[str, Any]]) -> str:
    """How a container ended last, empty when none did."""
    for entry in containers:
        state = entry.get("state") or {}
        last = state.get("terminated") or (entry.get("lastState") or {}).get("terminated")
        if last:
            return f"{last.get('reason', 'no reason given')}, exit code {last.get('exitCode', '?')}"
    return ""


def restarts_of(pod: Mapping[str, Any]) -> int:
    """Restarts of all its containers."""
    return sum(int(entry.get("restartCount", 0)) for entry in _containers(pod))


def trouble_of(pod: Mapping[str, Any], now: datetime) -> Trouble | None:
    """Why a pod does not start, None when nothing is wrong with it, or its claim may only be as new as itself."""
    name = pod["metadata"]["name"]
    for entry in _containers(pod):
        waiting = (entry.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _STUCK:
            message = f"pod {name}: {reason}: {waiting.get('message', '')}".rstrip(": ")
            return Trouble("ImagePullFailed" if reason in _PULL else reason, message[:600], _mend(reason, entry, pod))
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if entry["type"] == "PodScheduled" and entry["status"] == "False" and entry.get("reason") == "Unschedulable":
            if _claim_is_new(pod, entry.get("message", ""), now):
                continue
            message = f"pod {name} finds no node: {entry.get('message', '')}"
            return Trouble("Unschedulable", message[:600], _mend_unschedulable(pod, entry.get("message", "")))
    return None


def _claim_is_new(pod: Mapping[str, Any], message: str, now: datetime) -> bool:
    """Whether the scheduler may only not have seen a new pod's claim yet, or its volume is still being made."""
    age = (now - parse_time(pod["metadata"]["creationTimestamp"])).total_seconds()
    return "persistentvolumeclaim" in message.lower() and 0 <= age < CLAIM_SECONDS  # below: this clock was set back


def first_trouble(pods: Iterable[Manifest], now: datetime) -> Trouble | None:
    """The first trouble of several pods."""
    return next((found for pod in pods if (found := trouble_of(pod, now)) is not None), None)


def observe_slot(
    slot: Slot,
    deployments: Mapping[str, Manifest],
    pods: Sequence[Manifest],
    drained: DrainObservation,
    now: datetime,
    ages: Mapping[str, float],
) -> SlotObservation:
    """A slot over its components; `deployments` by component, `ages` of its pods in seconds by uid."""
    own = [pod for component in names.SLOT_COMPONENTS for pod in of_component(pods, component, slot)]
    release = _common_release(deployments, own)
    components: dict[str, ComponentObservation] = {
        part: _observe_component(deployments.get(part), _all_of(pods, part, slot), release, ages)
        for part in names.SLOT_COMPONENTS
    }
    trouble = slot_trouble(deployments.values(), own, now)
    return SlotObservation(
        release=release,
        components=components,
        pods=len(own),
        restarts={pod["metadata"]["uid"]: restarts_of(pod) for pod in own},
        oom_killed={pod["metadata"]["uid"]: (pod["metadata"]["name"], ends) for pod in own if (ends := _oom_ends(pod))},
        waiting=trouble.message if trouble is not None else "",
        quiet=drained.quiet,
        web_sockets=drained.web_sockets,
        withdrawn=drained.withdrawn,
        open=drained.open,
        releases=_releases(slot, deployments, pods),
    )


def _releases(slot: Slot, deployments: Mapping[str, Manifest], pods: Sequence[Manifest]) -> frozenset[int]:
    """Releases that may have a process in a slot: a pod that is ending still works."""
    ours = (pod for part in names.SLOT_COMPONENTS for pod in _all_of(pods, part, slot) if not is_over(pod))
    return frozenset(number for entry in (*deployments.values(), *ours) if (number := release_of(entry)) is not None)


def slot_trouble(deployments: Iterable[Mapping[str, Any]], pods: Iterable[Manifest], now: datetime) -> Trouble | None:
    """What keeps the pods of a slot from running: they do not start, or may not be made at all."""
    refused = (found for deployment in deployments if (found := refused_replicas(deployment)) is not None)
    return first_trouble(pods, now) or next(refused, None)


def observe_prober(deployment: Manifest | None, pods: Iterable[Manifest], now: datetime) -> ProberObservation:
    """The prober; one that is not asked for any more is not ready, whatever its pod says."""
    own = of_component(pods, "prober")
    trouble = slot_trouble([deployment] if deployment is not None else [], own, now)
    ready = deployment is not None and any(is_ready(pod) for pod in own)
    return ProberObservation(ready=ready, waiting=trouble.message if trouble is not None else "")


def observe_migration(
    job: Mapping[str, Any] | None, pods: Iterable[Manifest], now: datetime, refused: Trouble | None = None
) -> MigrationObservation:
    """The migrations Job; its pods, or that they are `refused`, tell why it does not get on."""
    if job is None:
        return MigrationObservation()
    outcome, said = job_outcome(job), _last_words(job, pods)
    trouble = first_trouble(of_component(pods, "migrations"), now) or refused or Trouble("", "", "")
    reason, message, mend = trouble.reason, trouble.message, trouble.mend
    if outcome == "Failed":
        name, namespace = job["metadata"]["name"], job["metadata"].get("namespace", "")
        failed = next(entry for entry in job["status"]["conditions"] if entry["type"] == "Failed")
        reason = "MigrationFailed"
        words = said or str(failed.get("message", ""))
        message = f"migrations Job {name} failed: {words.rstrip('.')}. {message}".strip()
        mend = mend or f"see `kubectl -n {namespace} logs job/{name}`, then ask for a version that migrates"
    schema = _schema_of(said) if outcome == "Complete" else None
    return MigrationObservation(True, outcome == "Complete", outcome == "Failed", message, reason, mend, schema)


def _last_words(job: Mapping[str, Any], pods: Iterable[Manifest]) -> str:
    """What the newest pod of a Job that ended left as its termination message."""
    ended = []
    for pod in pods:
        owners = [owner.get("uid") for owner in pod["metadata"].get("ownerReferences") or ()]
        if job["metadata"].get("uid") in owners:
            for entry in (pod.get("status") or {}).get("containerStatuses") or ():
                last = (entry.get("state") or {}).get("terminated") or {}
                ended.append((str(last.get("finishedAt", "")), str(last.get("message", "")).strip()))
    return max((entry for entry in ended if entry[1]), default=("", ""))[1][:600]


def _schema_of(text: str) -> Schema | None:
    """What migrations that succeeded say: a JSON object with `revision` and `contract`."""
    try:
        said = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("revision"), str):
        return None
    return Schema(said["revision"], str(said.get("contract") or ""))


def _common_release(deployments: Mapping[str, Manifest], pods: Sequence[Manifest]) -> int | None:
    found = {release_of(deployments[part]) if part in deployments else None for part in names.SLOT_COMPONENTS}
    found |= {release_of(pod) for pod in pods}
    return next(iter(found)) if len(found) == 1 else None


def _observe_component(
    deployment: Mapping[str, Any] | None, pods: Sequence[Manifest], release: int | None, ages: Mapping[str, float]
) -> ComponentObservation:
    """One component's pods, of the release alone."""
    own = [pod for pod in pods if release is not None and release_of(pod) == release and not is_over(pod)]
    there = [pod for pod in own if not pod["metadata"].get("deletionTimestamp")]
    return ComponentObservation(
        ready=sum(is_ready(pod) for pod in there),
        starting=sum(not is_ready(pod) and _in_startup(pod, ages) for pod in there),
        wanted=int(deployment["spec"].get("replicas", 1)) if deployment is not None else 0,
        pods=len(there),
        ending=len(own) - len(there),
    )


def _in_startup(pod: Mapping[str, Any], ages: Mapping[str, float]) -> bool:
    age = ages.get(pod["metadata"]["uid"])
    if age is None or restarts_of(pod) > 0:
        return False
    return not _was_ready(pod) and age < STARTING_SECONDS


def _was_ready(pod: Mapping[str, Any]) -> bool:
    """Whether it was ever ready. Just after its startup probe passed, Ready has not changed since it began."""
    if not any((entry.get("started") or entry.get("ready")) for entry in _containers(pod)):
        return False
    status = pod.get("status") or {}
    ready = [entry for entry in status.get("conditions") or () if entry["type"] == "Ready"]
    states = [(entry.get("state") or {}).get("running") or {} for entry in status.get("containerStatuses") or ()]
    changes = [parse_time(entry["lastTransitionTime"]) for entry in ready if entry.get("lastTransitionTime")]
    runs = [parse_time(state["startedAt"]) for state in states if state.get("startedAt")]
    return not changes or not runs or max(changes) > max(runs)


def _oom_ends(pod: Mapping[str, Any]) -> int:
    """Which end of a container of this pod, counted from 1, was the newest for lack of memory; 0 when none was."""

    def killed(entry: Mapping[str, Any], state: str) -> bool:
        return bool(((entry.get(state) or {}).get("terminated") or {}).get("reason") == "OOMKilled")

    restarts, containers = restarts_of(pod), _containers(pod)
    if any(killed(entry, "state") for entry in containers):
        return restarts + 1  # it is counted as a restart only once it runs again
    return max(restarts, 1) if any(killed(entry, "lastState") for entry in containers) else 0


def _containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _mend_unschedulable(pod: Mapping[str, Any], message: str) -> str:
    """What the scheduler misses: a volume, or a node."""
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in (pod.get("spec") or {}).get("volumes") or ()
        if "persistentVolumeClaim" in volume
    ]
    if "volume" not in message.lower() or not claims:
        return "add room or a node with the labels that it asks for"
    name, namespace = " and ".join(claims), pod["metadata"]["namespace"]
    if labels_of(pod).get(names.LABEL_COMPONENT) == "edge":
        command = f"devcluster journal add {labels_of(pod).get(names.LABEL_INSTANCE, '')} --namespace {namespace}"
        return f"make the PersistentVolume of claim {namespace}/{name} on the edge's node; in a devcluster: `{command}`"
    return f"make a PersistentVolume for claim {namespace}/{name}, or a default StorageClass that makes volumes"


def _mend(reason: str, container: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    if reason in _PULL:
        return f"make image {container.get('image', '')} available to the node, or name another one in spec.images"
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    return f"see `kubectl -n {namespace} logs {name} --previous` and `kubectl -n {namespace} describe pod {name}`"
