"""What can never run is refused when it is applied, by API server and Python alike: one table, and many drawn."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from kubernetes.aio import client as kubernetes_client
from pydantic import ValidationError
from te_devcluster.api_server import ApiServer
from te_devcluster.commands import wait_until
from tradingengine_operator.api import API_VERSION, KIND, TradingEngineSpec
from tradingengine_operator.api.crd import build_crd
from tradingengine_operator.clients.kubernetes import api_client
from tradingengine_operator.plan import kinds

from tests.drawn import draw_spec

pytestmark = pytest.mark.cluster

NAMESPACE = "admission"
#: Requests side by side, and specifications that are drawn; TE_ADMISSION_SEED tries others.
PARALLEL, DRAWN, SEED = 16, 400, 1
Spec = dict[str, Any]


class Door:
    """The API server's admission, asked without storing anything."""

    def __init__(self, api: kubernetes_client.ApiClient) -> None:
        self._api = api
        self._queue = asyncio.Semaphore(PARALLEL)

    async def ask(self, spec: Spec, name: str = "desk") -> tuple[str, Spec]:
        """The server's words, empty when it would take the specification, and what it would store then."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"version": "1.4.2"} | spec,
        }
        url = f"{kinds.ENGINE.path(NAMESPACE)}?{urlencode({'dryRun': 'All', 'fieldValidation': 'Ignore'})}"
        async with self._queue:
            response = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
                "POST",
                self._api.configuration.host + url,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                body=body,
            )
            answer = json.loads(await response.read())
        if response.status == 201:
            return "", answer["spec"]
        assert response.status == 422, answer
        return str(answer["message"]), {}


@pytest.fixture(scope="module")
def admitting(api_server: ApiServer) -> ApiServer:
    """An API server that knows the resource."""
    api_server.apply([build_crd(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    wait_until("the kind is served", lambda: "tradingengines" in api_server.kubectl("api-resources"), timeout=20)
    return api_server


@pytest.fixture
async def door(admitting: ApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """Its admission."""
    monkeypatch.setenv("KUBECONFIG", str(admitting.kubeconfig))
    async with api_client() as api:
        yield Door(api)


def python_refusal(spec: Spec) -> str:
    """Python's words about a specification, empty when it takes it."""
    try:
        TradingEngineSpec.model_validate({"version": "1.4.2"} | spec)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors())
    return ""


def api(**resources: dict[str, Any]) -> Spec:
    """The API's resources."""
    return {"api": {"resources": resources}}


def node(**labels: Any) -> Spec:
    """An edge on the node with these labels."""
    return {"edge": {"nodeSelector": {key.replace("__", "/"): value for key, value in labels.items()}}}


def replay(**values: Any) -> Spec:
    """Recorded prices."""
    return {"marketData": {"source": "replay", "replay": {"claimName": "ticks"} | values}}


ABOVE_MEMORY = "requests.memory must not be above limits.memory; not given they are 128Mi and 512Mi"
ABOVE_CPU = "requests.cpu must not be above limits.cpu; not given they are 100m and 1"
AMOUNT = "must be a quantity such as 250m, 1, 1.5, 128Mi or 1Gi, never negative"
LABELS = "must be labels as nodes have them"
A_DAY = "must be a day that exists"
A_HOST = "must be a host name such as desk.example.com"
A_RANGE = "must be a range of IPv4 addresses such as 203.0.113.0/24"
AN_IMAGE = "must be an image such as"
A_URL = "must be an address such as http://prometheus.monitoring:9090"

