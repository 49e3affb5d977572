"""What a cluster holds that the demo asks for, read in a few calls; nothing is changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Manifest

from te_demo.existing.access import ContextKubectl
from te_demo.product import ENGINE, NAMESPACE, OPERATOR_NAMESPACE

ENGINE_CRD = "tradingengines.tradingengine.io"
ROUTE_CRD = "httproutes.gateway.networking.k8s.io"
VERSION_NOTE = "gateway.networking.k8s.io/bundle-version"


@dataclass(frozen=True)
class Right:
    """One thing that the demo has to be allowed."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" in {self.namespace}" if self.namespace else "")


RIGHTS = (
    Right("create", "namespaces"),
    Right("create", "persistentvolumes"),
    Right("create", "storageclasses", "storage.k8s.io"),
    Right("patch", "nodes"),
    Right("create", "customresourcedefinitions", "apiextensions.k8s.io"),
    Right("create", "clusterroles", "rbac.authorization.k8s.io"),
    Right("create", "clusterrolebindings", "rbac.authorization.k8s.io"),
    Right("create", "validatingadmissionpolicies", "admissionregistration.k8s.io"),
    Right("create", "roles", "rbac.authorization.k8s.io", NAMESPACE),
    Right("create", "deployments", "apps", OPERATOR_NAMESPACE),
    Right("create", "secrets", "", OPERATOR_NAMESPACE),
    Right("create", "pods/exec", "", NAMESPACE),
    Right("create", "tradingengines", "tradingengine.io", NAMESPACE),
)


@dataclass(frozen=True)
class Versions:
    """`v1.36.3`, each."""

    server: str
    kubectl: str


@dataclass
class Seen:
    """All that is judged. A list that one may not read is empty; `gateways` is None where there is no such kind."""

    versions: Versions
    nodes: list[Manifest] = field(default_factory=list)
    classes: list[Manifest] = field(default_factory=list)
    namespaces: list[Manifest] = field(default_factory=list)
    volumes: list[Manifest] = field(default_factory=list)
    services: list[Manifest] = field(default_factory=list)
    gateways: list[Manifest] | None = None
    gateway_classes: list[Manifest] = field(default_factory=list)
    gateway_version: str = ""
    engine_crd: bool = False
    left_over: list[str] = field(default_factory=list)
    metrics: bool = False
    refused: list[str] = field(default_factory=list)

    def namespace(self, name: str) -> Manifest | None:
        """The namespace of that name."""
        return next((item for item in self.namespaces if item["metadata"]["name"] == name), None)


def versions(kubectl: ContextKubectl) -> Versions:
    """Of the API server and of kubectl; DevclusterError when the API server does not answer."""
    try:
        answer = json.loads(kubectl.run("version", "--output=json", "--request-timeout=20s", timeout=60))
        return Versions(str(answer["serverVersion"]["gitVersion"]), str(answer["clientVersion"]["gitVersion"]))
    except (DevclusterError, KeyError, ValueError) as error:
        said = error.output.strip().splitlines()[-1:] if isinstance(error, CommandError) else [str(error)]
        raise DevclusterError(
            f"the API server {kubectl.access.server} of the context {kubectl.access.context} does not answer: "
            f"{''.join(said)}",
            "look with: kubectl cluster-info; another context: kubectl config use-context NAME",
        ) from error


def see(kubectl: ContextKubectl, found_versions: Versions) -> Seen:
    """Looks at everything once."""
    found = Seen(found_versions)
    found.nodes = _list(kubectl, "nodes")
    found.classes = _list(kubectl, "storageclasses")
    found.namespaces = _list(kubectl, "namespaces")
    found.volumes = _list(kubectl, "persistentvolumes")
    found.services = _list(kubectl, "services", "--all-namespaces")
    crds = {crd["metadata"]["name"]: crd for crd in _some(kubectl, "crd", ENGINE_CRD, ROUTE_CRD)}
    found.engine_crd = ENGINE_CRD in crds
    if ROUTE_CRD in crds:
        found.gateway_version = str(crds[ROUTE_CRD]["metadata"].get("annotations", {}).get(VERSION_NOTE, ""))
        found.gateways = _list(kubectl, "gateways.gateway.networking.k8s.io", "--all-namespaces")
        found.gateway_classes = _list(kubectl, "gatewayclasses.gateway.networking.k8s.io")
    if found.namespace(NAMESPACE) is not None:
        found.left_over = left_over(kubectl)
    service = _some(kubectl, "apiservice", "v1beta1.metrics.k8s.io")
    conditions = service[0].get("status", {}).get("conditions", []) if service else []
    found.metrics = any(item["type"] == "Available" and item["status"] == "True" for item in conditions)
    found.refused = refused_rights(kubectl)
    return found


def left_over(kubectl: ContextKubectl) -> list[str]:
    """Objects of an engine of the demo's name that are in its namespace, as `kind/name`."""
    kinds = "pods,services,configmaps,secrets,persistentvolumeclaims,statefulsets,deployments,jobs,serviceaccounts"
    arguments = ["get", kinds, f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/instance={ENGINE}"]
    return kubectl.run(*arguments, "--output=name", check=False).split()


def _list(kubectl: ContextKubectl, *arguments: str) -> list[Manifest]:
    try:
        items: list[Manifest] = kubectl.get(*arguments)["items"]
    except CommandError as error:
        if "orbidden" in error.output:
            return []
        raise
    return items


def _some(kubectl: ContextKubectl, kind: str, *names: str) -> list[Manifest]:
    text = kubectl.run("get", kind, *names, "--ignore-not-found", "--output=json", check=False)
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    return list(found["items"]) if "items" in found else [found] if found else []


def refused_rights(kubectl: ContextKubectl) -> list[str]:
    """Those of RIGHTS that the API server says this user has not."""
    reviews = [_review(right) for right in RIGHTS]
    asked = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answers = documents(kubectl.run("create", "--output=json", "--filename=-", stdin=asked))
    return [str(right) for right, answer in zip(RIGHTS, answers, strict=True) if not answer["status"]["allowed"]]


def documents(text: str) -> list[Manifest]:
    """Several JSON documents one after the other, as `kubectl create -o json` prints what it made of a list."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def _review(right: Right) -> Manifest:
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "resource": resource, "group": right.group, "namespace": right.namespace}
    if subresource:
        attributes["subresource"] = subresource
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
