"""Control API and metrics server: what they answer, and what becomes of everything else."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.prometheus import PrometheusClient, error_rate_query
from tradingengine_operator.errors import ControlError, TokenRefusedError
from tradingengine_operator.samples import Kind

pytestmark = pytest.mark.unit
TOKEN = "never-in-a-log"
CONTRACT = json.loads((Path(__file__).parents[4] / "contract" / "control-v1.schema.json").read_text())
STATE: dict[str, Any] = {
    "component": "edge",
    "engine": "desk",
    "release": "2",
    "slot": "",
    "version": "1.4.2",
    "schema_revision": None,
    "state": "draining",
    "requests": {"total": 7},
    "websockets": 1,
    "edge": {
        "epoch": 3,
        "sequence": 9,
        "idle": True,
        "flat": False,
        "trading_state": "REDUCING",
        "journal": "0198c0de-0000-7000-8000-000000000000",
        "recovered": True,
    },
}


class Pod:
    """A pod, or a metrics server, that answers as told."""

    def __init__(self) -> None:
        self.answer: Any = STATE
        self.status = 200
        self.asked: list[tuple[str, str, str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        text = await request.text()
        body = json.loads(text) if text.startswith("{") else text
        self.asked.append((request.method, request.path, request.headers.get("Authorization", ""), body))
        if self.status == 204:
            return web.Response(status=204)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def pod() -> AsyncIterator[tuple[Pod, int]]:
    """A pod and its port."""
    played = Pod()
    app = web.Application()
    app.add_routes([web.route("*", "/{tail:.*}", played.handle)])
    async with TestServer(app) as server:
        assert server.port is not None
        yield played, server.port


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session."""
    async with aiohttp.ClientSession() as made:
        yield made


async def test_state(pod: tuple[Pod, int], session: aiohttp.ClientSession) -> None:
    state = await ControlClient(session, port=pod[1]).state("127.0.0.1", TOKEN)
    assert (state.release, state.state, state.requests, state.web_sockets) == ("2", "draining", 7, 1)
    assert state.edge is not None
    assert (state.edge.idle, state.edge.flat, state.edge.trading_state) == (True, False, "REDUCING")
    assert pod[0].asked == [("GET", "/control/v1/state", f"Bearer {TOKEN}", "")]
    jsonschema.validate(STATE, {"$ref": "#/$defs/State", "$defs": CONTRACT["$defs"]})


async def test_every_call_is_one_of_the_contract(pod: tuple[Pod, int], session: aiohttp.ClientSession) -> None:
    client = ControlClient(session, port=pod[1])
    pod[0].answer = STATE | {"edge": None}
    await client.state("127.0.0.1", TOKEN)
    await client.withdraw("127.0.0.1", TOKEN, 2, 10.0)
    await client.serve("127.0.0.1", TOKEN, 2)
    await client.drain("127.0.0.1", TOKEN)
    await client.resume("127.0.0.1", TOKEN)
    pod[0].status = 204
    await client.put_release("127.0.0.1", TOKEN, {"phase": "Running"})
    operations = {(entry["method"], entry["path"]): entry["request"] for entry in CONTRACT["x-operations"]}
    assert {(method, path) for method, path, _, _ in pod[0].asked} == set(operations)
    for method, path, _, body in pod[0].asked:
        definition = operations[method, path]
        if definition in {"WithdrawRequest", "ServeRequest"}:
            jsonschema.validate(body, {"$ref": f"#/$defs/{definition}", "$defs": CONTRACT["$defs"]})


@pytest.mark.parametrize(("status", "answer"), [(401, {}), (409, {}), (500, {}), (200, {"state": "x"}), (200, "text")])
async def test_anything_else_is_one_kind_of_error_without_the_token(
    pod: tuple[Pod, int],
    session: aiohttp.ClientSession,
    status: int,
    answer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    pod[0].status, pod[0].answer = status, answer
    with pytest.raises(ControlError) as caught:
        await ControlClient(session, port=pod[1]).state("127.0.0.1", TOKEN)
    assert isinstance(caught.value, TokenRefusedError) is (status == 401), "a pod with another token runs"
    assert TOKEN not in str(caught.value)
    assert TOKEN not in caplog.text


async def test_a_pod_that_is_not_there(session: aiohttp.ClientSession) -> None:
    with pytest.raises(ControlError):
        await ControlClient(session, port=1, timeout=0.5).state("127.0.0.1", TOKEN)


def vector(*values: str) -> dict[str, Any]:
    """A well-formed answer."""
    return {"status": "success", "data": {"resultType": "vector", "result": [{"value": [0, text]} for text in values]}}


@pytest.mark.parametrize(
    ("status", "answer", "kind", "value"),
    [
        (200, vector("0.25"), Kind.VALUE, Decimal("0.25")),
        (200, vector("0"), Kind.VALUE, Decimal(0)),
        (200, vector(), Kind.NO_DATA, None),
        (200, vector("NaN"), Kind.NO_DATA, None),
        (200, vector("+Inf"), Kind.NO_DATA, None),
        (200, {"status": "error"}, Kind.NO_SERVER, None),
        (200, vector("many"), Kind.NO_SERVER, None),
        (200, "text", Kind.NO_SERVER, None),
        (503, {}, Kind.NO_SERVER, None),
    ],
)
async def test_samples(
    pod: tuple[Pod, int],
    session: aiohttp.ClientSession,
    status: int,
    answer: Any,
    kind: Kind,
    value: Decimal | None,
) -> None:
    pod[0].status, pod[0].answer = status, answer
    sample = await PrometheusClient(session).error_rate(f"http://127.0.0.1:{pod[1]}/", ("trading", "desk"), "b", 2)
    assert (sample.kind, sample.value) == (kind, value)


async def test_no_metrics_server_is_a_finding(session: aiohttp.ClientSession) -> None:
    sample = await PrometheusClient(session, timeout=0.5).sample("http://127.0.0.1:1", "up")
    assert sample.kind is Kind.NO_SERVER


def test_the_query_counts_clients_of_one_release_alone() -> None:
    query = error_rate_query("trading", "desk", ("api-b", "dashboard-b"), 7)
    counters = query.count("tradingengine_http_requests_total{")
    assert query.count('{namespace="trading",engine="desk"') == counters, (
        "a Prometheus may hold series of other engines"
    )
    assert 'job=~"api-b|dashboard-b"' in query
    assert 'release="7"' in query
    assert 'source="client"' in query
    assert 'code=~"5.."' in query
