"""The product in a cluster: installing the operator, applying one engine, reading its status, commands in its pods."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from te_devcluster import images, storage
from te_devcluster.commands import wait_until
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Kubectl, Manifest
from te_devcluster.paths import checkout

NAMESPACE = "trading"
ENGINE = "desk"
OPERATOR_NAMESPACE = "tradingengine-system"
HELM_RELEASE = "tradingengine"
DATA_CLAIM = "desk-recordings"
EDGE_NODE = "edge"
ENGINE_FILE = Path("demo") / "engine.yaml"


@dataclass(frozen=True)
class Weights:
    """Share of new visitors that each slot of the API gets, in percent."""

    a: float
    b: float


class Product:
    """One engine on a cluster. Failures raise the devcluster's errors with kubectl's or helm's own words."""

    def __init__(self, kubectl: Kubectl, engine: str = ENGINE, namespace: str = NAMESPACE) -> None:
        self.kubectl = kubectl
        self.engine = engine
        self.namespace = namespace

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = 240.0) -> str:
        """Runs helm on this cluster and returns its standard output."""
        return self.kubectl.helm(*arguments, stdin=stdin, timeout=timeout)

    def install_operator(self, settings: Mapping[str, Any] | None = None) -> None:
        """Installs or updates the chart with the images of this checkout and waits until its pods are ready."""
        self.create_namespace(self.namespace)
        operator = images.IMAGES["operator"]
        values = {
            "image": {"registry": images.PREFIX.rpartition("/")[0]},
            "images": {name: images.full_name(images.IMAGES[name]) for name in ("postgres", "redis", "prometheus")},
            "watchNamespaces": [self.namespace],
            # The tag stays while one works on the operator; its pods have to notice that the content changed.
            "podAnnotations": {"tradingengine.io/image-content": images.content_key(operator)},
            **(settings or {}),
        }
        command = ["upgrade", "--install", HELM_RELEASE, str(checkout() / "helm" / "tradingengine")]
        command += ["--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "180s"]
        self.helm(*command, "--values", "-", stdin=json.dumps(values))

    def uninstall_operator(self) -> None:
        """Uninstalls the chart; the CRD stays, and the chart's own hook refuses while engines exist."""
        self.helm("uninstall", HELM_RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "120s")

    def create_namespace(self, name: str) -> None:
        """Makes a namespace when there is none; one that is there is not touched."""
        if not self.kubectl.run("get", "namespace", name, "--ignore-not-found", "-o", "name").strip():
            self.kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])

    def add_journal(self) -> Path:
        """Makes the edge's journal volume and returns its folder on this machine."""
        storage.add_journal(self.kubectl, self.namespace, self.engine, "5Gi")
        return storage.journal_path(self.namespace, self.engine)

    def add_recordings(self, folder: Path) -> None:
        """Makes a read-only claim on the edge's node for a folder of this machine."""
        self.kubectl.apply(recordings(folder, self.namespace))

    def apply(self, manifest: Manifest) -> None:
        """Applies the engine."""
        self.kubectl.apply([manifest])

    def patch_spec(self, spec: Mapping[str, Any]) -> None:
        """Merges into the engine's spec."""
        self.kubectl.run(*self._te("patch"), "--type=merge", "-p", json.dumps({"spec": spec}))

    def _te(self, verb: str) -> list[str]:
        return ["--namespace", self.namespace, verb, "tradingengine", self.engine]

    def get(self) -> Manifest:
        """The engine as the API server has it."""
        return self.kubectl.get("--namespace", self.namespace, "tradingengine", self.engine)

    def status(self) -> dict[str, Any]:
        """The engine's status; empty when the operator has not written one yet."""
        found: dict[str, Any] = self.get().get("status", {})
        return found

    def wait_for(
        self, what: str, condition: Callable[[dict[str, Any]], bool], timeout: float, tell: Callable[[str], None]
    ) -> dict[str, Any]:
        """Waits for a condition on the status; says each change of phase and reason through `tell`."""
        seen, last = "", {}

        def met() -> bool:
            nonlocal seen, last
            last = self.status()
            line = describe(last)
            if line != seen:
                seen = line
                tell(line)
            return condition(last)

        wait_until(what, met, timeout=timeout, every=0.5, hint=lambda: explain(last))
        return last

    def weights(self) -> Weights:
        """What the HTTPRoute says right now."""
        route = self.kubectl.get("--namespace", self.namespace, "httproute", self.engine)
        rule = next(rule for rule in route["spec"]["rules"] if rule.get("name") == "api")
        shares = {ref["name"].rpartition("-")[2]: float(ref.get("weight", 1)) for ref in rule["backendRefs"]}
        whole = sum(shares.values()) or 1.0
        return Weights(100 * shares.get("a", 0.0) / whole, 100 * shares.get("b", 0.0) / whole)

    def pods(self, component: str) -> list[Manifest]:
        """The pods of a component that are not on their way out."""
        selector = f"app.kubernetes.io/instance={self.engine},app.kubernetes.io/component={component}"
        items = self.kubectl.get("--namespace", self.namespace, "pods", "--selector", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready_pod(self, component: str) -> str:
        """The name of one ready pod of a component; DevclusterError when there is none."""
        for pod in self.pods(component):
            if is_ready(pod):
                return str(pod["metadata"]["name"])
        raise DevclusterError(
            f"no pod of {self.engine}'s {component} is ready", f"kubectl -n {self.namespace} get pods"
        )

    def exec(self, pod: str, *command: str, stdin: str | None = None) -> str:
        """Runs a command in a pod and returns its standard output."""
        arguments = ["--namespace", self.namespace, "exec", *(["--stdin"] if stdin is not None else []), pod, "--"]
        return self.kubectl.run(*arguments, *command, stdin=stdin)

    def set_user(self, login: str, role: str = "trader") -> str:
        """Makes a person who may log in, or gives them a new password; returns the random password."""
        password = secrets.token_urlsafe(12)
        pod = self.ready_pod("api")
        try:
            self.exec(pod, "te", "user", "add", login, "--role", role, stdin=f"{password}\n")
        except CommandError:
            self.exec(pod, "te", "user", "password", login, stdin=f"{password}\n")
        return password

    def prometheus(self, query: str) -> dict[str, float]:
        """An instant query to the engine's own Prometheus: series (labels as JSON) -> value."""
        service = f"/api/v1/namespaces/{self.namespace}/services/{self.engine}-prometheus:9090/proxy"
        answer = json.loads(self.kubectl.run("get", "--raw", f"{service}/api/v1/query?query={quote(query, safe='')}"))
        return {
            json.dumps(item["metric"], sort_keys=True): float(item["value"][1]) for item in answer["data"]["result"]
        }

    def delete_engine(self, timeout: float = 120.0) -> None:
        """Deletes the engine and waits until it is gone."""
        self.kubectl.run(*self._te("delete"), f"--timeout={timeout:.0f}s", timeout=timeout + 10)


def engine_manifest(version: str, changes: Mapping[str, Any] | None = None) -> Manifest:
    """The demo's engine with this version; `changes` are merged into its spec, and None takes a field out."""
    manifest: Manifest = yaml.safe_load((checkout() / ENGINE_FILE).read_text())
    manifest["spec"]["version"] = version
    _merge(manifest["spec"], changes or {})
    return manifest


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def recordings(folder: Path, namespace: str, claim: str = DATA_CLAIM) -> list[Manifest]:
    """A static read-only volume on the edge's node for a folder, and the claim that is bound to it."""
    name = f"te-{namespace}-{claim}"
    wanted = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [EDGE_NODE]}]}
    shared = {"storageClassName": "", "accessModes": ["ReadOnlyMany"], "volumeMode": "Filesystem"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                **shared,
                "capacity": {"storage": "1Gi"},
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [wanted]}},
                "claimRef": {"namespace": namespace, "name": claim},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": namespace},
            "spec": {**shared, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]


