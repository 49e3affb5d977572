"""An API server in memory with what the operator uses of it: apply with owners of fields, patches, scale, deletion.

`play` does the work of controllers, kubelets and Gateway at once. `kill_at` ends the operator right before its nth
write, as SIGKILL would: by an exception that no `except Exception` stops.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import jsonpatch
import orjson
from tradingengine_operator.builders import names
from tradingengine_operator.errors import ApiError, ConflictError, NotFoundError
from tradingengine_operator.flows.pod_observation import is_ready
from tradingengine_operator.flows.state import parse_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind

Manifest = dict[str, Any]
T = TypeVar("T")
NAMESPACE = "trading"


class Killed(BaseException):
    """The operator was killed."""


class FakeApi:
    """One namespace of an API server."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.writes: list[str] = []
        self.kill_at: int | None = None
        self.before_write: Callable[[str], None] = lambda _what: None
        self.fail: dict[str, ApiError] = {}
        self.ready = True
        self.gateway_works = True
        #: Names of Gateways that say nothing of any route.
        self.deaf: set[str] = set()
        #: Whether no Gateway can match anything by a regular expression.
        self.plain = False
        self.jobs_fail = False
        #: Jobs neither end nor fail.
        self.jobs_hang = False
        #: How long a pod is Pending, and then how long it runs before its startup probe passes.
        self.pace = timedelta(0)
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """As of the client."""
        if kind.kind in self.fail:
            raise self.fail[kind.kind]
        # The Gateway is the one object of another namespace.
        near = namespace == NAMESPACE or kind.cluster or kind == kinds.GATEWAY
        found = self.objects.get((kind.kind, name)) if near else None
        return _copy(found)

    async def list_all(self, kind: Kind, namespace: str, selector: Mapping[str, str] | None = None) -> list[Manifest]:
        """As of the client."""
        if kind.kind in self.fail:
            raise self.fail[kind.kind]
        return [
            _copy(manifest)
            for (kind_name, _), manifest in sorted(self.objects.items())
            if kind_name == kind.kind
            and (namespace == NAMESPACE or kind.cluster)
            and dict(selector or {}).items() <= (manifest["metadata"].get("labels") or {}).items()
        ]

    async def events_of(self, _namespace: str, uid: str) -> list[Manifest]:
        """As of the client."""
        events = [manifest for (kind, _), manifest in self.objects.items() if kind == kinds.EVENT.kind]
        return [_copy(event) for event in events if event["involvedObject"].get("uid") == uid]

    async def apply(
        self,
        manifest: Manifest,
        *,
        manager: str = names.FIELD_MANAGER,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Manifest:
        """Server-side apply; lists are replaced as a whole, and the owner of the fields is written down."""
        if dry_run:
            old = self.objects.get((manifest["kind"], manifest["metadata"]["name"]))
            return _merge(_copy(old) if old is not None else {}, _copy(manifest))
        name = manifest["metadata"]["name"]
        self._count(f"apply {manifest['kind']}/{name} {subresource}".strip())
        key = (manifest["kind"], name)
        old = self.objects.get(key)
        if subresource and old is None:
            raise NotFoundError(404, "NotFound", name)
        if old is not None and old.get("immutable") and old.get("data") != manifest.get("data"):
            raise ApiError(422, "Invalid", f"{name}: field is immutable")
        sent = {"status": manifest["status"]} if subresource == "status" else _copy(manifest)
        expected = sent.get("metadata", {}).pop("resourceVersion", None)
        if expected is not None and (old is None or old["metadata"]["resourceVersion"] != expected):
            raise ConflictError(409, "Conflict", f"{name}: the object has been modified")
        merged = _merge(_copy(old) if old is not None else {}, sent)
        if subresource == "status":
            merged["status"] = _copy(manifest["status"])
        return self._store(key, merged, _entry(manager, subresource, sent), old)

    async def create(self, manifest: Manifest) -> Manifest:
        """As of the client."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        self._count(f"create {key[0]}/{key[1]}")
        if key in self.objects:
            raise ConflictError(409, "AlreadyExists", key[1])
        return self._store(key, _copy(manifest), _entry(names.FIELD_MANAGER, "", {}, "Update"), None)

    async def json_patch(self, kind: Kind, _namespace: str, name: str, operations: list[Manifest]) -> Manifest:
        """As of the client."""
        self._count(f"patch {kind.kind}/{name}")
        old = self.objects[kind.kind, name]
        try:
            patched = jsonpatch.apply_patch(_copy(old), operations)
        except jsonpatch.JsonPatchTestFailed as error:
            raise ConflictError(409, "Conflict", name) from error
        return self._store((kind.kind, name), patched, _entry(names.FIELD_MANAGER, "", {}, "Update"), old)

    async def merge_patch(
        self,
        kind: Kind,
        _namespace: str,
        name: str,
        patch: Manifest,
        *,
        subresource: str = "",
        manager: str = names.FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Manifest:
        """As of the client."""
        old = self.objects[kind.kind, name]
        merged = _merge(_copy(old), {key: value for key, value in patch.items() if key != "resourceVersion"})
        if dry_run:
            return merged
        self._count(f"merge {kind.kind}/{name} {subresource}".strip())
        return self._store((kind.kind, name), merged, _entry(manager, "", {}, "Update"), old)

    async def scale(self, kind: Kind, _namespace: str, name: str, replicas: int) -> Manifest:
        """As of the client."""
        self._count(f"scale {kind.kind}/{name}")
        old = self.objects[kind.kind, name]
        merged = _merge(_copy(old), {"spec": {"replicas": replicas}})
        sent = {"spec": {"replicas": replicas}}
        return self._store((kind.kind, name), merged, _entry(names.SCALE_MANAGER, "scale", sent), old)

    async def delete(self, kind: Kind, _namespace: str, name: str, *, uid: str = "") -> bool:
        """As of the client. What an object owned goes with it once the cluster had its turn."""
        self._count(f"delete {kind.kind}/{name}")
        found = self.objects.get((kind.kind, name))
        if found is None or (uid and found["metadata"]["uid"] != uid):
            return False
        self._remove(kind.kind, name)
        return True

    def end(self, kind: Kind, name: str) -> None:
        """The object's last finalizer is gone: it goes, and everything that it owns."""
        uid = self.objects[kind.kind, name]["metadata"]["uid"]
        self._remove(kind.kind, name)
        for key, manifest in list(self.objects.items()):
            owners = manifest["metadata"].get("ownerReferences") or ()
            if key in self.objects and owners and {owner["uid"] for owner in owners} == {uid}:
                self._remove(*key)
        self._collect_pods()

    def _remove(self, kind_name: str, name: str) -> None:
        """Removes an object; the controller of StatefulSets then does with their claims what they say."""
        gone = self.objects.pop((kind_name, name))
        if kind_name == kinds.STATEFUL_SET.kind:
            retention = gone["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
            if retention.get("whenDeleted") == "Delete":
                for claim in _claims(gone):
                    self.objects.pop((kinds.CLAIM.kind, claim["metadata"]["name"]), None)

    def take_over(self, other: FakeApi) -> None:
        """Becomes a copy of another one, with uids and versions that go on from there."""
        self.objects = {key: _copy(manifest) for key, manifest in other.objects.items()}
        self._versions, self._uids = itertools.count(next(other._versions)), itertools.count(next(other._uids))

    def put(self, manifest: Manifest) -> Manifest:
        """Writes as a person or a controller, uncounted."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        return self._store(key, _copy(manifest), _entry("person", "", {}, "Update"), self.objects.get(key))

    def play(self) -> None:
        """Controllers, kubelets and Gateway do all that is to be done."""
        for kind in (kinds.STATEFUL_SET, kinds.DEPLOYMENT):
            for (_, name), workload in [entry for entry in self.objects.items() if entry[0][0] == kind.kind]:
                self._play_workload(name, workload)
        for (kind_name, _), manifest in self.objects.items():
            if kind_name == kinds.JOB.kind and not self.jobs_hang:
                word = "Failed" if self.jobs_fail else "Complete"
                manifest["status"] = {"conditions": [{"type": word, "status": "True", "message": "by play"}]}
            if kind_name == kinds.ROUTE.kind and self.gateway_works:
                self._play_gateways(manifest)
        self._collect_pods()

    def _play_gateways(self, route: Manifest) -> None:
        """One controller speaks for every Gateway: those that are there accept, unless they are said to be deaf."""
        condition = {"type": "Accepted", "observedGeneration": route["metadata"]["generation"]}
        parents = []
        for parent in route["spec"].get("parentRefs") or ():
            there = (kinds.GATEWAY.kind, parent["name"]) in self.objects
            word = (
                {"status": "True", "reason": "Accepted"} if there else {"status": "False", "reason": "NoMatchingParent"}
            )
            if there and self.plain and "RegularExpression" in str(route["spec"]):
                word = {"status": "False", "reason": "UnsupportedValue", "message": "header match type"}
            if parent["name"] not in self.deaf:
                parents.append({"parentRef": parent, "conditions": [condition | word]})
        route["status"] = {"parents": parents}

    def _play_workload(self, name: str, workload: Manifest) -> None:
        spec = workload["spec"]
        wanted = [f"{name}-{number}" for number in range(spec.get("replicas", 1))]
        for claim in _claims(workload) if wanted else ():
            if (kinds.CLAIM.kind, claim["metadata"]["name"]) not in self.objects:
                self.put(claim)
        on_delete = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
        for pod_name in wanted:
            old = self.objects.get((kinds.POD.kind, pod_name))
            labels = spec["template"]["metadata"]["labels"]
            if old is None or (not on_delete and old["metadata"]["labels"] != labels):
                self._new_pod(pod_name, name, labels)
            pod = self.objects[kinds.POD.kind, pod_name]
            pod["status"] = self._pod_status(pod, spec["template"])
        ready = sum(is_ready(self.objects[kinds.POD.kind, pod_name]) for pod_name in wanted)
        workload["status"] = {"readyReplicas": ready, "updatedReplicas": ready}
        for kind_name, pod_name in list(self.objects):
            owner = self.objects[kind_name, pod_name]["metadata"].get("annotations", {}).get("workload")
            if kind_name == kinds.POD.kind and owner == name and pod_name not in wanted:
                del self.objects[kind_name, pod_name]

    def _new_pod(self, name: str, workload: str, labels: Mapping[str, str]) -> None:
        self.objects[kinds.POD.kind, name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"pod-{next(self._uids)}",
                "labels": dict(labels),
                "annotations": {"workload": workload},
                "creationTimestamp": _text(self.clock()),
                "resourceVersion": str(next(self._versions)),
            },
        }

    def _pod_status(self, pod: Manifest, template: Manifest) -> Manifest:
        """What the kubelet says of a pod, by its age and the pace."""
        created = parse_time(pod["metadata"]["creationTimestamp"])
        age, container = self.clock() - created, template["spec"]["containers"][0]
        placed, started = age >= self.pace, age >= 2 * self.pace
        ready = started and self.ready
        running = {"running": {"startedAt": _text(created + self.pace)}}
        own = {
            "name": container["name"],
            "image": container["image"],
            "restartCount": 0,
            "ready": ready,
            "started": started,
            "state": running if placed else {"waiting": {"reason": "ContainerCreating"}},
        }
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        if not placed and not age:
            # A scheduler that met another writer says so, and tries again by itself.
            conditions.append(
                {"type": "PodScheduled", "status": "False", "reason": "SchedulerError", "message": "was modified"}
            )
        phase, words = ("Running", {"podIP": "127.0.0.9"}) if placed else ("Pending", {})
        return {"phase": phase, "conditions": conditions, "containerStatuses": [own], **words}

    def _collect_pods(self) -> None:
        for kind_name, pod_name in list(self.objects):
            if kind_name != kinds.POD.kind:
                continue
            owner = self.objects[kind_name, pod_name]["metadata"]["annotations"]["workload"]
            makers = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.JOB)
            if not {(kind.kind, owner) for kind in makers} & self.objects.keys():
                del self.objects[kind_name, pod_name]

    def _count(self, what: str) -> None:
        if self.kill_at is not None and len(self.writes) + 1 >= self.kill_at:
            raise Killed(what)
        self.before_write(what)
        self.writes.append(what)

    def _store(self, key: tuple[str, str], new: Manifest, entry: Manifest, old: Manifest | None) -> Manifest:
        metadata = new["metadata"]
        metadata.setdefault("namespace", NAMESPACE)
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        now = _text(self.clock())
        metadata.setdefault("creationTimestamp", now)
        others = [
            known
            for known in metadata.get("managedFields", [])
            if (known["manager"], known["subresource"], known["operation"])
            != (entry["manager"], entry["subresource"], entry["operation"])
        ]
        metadata["managedFields"] = [*others, {**entry, "time": now}]
        if old is None or _content(old) != _content(new):
            metadata["resourceVersion"] = str(next(self._versions))
            if old is None or old.get("spec") != new.get("spec"):
                metadata["generation"] = int((old or {"metadata": {}})["metadata"].get("generation", 0)) + 1
        self.objects[key] = new
        return _copy(new)


def _claims(workload: Manifest) -> list[Manifest]:
    """The claims that a StatefulSet of one pod makes."""
    name = workload["metadata"]["name"]
    return [
        {**template, "metadata": {**template["metadata"], "name": f"{template['metadata']['name']}-{name}-0"}}
        for template in workload["spec"].get("volumeClaimTemplates") or ()
    ]


def _copy(value: T) -> T:
    """What comes of a JSON value that is sent: a deep copy in half the time that pickle takes."""
    copied: T = orjson.loads(orjson.dumps(value))
    return copied


def _content(manifest: Manifest) -> Manifest:
    dropped = {"resourceVersion", "generation"}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in dropped}
    fields = [{**entry, "time": ""} for entry in metadata.get("managedFields", [])]
    metadata["managedFields"] = fields
    return {**manifest, "metadata": metadata}


def _merge(old: Manifest, new: Mapping[str, Any]) -> Manifest:
    for key, value in new.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(old.get(key), dict):
            _merge(old[key], value)
        else:
            old[key] = _copy(value)
    return old


def _fields(value: Any) -> Any:
    return {f"f:{key}": _fields(entry) for key, entry in value.items()} if isinstance(value, Mapping) else {}


def _entry(manager: str, subresource: str, sent: Mapping[str, Any], operation: str = "Apply") -> Manifest:
    return {"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": _fields(sent)}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
