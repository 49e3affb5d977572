"""The route's rules on the Gateway of the development cluster: Traefik, with servers that stand for the slots."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from te_devcluster import addons, network
from te_devcluster.api_server import ApiServer
from te_devcluster.commands import wait_until
from te_devcluster.tools import gateway_crds, traefik
from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.route import build_route
from tradingengine_operator.plan.attachment import GatewayKey
from tradingengine_operator.plan.routes import RouteObservation, read_route

from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.cluster

NAMESPACE = "sticky"
SERVERS = {f"{part}-{slot}": 9100 + index for index, (part, slot) in enumerate(
    (part, slot) for part in names.SLOT_COMPONENTS for slot in names.SLOTS)}  # fmt: skip
GATEWAY = GatewayKey(addons.GATEWAY_NAMESPACE, addons.GATEWAY)
CANARY = {"x-canary": "always"}
MATCH = {"headers": [{"name": "x-canary", "value": "always"}], "cookies": [{"name": "canary", "value": "yes"}]}
Request = tuple[str, dict[str, str] | None, int]


def slot_objects(name: str, port: int) -> list[Manifest]:
    """A slot's Service, and its only endpoint."""
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    metadata = {"name": f"desk-{name}", "namespace": NAMESPACE}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": names.SERVICE_PORT, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": f"desk-{name}"}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [network.HUB_ADDRESS], "conditions": {"ready": True}}],
        },
    ]