def is_ready(thing: Manifest) -> bool:
    """True when the condition Ready of a pod or an engine is True."""
    return condition(thing.get("status", {}), "Ready") == "True"


def condition(status: Mapping[str, Any], kind: str) -> str:
    """True, False or Unknown; empty when there is no such condition."""
    found = [item for item in status.get("conditions", []) if item["type"] == kind]
    return str(found[0]["status"]) if found else ""


def running(version: str) -> Callable[[dict[str, Any]], bool]:
    """The condition: this version serves, everything is ready, the edge too, and nothing is under way."""

    def met(status: dict[str, Any]) -> bool:
        ready = all(condition(status, kind) == "True" for kind in ("Ready", "EdgeReady"))
        return status.get("phase") == "Running" and ready and status.get("version") == version

    return met


def describe(status: Mapping[str, Any]) -> str:
    """One line: phase, and what the release is doing or waiting for."""
    release = status.get("release") or {}
    parts = [str(status.get("phase", "waiting for the operator"))]
    if status.get("phase") == "Releasing":
        parts.append(f"release {release.get('number')} {release.get('state')}, weight {release.get('weight', 0):g}")
    waiting = [item for item in status.get("conditions", []) if item["status"] == "False" and item["type"] != "Paused"]
    parts += [f"{item['type']}: {item.get('reason', '')}" for item in waiting if item["type"] not in _QUIET]
    return ", ".join(parts)


_QUIET = frozenset({"Degraded", "Progressing", "BackupSucceeded", "DrillSucceeded"})


def explain(status: Mapping[str, Any]) -> str:
    """Everything the conditions say, for the error of a wait that did not end."""
    lines = [f"phase {status.get('phase')}"]
    lines += [
        f"{item['type']}={item['status']} {item.get('reason', '')}: {item.get('message', '')}"
        for item in status.get("conditions", [])
    ]
    return "\n".join(lines)