#: What is refused: the field, and the rule in words.
REFUSED: dict[str, tuple[Spec, str, str]] = {
    "request above the default limit": (api(requests={"memory": "1Gi"}), "spec.api.resources", ABOVE_MEMORY),
    "request above the limit": (
        api(requests={"memory": "1000Mi"}, limits={"memory": "1G"}), "spec.api.resources", ABOVE_MEMORY,
    ),
    "default request above the limit": (api(limits={"memory": "64Mi"}), "spec.api.resources", ABOVE_MEMORY),
    "cpu above the default limit": (api(requests={"cpu": 2}), "spec.api.resources", ABOVE_CPU),
    "cpu above the limit": (api(requests={"cpu": "1500m"}, limits={"cpu": 1}), "spec.api.resources", ABOVE_CPU),
    "disk above the limit": (
        api(requests={"ephemeral-storage": "2Gi"}, limits={"ephemeral-storage": "1Gi"}),
        "spec.api.resources",
        "requests.ephemeral-storage must not be above limits.ephemeral-storage",
    ),
    "negative number": (api(requests={"cpu": -1}), "spec.api.resources.requests[cpu]", AMOUNT),
    "negative text": (api(requests={"cpu": "-100m"}), "spec.api.resources.requests[cpu]", AMOUNT),
    "no quantity": (api(limits={"cpu": "a lot"}), "spec.api.resources.limits[cpu]", AMOUNT),
    "exponent": (api(limits={"memory": "1e9"}), "spec.api.resources.limits[memory]", AMOUNT),
    "half a byte": (api(limits={"memory": "512m"}), "spec.api.resources", "512m is half a byte, 512Mi is meant"),
    "no cpu": (api(requests={"cpu": 0}), "spec.api.resources", "requests.cpu at least 1m"),
    "unknown resource": (api(requests={"gpu": 1}), "spec.api.resources.requests", "may name cpu, memory"),
    "label key": (node(**{"my zone": "x"}), "spec.edge.nodeSelector", LABELS),
    "label prefix": (node(Example__zone="x"), "spec.edge.nodeSelector", LABELS),
    "two slashes": (node(a__b__c="x"), "spec.edge.nodeSelector", LABELS),
    "long label key": (node(**{"k" * 64: "x"}), "spec.edge.nodeSelector", LABELS),
    "label value": (node(zone="a b"), "spec.edge.nodeSelector", LABELS),
    "day": (replay(**{"from": "2026-02-30"}), "spec.marketData.replay.from", A_DAY),
    "leap day": (replay(**{"from": "2025-02-29"}), "spec.marketData.replay.from", A_DAY),
    "month": (replay(**{"from": "2026-13-01"}), "spec.marketData.replay.from", A_DAY),
    "long hold": (
        {"rollout": {"steps": [{"weight": 10, "hold": "9999h"}, {"weight": 100}]}},
        "spec.rollout.steps[0].hold",
        "from 1s to 720h",
    ),
    "no hold": (
        {"rollout": {"steps": [{"weight": 10, "hold": "0s"}, {"weight": 100}]}},
        "spec.rollout.steps[0].hold",
        "from 1s to 720h",
    ),
    "no budget": ({"rollout": {"noDataBudget": "0m"}}, "spec.rollout.noDataBudget", "from 1s to 24h"),
    "warm for ever": ({"rollout": {"warmSlot": "99999h"}}, "spec.rollout.warmSlot", "from 0s to 168h"),
    "host label": ({"host": f"{'x' * 64}.example.com"}, "spec.host", A_HOST),
    "host address": ({"host": "10.0.0.1"}, "spec.host", A_HOST),
    "wildcard": ({"host": "*.example.com"}, "spec.host", A_HOST),
    "range": ({"edge": {"egress": [{"cidr": "300.0.113.0/24"}]}}, "spec.edge.egress[0].cidr", A_RANGE),
    "range of host": ({"edge": {"egress": [{"cidr": "203.0.113.7/24"}]}}, "spec.edge.egress[0].cidr", A_RANGE),
    "mask": ({"edge": {"egress": [{"cidr": "203.0.113.0/33"}]}}, "spec.edge.egress[0].cidr", A_RANGE),
    "port": (
        {"edge": {"egress": [{"cidr": "203.0.113.0/24", "port": 65536}]}},
        "spec.edge.egress[0].port",
        "less than or equal to 65535",
    ),
    "image": ({"images": {"api": "desk/Apps:1"}}, "spec.images.api", AN_IMAGE),
    "image tag": ({"images": {"edge": "desk/edge::1"}}, "spec.images.edge", AN_IMAGE),
    "password": ({"monitoring": {"prometheus": "http://me:word@prom:9090"}}, "spec.monitoring.prometheus", A_URL),
    "url port": ({"monitoring": {"prometheus": "http://prom:99999"}}, "spec.monitoring.prometheus", A_URL),
    "small volume": ({"database": {"embedded": {"storage": "10Mi"}}}, "spec.database.embedded.storage", "256Mi"),
    "secret key": (
        {"database": {"type": "managed", "managed": {"secretName": "pg", "key": ".."}}},
        "spec.database.managed.key",
        "must be a key of a Secret",
    ),
}  # fmt: skip