class World:
    """Traefik, the servers behind it, and a client."""

    def __init__(self, server: ApiServer, log: Path) -> None:
        self.server = server
        plane = server.plane
        arguments = [network.HUB_ADDRESS, str(addons.GATEWAY_PORT), str(addons.METRICS_PORT)]
        servers = [f"{port}={name}" for name, port in SERVERS.items()]
        helper = [sys.executable, str(Path(__file__).with_name("gateway_world.py")), *arguments, *servers]
        self.client = subprocess.Popen(
            network.inside(server.namespace, helper), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with log.open("w") as file:
            self.traefik = subprocess.Popen(
                network.inside(server.namespace, addons.traefik_command(traefik())),
                stdout=file,
                stderr=file,
                env={"KUBECONFIG": str(plane.inner_kubeconfig)},
            )
        assert self.client.stdout is not None
        assert self.client.stdout.readline() == "ready\n"

    def ask(self, *requests: Request) -> list[Any]:
        """What each request was answered, by how often."""
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps(requests) + "\n")
        self.client.stdin.flush()
        answers: list[Any] = json.loads(self.client.stdout.readline())
        return answers

    def route(
        self, live: dict[Slot, int], weights: dict[Slot, int], trying: Slot | None = None, **spec: dict[str, Any]
    ) -> None:
        """Writes the route, and waits until Traefik says that it follows it."""
        gateway = {"name": addons.GATEWAY, "namespace": addons.GATEWAY_NAMESPACE} | spec.pop("gateway", {})
        ctx = context({"gateway": gateway} | spec, namespace=NAMESPACE)
        route = build_route(ctx, live, weights, trying)
        route["metadata"] = {"name": "desk", "namespace": NAMESPACE}
        self.server.kubectl("delete", "httproute", "desk", "-n", NAMESPACE, "--ignore-not-found")
        self.server.apply([route])

        def said() -> RouteObservation:
            return read_route(self.server.get("httproute", "desk", "-n", NAMESPACE), "desk", GATEWAY)

        wait_until("Traefik accepts the route", lambda: said().accepted, timeout=20, hint=lambda: str(said()))
        # Accepted is said before it is followed; the new path answers by itself when it is.
        wait_until("Traefik follows it", lambda: "404" not in self.ask(("/", {}, 1))[0], timeout=20)

    def stop(self) -> None:
        """Ends both programs."""
        for process in (self.traefik, self.client):
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def world(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Traefik for all tests here."""
    api_server.kubectl("apply", "--server-side", "-f", str(gateway_crds()))
    api_server.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
    slots = [manifest for name, port in SERVERS.items() for manifest in slot_objects(name, port)]
    api_server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *slots])
    api_server.apply(addons.gateway())
    world = World(api_server, tmp_path_factory.mktemp("traefik") / "log")
    yield world
    world.stop()


def test_by_path_each_release_has_its_pages_calls_and_sockets(world: World) -> None:
    spec: dict[str, Any] = {"gateway": {"sticky": "path"}, "rollout": {"match": {"headers": MATCH["headers"]}}}
    world.route({"a": 6, "b": 7}, {"a": 999, "b": 1}, "b", **spec)
    found = world.ask(
        ("/r/7/charts", {}, 20), ("/r/7", {}, 20), ("/r/7/v1/status", {}, 20), ("/r/7/ws", {}, 20), ("/r/6/", {}, 20),
        ("/r/7/charts", {"cookie": "te-release=6"}, 20), ("/charts", CANARY, 20), ("/v1/status", CANARY, 20),
        ("/r/6/v1/status", CANARY, 20), ("/r/77/v1/status", {}, 1),
    )  # fmt: skip
    assert found[:-1] == [
        {"dashboard-b /r/7/charts path": 20},
        {"dashboard-b /r/7 path": 20},
        {"api-b /r/7/v1/status ": 20},
        {"api-b /r/7/ws ": 20},
        {"dashboard-a /r/6/ path": 20},
        {"dashboard-b /r/7/charts path": 20},
        {"dashboard-b /charts own-path": 20},
        {"api-b /v1/status ": 20},
        {"api-a /r/6/v1/status ": 20},
    ]
    # A release that is gone has no rule: a dashboard answers, and says so.
    assert next(iter(found[-1])).startswith("dashboard-")


def test_by_cookie_who_asks_for_the_new_release_gets_it_and_all_others_stay(world: World) -> None:
    world.route({"a": 6, "b": 7}, {"a": 999, "b": 1}, "b", rollout={"match": MATCH})
    stays, asks = {"cookie": "x=y; te-release=6"}, {"cookie": "te-release=6; canary=yes"}
    found = world.ask(
        ("/charts", stays, 20), ("/v1/status", {"cookie": "te-release=7"}, 20), ("/charts", CANARY, 20),
        ("/ws", CANARY, 20), ("/charts", asks, 20), ("/v1/status", stays | CANARY, 20),
    )  # fmt: skip
    names_ = [next(iter(entry)).split()[0] for entry in found if len(entry) == 1]
    assert names_ == ["dashboard-a", "api-b", "dashboard-b", "api-b", "dashboard-b", "api-b"]
    world.route({"a": 6}, {"a": 1000, "b": 0}, None, rollout={"match": MATCH})
    found = world.ask(("/charts", CANARY, 20), ("/charts", asks, 20), ("/v1/status", {"cookie": "te-release=7"}, 20))
    assert found == [{"dashboard-a /charts ": 20}, {"dashboard-a /charts ": 20}, {"api-a /v1/status ": 20}]


def test_what_traefik_counts_is_known_by_slot(world: World) -> None:
    world.route({"a": 6, "b": 7}, {"a": 500, "b": 500}, "b", rollout={"match": MATCH})
    _, text = world.ask(("/v1/none/fail", {"cookie": "te-release=7"}, 30), ("/metrics", None, 1))
    pattern = names.gateway_service("desk", NAMESPACE)
    counted = re.findall(r'traefik_service_requests_total\{code="(\d+)",.*service="([^"]+)"\} (\d+)', text)
    slots = [(code, known.groups(), number) for code, name, number in counted if (known := re.fullmatch(pattern, name))]
    assert len(slots) == len(counted), "every Service of Traefik here is one of ours"
    assert ("500", ("api", "b"), "30") in slots
    assert 'traefik_service_request_duration_seconds_bucket{code="500"' in text


def test_a_tenth_of_a_percent_is_one_request_of_a_thousand(world: World) -> None:
    world.route({"a": 6, "b": 7}, {"a": 999, "b": 1})
    (found,) = world.ask(("/charts", {}, 1000))
    assert found == {"dashboard-a /charts ": 999, "dashboard-b /charts ": 1}
