"""The full cluster by itself: two nodes, names, volumes, Gateway, metrics, a cut link, and nothing left afterwards.

Its last test ends every process of the cluster at once and brings it up anew, empty, for the tests of the product.
"""

from __future__ import annotations

import functools
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from te_devcluster import cluster, network, storage
from te_devcluster.commands import wait_until
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Kubectl, Manifest
from te_devcluster.lock import owner_file, read_owner, table, write_owner
from te_devcluster.paths import admin_kubeconfig, checkout
from te_devcluster.processes import boot_id
from te_devcluster.system_images import HELPER_IMAGE
from te_devcluster.tools import require

from tests.host_network import Network, changes, read_network

pytestmark = pytest.mark.e2e

NAMESPACE = "devcluster-test"
HTTP_PORT = 8080
TOLERATIONS = [
    {"key": "tradingengine.io/plane", "operator": "Equal", "value": "edge", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
]
LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def kubectl(cluster_up: Kubectl) -> Kubectl:
    """The cluster, with one namespace to work in; the last test of this module makes it anew."""
    cluster_up.run("create", "namespace", NAMESPACE)
    return cluster_up


def pod(name: str, node: str, command: list[str], labels: dict[str, str] | None = None) -> Manifest:
    """A locked-down pod of the helper image on one node."""
    container: Manifest = {
        "name": "main",
        "image": HELPER_IMAGE,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": LOCKED,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels or {"app": name}},
        "spec": {
            "nodeSelector": {"tradingengine.io/plane": node},
            "tolerations": TOLERATIONS,
            "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        },
    }


def web_pod(name: str, node: str) -> Manifest:
    """A pod that answers every path on port 8080 with its own name."""
    made = pod(name, node, ["probe", "serve", ":8080", name])
    made["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    return made


def service(name: str) -> Manifest:
    """A Service in front of the pod of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def ready(kubectl: Kubectl, *names: str) -> None:
    """Waits until pods are ready."""
    things = [f"pod/{name}" for name in names]
    kubectl.run("-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=90s", *things)


def run_in(kubectl: Kubectl, name: str, *command: str) -> str:
    """Runs a command in a pod and returns what it says."""
    return kubectl.run("-n", NAMESPACE, "exec", name, "--", *command, timeout=30)


def reaches(kubectl: Kubectl, here: str, there: str) -> bool:
    """True when the pod `here` gets the answer of the pod `there` by its Service's name."""
    try:
        answer = run_in(kubectl, here, "probe", "get", f"http://{there}.{NAMESPACE}.svc.cluster.local/")
    except CommandError:
        return False  # the node's proxy learns of a ready pod a moment after the API server
    return answer.strip() == there


def get(path: str, host: str) -> tuple[int, str]:
    """Status and body of a GET through the Gateway, 0 when nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{HTTP_PORT}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


def node_ready(kubectl: Kubectl, name: str) -> bool:
    conditions = kubectl.get("node", name)["status"]["conditions"]
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


@pytest.fixture(scope="module")
def two_pods(kubectl: Kubectl) -> Kubectl:
    """A web pod and its Service on each node."""
    kubectl.apply(
        [*(web_pod(f"web-{n}", n) for n in ("cloud", "edge")), *(service(f"web-{n}") for n in ("cloud", "edge"))]
    )
    ready(kubectl, "web-cloud", "web-edge")
    return kubectl


def test_both_nodes_are_what_they_are_meant_to_be(kubectl: Kubectl) -> None:
    nodes = {item["metadata"]["name"]: item for item in kubectl.get("nodes")["items"]}
    assert set(nodes) == {"cloud", "edge"}
    assert all(node_ready(kubectl, name) for name in nodes)
    taint = {"key": "tradingengine.io/plane", "value": "edge", "effect": "NoSchedule"}
    assert taint in nodes["edge"]["spec"]["taints"]
    assert not nodes["cloud"]["spec"].get("taints")
    for name, item in nodes.items():
        assert item["metadata"]["labels"]["tradingengine.io/plane"] == name


def test_pods_find_each_other_by_name_across_the_nodes(two_pods: Kubectl) -> None:
    for here, there in (("cloud", "edge"), ("edge", "cloud")):
        pods = (f"web-{here}", f"web-{there}")
        wait_until(f"{pods[1]} from {pods[0]}", functools.partial(reaches, two_pods, *pods), timeout=30)
    assert "web-edge" in two_pods.run("-n", NAMESPACE, "exec", "web-edge", "--", "hostname")
    with pytest.raises(CommandError):
        run_in(two_pods, "web-cloud", "touch", "/not-writable")


def test_the_gateway_answers_from_the_host_and_splits_by_weight(two_pods: Kubectl) -> None:
    backends = [{"name": "web-cloud", "port": 80, "weight": 9}, {"name": "web-edge", "port": 80, "weight": 1}]
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "parentRefs": [{"name": "web", "namespace": "gateway"}],
            "hostnames": ["web.localhost"],
            "rules": [{"backendRefs": backends}],
        },
    }
    two_pods.apply([route])
    wait_until("200 through the Gateway", lambda: get("/", "web.localhost")[0] == 200, timeout=30)
    answers = [get("/", "web.localhost")[1] for _ in range(40)]
    assert answers.count("web-edge") == 4
    assert answers.count("web-cloud") == 36
    assert get("/", "other.localhost")[0] == 404


def test_the_data_planes_metrics_are_there_for_pods_with_labels_by_service(two_pods: Kubectl) -> None:
    url = "http://traefik-metrics.gateway.svc.cluster.local:8082/metrics"
    text = run_in(two_pods, "web-cloud", "probe", "get", url)
    assert any("traefik_service_requests_total" in line and "web-cloud" in line for line in text.splitlines())


def claim(name: str, storage_class: str | None) -> Manifest:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def pod_with_claim(name: str, node: str, claim_name: str) -> Manifest:
    made = pod(name, node, ["sh", "-c", "echo kept >> /data/file && exec sleep 3600"])
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    return made


def test_a_claim_gets_a_volume_that_a_non_root_pod_writes_and_goes_with_it(kubectl: Kubectl) -> None:
    kubectl.apply([claim("plain", None), pod_with_claim("writer", "cloud", "plain")])
    ready(kubectl, "writer")
    assert run_in(kubectl, "writer", "cat", "/data/file").strip() == "kept"
    volume = kubectl.get("-n", NAMESPACE, "pvc", "plain")["spec"]["volumeName"]
    path = Path(kubectl.get("pv", volume)["spec"]["local"]["path"])
    assert path.is_dir()
    kubectl.run("-n", NAMESPACE, "delete", "pod/writer", "pvc/plain", "--wait=false")
    wait_until("the volume's folder gone", lambda: not path.exists(), timeout=120, every=1.0)


def test_a_journal_lies_at_its_fixed_path_and_outlives_its_pod(kubectl: Kubectl) -> None:
    storage.add_journal(kubectl, NAMESPACE, "desk", "1Gi")
    path = storage.journal_path(NAMESPACE, "desk")
    name = "journal-desk-edge-0"
    for lines in (1, 2):
        kubectl.apply([claim(name, storage.JOURNAL_CLASS), pod_with_claim("edge-writer", "edge", name)])
        ready(kubectl, "edge-writer")
        assert (path / "file").read_text() == "kept\n" * lines
        with pytest.raises(DevclusterError, match="in use"):
            storage.remove_journal(kubectl, NAMESPACE, "desk")
        kubectl.run("-n", NAMESPACE, "delete", "pod/edge-writer", f"pvc/{name}")
        storage.add_journal(kubectl, NAMESPACE, "desk", "1Gi")
    storage.remove_journal(kubectl, NAMESPACE, "desk")
    assert not path.exists()
    assert "desk" not in kubectl.run("get", "pv")


def test_the_metrics_of_pods_and_nodes_come(two_pods: Kubectl) -> None:
    def measured() -> bool:
        try:
            return "web-cloud" in two_pods.run("-n", NAMESPACE, "top", "pods")
        except CommandError:
            return False

    wait_until("metrics of pods", measured, timeout=90, every=1.0)


def test_a_horizontal_autoscaler_sees_the_load_of_its_pods(two_pods: Kubectl) -> None:
    meta = {"name": "scaled", "namespace": NAMESPACE}
    template = {"metadata": {"labels": {"app": "scaled"}}, "spec": web_pod("scaled", "cloud")["spec"]}
    spec = {"selector": {"matchLabels": {"app": "scaled"}}, "template": template}
    two_pods.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}])
    two_pods.run("-n", NAMESPACE, "autoscale", "deployment/scaled", "--cpu=50%", "--min=2", "--max=3")

    def scaled() -> bool:
        status = two_pods.get("-n", NAMESPACE, "hpa", "scaled")["status"]
        return bool(status.get("currentReplicas") == 2 and status.get("currentMetrics"))

    wait_until("the autoscaler's figures", scaled, timeout=120, every=1.0)


def test_a_static_pod_runs_on_the_edge(kubectl: Kubectl) -> None:
    manifest = pod("guard", "edge", ["sleep", "3600"])
    edge = next(node for node in cluster.nodes(cluster.control_plane(0)) if node.name == "edge")
    path = edge.static_pods / "guard.json"
    path.write_text(json.dumps(manifest))
    try:
        mirror = "guard-edge"
        wait_until("the mirror pod", lambda: mirror in kubectl.run("-n", NAMESPACE, "get", "pods"), timeout=60)
        ready(kubectl, mirror)
    finally:
        path.unlink()


def test_a_cut_edge_goes_on_and_comes_back_the_same(two_pods: Kubectl) -> None:
    before = two_pods.get("-n", NAMESPACE, "pod", "web-edge")
    address = before["status"]["podIP"]
    edge = network.node_named("edge")
    network.cut(edge)
    try:
        assert network.is_cut(edge)
        wait_until("the edge NotReady", lambda: not node_ready(two_pods, "edge"), timeout=60, every=0.5)
        inside = network.inside("te-edge", [require("probe"), "get", f"http://{address}:8080/"])
        answer = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=30)
        assert answer.stdout.strip() == "web-edge", answer.stderr
    finally:
        network.heal(edge)
    wait_until("the edge Ready", lambda: node_ready(two_pods, "edge"), timeout=60, every=0.5)
    after = two_pods.get("-n", NAMESPACE, "pod", "web-edge")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
    wait_until("web-edge from web-cloud", lambda: reaches(two_pods, "web-cloud", "web-edge"), timeout=30)


def test_the_host_s_own_network_is_as_it_was_before_up(two_pods: Kubectl, host_before: Network) -> None:
    if not host_before:
        pytest.skip("the demo was up already")
    assert changes(host_before, read_network()) == []


def test_up_again_changes_nothing(two_pods: Kubectl) -> None:
    before = {record.name: record for record in table().records()}
    cluster.up(cluster.Ports())
    assert {record.name: record for record in table().records()} == before


def test_another_checkout_is_refused(kubectl: Kubectl) -> None:
    owner = read_owner()
    assert owner is not None
    text = owner_file().read_text()
    write_owner(type(owner)("/elsewhere", owner.pid, owner.since, owner.api_port, owner.http_port, True))
    try:
        for act in (lambda: cluster.up(cluster.Ports()), cluster.down, cluster.require_running):
            with pytest.raises(DevclusterError, match="/elsewhere"):
                act()
    finally:
        owner_file().write_text(text)
    assert admin_kubeconfig().is_file()


def test_after_a_crash_of_everything_up_cleans_and_starts_anew(two_pods: Kubectl) -> None:
    for record in table().records():
        assert record.boot_id == boot_id()
        record.signal(9)
    command = [str(checkout() / "devcluster" / "bin" / "devcluster"), "up"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert node_ready(Kubectl(admin_kubeconfig()), "edge")
    assert "web-cloud" not in Kubectl(admin_kubeconfig()).run("get", "pods", "--all-namespaces")
