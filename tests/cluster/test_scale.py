"""The profile `scale`: pods run on nodes that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from te_devcluster import api_server, scale
from te_devcluster.build import complete
from te_devcluster.commands import wait_until
from te_devcluster.kubectl import Kubectl
from te_devcluster.tools import group_named

pytestmark = pytest.mark.cluster

NAME = "scale-test"


@pytest.fixture
def kubectl() -> Iterator[Kubectl]:
    """An administrator of ten simulated nodes."""
    if not complete(group_named("kwok")):
        pytest.skip("kwok is an optional tool: devcluster/bin/devcluster build --only kwok")
    api_server.destroy_instance(NAME)
    scale.start_scale(NAME)
    try:
        yield Kubectl(api_server.STATES / NAME / "kubeconfig")
    finally:
        api_server.destroy_instance(NAME)


def test_pods_of_a_deployment_are_running_on_simulated_nodes(kubectl: Kubectl) -> None:
    kubectl.run("create", "deployment", "many", "--image=localhost/none:1", "--replicas=40")

    def available() -> bool:
        return bool(kubectl.get("deployment", "many")["status"].get("availableReplicas") == 40)

    wait_until("40 pods available", available, timeout=60)
    nodes = {pod["spec"]["nodeName"] for pod in kubectl.get("pods", "-l", "app=many")["items"]}
    assert len(nodes) == 10
