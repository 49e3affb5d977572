"""What is missing in a cluster, each with the command that mends it, and the plan when nothing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from te_devcluster.doctor import Finding, parse_version
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Manifest
from te_devcluster.node import PLANE_LABEL
from te_devcluster.storage import JOURNAL_CLASS, volume_name

from te_demo.existing import gateways
from te_demo.existing.gateways import Gateway, Reach, Reachable
from te_demo.existing.hand import HAND_NAMESPACE
from te_demo.existing.record import Record
from te_demo.existing.sight import ENGINE_CRD, Seen
from te_demo.person import HOST
from te_demo.product import ENGINE, HELM_RELEASE, NAMESPACE, OPERATOR_NAMESPACE

MIN_KUBERNETES = (1, 35)
MIN_GATEWAY = (1, 5)
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
HOSTNAME_LABEL = "kubernetes.io/hostname"
WARNING = "WARNING: "
EDGE_LABEL = f"{PLANE_LABEL}=edge"
CRDS_MEND = 'kubectl apply --server-side -f "$(devcluster/bin/devcluster files gateway-api)"'


@dataclass(frozen=True)
class Wishes:
    """What a person said on the command line; an empty text says nothing."""

    gateway: str = ""
    gateway_service: str = ""
    host: str = HOST
    edge_node: str = ""
    yes: bool = False


@dataclass(frozen=True)
class EdgeNode:
    """The node of the edge. `label` says that it gets our label now, which somebody allowed."""

    name: str
    hostname: str
    label: bool


@dataclass(frozen=True)
class Chosen:
    """What the demo uses of the cluster."""

    gateway: Gateway
    reach: Reach
    node: EdgeNode


@dataclass
class Verdict:
    """All findings; the parts of the plan are None where a finding says what is missing."""

    findings: list[Finding] = field(default_factory=list)
    gateway: Gateway | None = None
    reach: Reach | None = None
    node: EdgeNode | None = None

    @property
    def missing(self) -> list[Finding]:
        """What has to be mended first."""
        return [finding for finding in self.findings if not finding.ok]

    @property
    def chosen(self) -> Chosen:
        """What is used, once nothing is missing."""
        if self.gateway is None or self.reach is None or self.node is None:
            raise DevclusterError("something is missing in the cluster", "make demo CLUSTER=current")
        return Chosen(self.gateway, self.reach, self.node)


def judge(seen: Seen, wishes: Wishes, record: Record, reachable: Reachable) -> Verdict:
    """Everything that is wrong at once. `record` says what of it the demo made itself."""
    verdict = Verdict()
    add = verdict.findings.append
    add(_version("Kubernetes", seen.versions.server, MIN_KUBERNETES, "upgrade the cluster"))
    add(_skew(seen))
    add(_gateway_api(seen))
    _gateway(verdict, seen, wishes, reachable)
    add(_default_class(seen))
    _edge_node(verdict, seen, wishes)
    add(_journal_volume(seen, record))
    add(_not_installed(seen, record))
    add(_nothing_left(seen, record))
    add(_rights(verdict, seen))
    add(_metrics(seen))
    return verdict


def _version(name: str, text: str, least: tuple[int, int], mend: str) -> Finding:
    ok = parse_version(text)[:2] >= least
    wanted = ".".join(map(str, least))
    return Finding(name, ok, text if ok else f"{text}, and {wanted} is needed", "" if ok else mend)


def _skew(seen: Seen) -> Finding:
    """kubectl is kept compatible with servers of one minor version more or less than its own."""
    server, own = (parse_version(text)[:2] for text in (seen.versions.server, seen.versions.kubectl))
    near = server[:1] == own[:1] and abs(server[1] - own[1]) <= 1
    text = f"{seen.versions.kubectl}, and the server is {seen.versions.server}"
    return Finding("kubectl", True, seen.versions.kubectl if near else f"{WARNING}{text}: more than one minor apart")


def _gateway_api(seen: Seen) -> Finding:
    if seen.gateways is None:
        return Finding("Gateway API", False, "its CustomResourceDefinitions are not there", CRDS_MEND)
    return _version("Gateway API", seen.gateway_version or "no version said", MIN_GATEWAY, CRDS_MEND)


def _gateway(verdict: Verdict, seen: Seen, wishes: Wishes, reachable: Reachable) -> None:
    def look() -> Finding:
        chosen = gateways.choose(seen, wishes.gateway)
        verdict.gateway = chosen
        return Finding("Gateway", True, f"{chosen.namespace}/{chosen.name}, {chosen.controller or 'class unknown'}")

    verdict.findings.append(_attempt("Gateway", look))
    chosen = verdict.gateway
    if chosen is None:
        return

    def way() -> Finding:
        service = gateways.find_service(chosen, seen.services, wishes.gateway_service)
        found = gateways.find_reach(chosen, service, wishes.host, reachable)
        verdict.reach = found
        by = f"port-forward to the Service {found.service.namespace}/{found.service.name}" if found.service else ""
        return Finding("way to the Gateway", True, by or f"{found.address}:{found.port}")

    verdict.findings.append(_attempt("way to the Gateway", way))


def _attempt(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except DevclusterError as error:
        return Finding(name, False, error.message, error.mend)


def _default_class(seen: Seen) -> Finding:
    names = [
        item["metadata"]["name"]
        for item in seen.classes
        if (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
    ]
    if names:
        return Finding("default StorageClass", True, ", ".join(names))
    others = [
        item["metadata"]["name"] for item in seen.classes if item["provisioner"] != "kubernetes.io/no-provisioner"
    ]
    mend = f"kubectl annotate storageclass {others[0] if others else 'NAME'} {DEFAULT_CLASS}=true"
    detail = f"there is none; there are {', '.join(others)}" if others else "there is none"
    return Finding("default StorageClass", False, detail, mend if others else f"install a provisioner, then {mend}")


def _edge_node(verdict: Verdict, seen: Seen, wishes: Wishes) -> None:
    def look() -> Finding:
        verdict.node = choose_node(seen.nodes, wishes)
        how = f"gets the label {EDGE_LABEL}, no taint" if verdict.node.label else f"has the label {EDGE_LABEL}"
        return Finding("node of the edge", True, f"{verdict.node.name} {how}")

    verdict.findings.append(_attempt("node of the edge", look))


def choose_node(nodes: list[Manifest], wishes: Wishes) -> EdgeNode:
    """The labelled node, or one that somebody allowed to be labelled; DevclusterError otherwise."""
    labelled = [node for node in nodes if _labels(node).get(PLANE_LABEL) == "edge"]
    names = [str(node["metadata"]["name"]) for node in nodes]
    if wishes.edge_node:
        if wishes.edge_node not in names:
            raise DevclusterError(f"there is no node {wishes.edge_node}", f"one of: {', '.join(names)}")
        chosen = nodes[names.index(wishes.edge_node)]
        if labelled and chosen not in labelled:
            others = ", ".join(str(node["metadata"]["name"]) for node in labelled)
            raise DevclusterError(
                f"{others} has the label {EDGE_LABEL}, and {wishes.edge_node} has not",
                f"kubectl label node {wishes.edge_node} {EDGE_LABEL}, and take it from the other: {PLANE_LABEL}-",
            )
    elif len(labelled) > 1:
        several = " or ".join(f"EDGE_NODE={node['metadata']['name']}" for node in labelled)
        raise DevclusterError(f"{len(labelled)} nodes have the label {EDGE_LABEL}", f"say which: {several}")
    elif labelled:
        chosen = labelled[0]
    elif len(nodes) == 1 and wishes.yes:
        chosen = nodes[0]
    elif len(nodes) == 1:
        raise DevclusterError(
            f"no node has the label {EDGE_LABEL}; {names[0]}, the only one, could have both planes",
            f"allow it: YES=1 (it gets the label without the taint), or: kubectl label node {names[0]} {EDGE_LABEL}",
        )
    else:
        raise DevclusterError(
            f"no node has the label {EDGE_LABEL}; there are {', '.join(names)}",
            f"kubectl label node NAME {EDGE_LABEL}, or allow the demo to label one: EDGE_NODE=NAME",
        )
    if not _ready(chosen):
        raise DevclusterError(f"{chosen['metadata']['name']} is not Ready", "look with: kubectl describe node")
    name = str(chosen["metadata"]["name"])
    return EdgeNode(name, str(_labels(chosen).get(HOSTNAME_LABEL, name)), label=chosen not in labelled)


def _labels(node: Manifest) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def _ready(node: Manifest) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _journal_volume(seen: Seen, record: Record) -> Finding:
    name = volume_name(NAMESPACE, ENGINE)
    found = [item for item in seen.volumes if item["metadata"]["name"] == name]
    if record.has("persistentvolume", name):
        return Finding("journal volume", True, "made by the demo")
    if not found:
        return Finding("journal volume", True, f"to be made, in the class {JOURNAL_CLASS}")
    detail = f"{name} is there, and not the demo's, which makes its own"
    return Finding("journal volume", False, detail, f"kubectl delete persistentvolume {name}")


def _not_installed(seen: Seen, record: Record) -> Finding:
    if not seen.engine_crd:
        return Finding("operator", True, "to be installed")
    if record.has("crd", ENGINE_CRD):
        return Finding("operator", True, "installed by the demo")
    return Finding(
        "operator",
        False,
        "Trading Engine is installed here already, and not by the demo, which brings its own",
        "apply demo/engine.yaml to it; or, once no engine is left, take it away: "
        f"helm uninstall RELEASE; kubectl delete crd {ENGINE_CRD}",
    )


def _nothing_left(seen: Seen, record: Record) -> Finding:
    if record.has("engine", ENGINE, NAMESPACE) or not seen.left_over:
        return Finding(f"namespace {NAMESPACE}", True, "free" if not seen.left_over else "the demo's engine is there")
    kinds = ",".join(sorted({thing.partition("/")[0] for thing in seen.left_over}))
    return Finding(
        f"namespace {NAMESPACE}",
        False,
        f"an earlier engine {ENGINE} left {len(seen.left_over)} objects, such as {seen.left_over[0]}",
        f"kubectl delete {kinds} -n {NAMESPACE} -l app.kubernetes.io/instance={ENGINE}    # its data too",
    )


def _rights(verdict: Verdict, seen: Seen) -> Finding:
    """Only those for what would be made: who was given namespaces and a labelled node needs no more."""
    unneeded = set()
    if verdict.node is not None and not verdict.node.label:
        unneeded.add("patch nodes")
    if has_class(seen):
        unneeded.add("create storageclasses.storage.k8s.io")
    if all(seen.namespace(name) is not None for name in (NAMESPACE, OPERATOR_NAMESPACE, HAND_NAMESPACE)):
        unneeded.add("create namespaces")
    refused = [right for right in seen.refused if right not in unneeded]
    if not refused:
        return Finding("rights", True, "all that are needed")
    mend = "ask for them, or use a context with the role cluster-admin"
    return Finding("rights", False, f"refused: {'; '.join(refused)}", mend)


def has_class(seen: Seen) -> bool:
    """Whether the journals' StorageClass is there."""
    return any(item["metadata"]["name"] == JOURNAL_CLASS for item in seen.classes)