ACCEPTED: dict[str, Spec] = {
    "the same amount": api(requests={"memory": "1Gi", "cpu": "1000m"}, limits={"memory": "1024Mi", "cpu": 1}),
    "fractions": api(requests={"cpu": "0.5"}, limits={"cpu": "1.5", "memory": "1.5Gi"}),
    "disk": api(limits={"ephemeral-storage": "1Gi"}),
    "labels": node(example__zone="", **{"kubernetes.io/hostname": "yoga-pro.7_x"}),
    "leap day": replay(**{"from": "2028-02-29"}),
    "long hold": {"rollout": {"steps": [{"weight": 10, "hold": "720h"}, {"weight": 100}], "warmSlot": "0s"}},
    "host": {"host": "xn--desk.3trade.co"},
    "range": {"edge": {"egress": [{"cidr": "0.0.0.0/0"}, {"cidr": "203.0.113.7/32"}]}},
    "images": {"images": {"api": "registry:5000/desk/apps:1.4.2", "edge": f"desk/edge@sha256:{'0a' * 32}"}},
    "prometheus": {"monitoring": {"prometheus": "https://prometheus.example.com/tenant-1/"}},
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_can_never_run_is_refused_with_field_and_rule(door: Door, case: str) -> None:
    spec, field, words = REFUSED[case]
    said, _ = await door.ask(spec)
    assert f"{field}: Invalid value" in said
    assert words in said
    mine = python_refusal(spec)
    assert words in mine or field.endswith(".port")
    assert field.removeprefix("spec.").replace("[", ".").replace("]", "").removesuffix(".requests") in mine


@pytest.mark.parametrize("case", ACCEPTED)
async def test_what_can_run_is_taken(door: Door, case: str) -> None:
    assert (await door.ask(ACCEPTED[case]))[0] == ""
    assert python_refusal(ACCEPTED[case]) == ""


async def test_whatever_is_drawn_both_say_the_same(door: Door) -> None:
    """What only Python refuses would stop an engine after it was admitted; what only the server refuses, nobody."""
    seed = int(os.environ.get("TE_ADMISSION_SEED", SEED))
    rng = random.Random(seed)
    drawn = [draw_spec(rng) for _ in range(DRAWN)]
    answers = await asyncio.gather(*(door.ask(spec) for spec in drawn))
    differ = []
    for spec, (server, stored) in zip(drawn, answers, strict=True):
        mine = python_refusal(spec if server else stored)
        if bool(server) != bool(mine):
            differ.append(f"{json.dumps(spec)}\n  server: {server or 'takes it'}\n  Python: {mine or 'takes it'}")
    assert not differ, f"seed {seed}\n" + "\n".join(differ[:20])
    taken = sum(not server for server, _ in answers)
    assert DRAWN // 5 < taken < DRAWN * 4 // 5, f"seed {seed}: {taken} of {DRAWN} are taken, too one-sided to tell"
