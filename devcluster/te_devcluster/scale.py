"""The profile `scale`: a control plane whose nodes and pods are simulated by kwok, to see how the operator grows."""

from __future__ import annotations

from te_devcluster import network
from te_devcluster.api_server import ApiServer, destroy_instance
from te_devcluster.commands import wait_until
from te_devcluster.kubectl import Manifest
from te_devcluster.tools import files_of, require

ANNOTATION = "kwok.x-k8s.io/node"


def fake_node(name: str) -> Manifest:
    """A node that kwok keeps Ready and whose pods it says are running."""
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake"},
            "labels": {"kubernetes.io/hostname": name, "type": "kwok", "tradingengine.io/plane": "cloud"},
        },
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def start_scale(name: str, count: int = 10) -> None:
    """Starts an API server with controllers, scheduler, kwok and `count` simulated nodes, kept until taken down."""
    # Asked first: nothing is started when it is not built.
    command = [require("kwok"), f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake"]
    command += ["--node-lease-duration-seconds=40", *(f"--config={path}" for path in files_of("kwok").iterdir())]
    server = ApiServer(name=name, owned=False, controllers=True, scheduler=True)
    server.start()
    try:
        plane = server.plane
        command.append(f"--kubeconfig={plane.inner_kubeconfig}")
        plane.table.start("kwok", network.inside(server.namespace, command))
        server.apply([fake_node(f"simulated-{index}") for index in range(count)])
        wait_until(
            "simulated nodes ready",
            lambda: _ready(server) == count,
            timeout=60,
            hint=lambda: plane.table.log_tail("kwok"),
        )
    except BaseException:
        destroy_instance(name)
        raise


def _ready(server: ApiServer) -> int:
    nodes = server.get("nodes")["items"]
    conditions = [item for node in nodes for item in node["status"].get("conditions", [])]
    return sum(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