def _metrics(seen: Seen) -> Finding:
    if seen.metrics:
        return Finding("metrics-server", True, "answers")
    return Finding("metrics-server", True, f"{WARNING}not there: the API's pods will not scale by their load")


def plan(chosen: Chosen, seen: Seen, record: Record, images: str) -> list[str]:
    """What `up` makes, one line each, in order."""
    lines = [f"images: {images}"]
    if chosen.node.label:
        lines.append(f"label {EDGE_LABEL} on the node {chosen.node.name}, no taint")
    spaces = [name for name in (NAMESPACE, OPERATOR_NAMESPACE) if seen.namespace(name) is None]
    lines += [f"namespace {name}" for name in spaces]
    if not record.has("crd", ENGINE_CRD):
        lines.append(f"CustomResourceDefinition {ENGINE_CRD}, chart release {OPERATOR_NAMESPACE}/{HELM_RELEASE}")
    if not has_class(seen):
        lines.append(f"StorageClass {JOURNAL_CLASS}")
    lines.append(f"journal: a folder on the node {chosen.node.name} and the volume {volume_name(NAMESPACE, ENGINE)}")
    gateway = f"{chosen.gateway.namespace}/{chosen.gateway.name}"
    lines.append(f"TradingEngine {NAMESPACE}/{ENGINE} on the Gateway {gateway}, with its volumes")
    return lines
