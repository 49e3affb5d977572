"""Control API and metrics server: what they answer, and what becomes of everything else."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.pages import PageClient
from tradingengine_operator.clients.prometheus import PrometheusClient, counts_query
from tradingengine_operator.errors import ControlError, TokenRefusedError
from tradingengine_operator.samples import Counts, Kind, OwnAnswer, Sample

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
        self.headers: Mapping[str, str] = {}
        self.asked: list[tuple[str, str, str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        self.headers = request.headers
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


WINDOWS = (10.0, 30.0)


def vector(*entries: tuple[str, str, str, str]) -> dict[str, Any]:
    """A well-formed answer of (window, component, what, number)."""
    result = [
        {"metric": {"window": window, "component": component, "what": what}, "value": [0, number]}
        for window, component, what, number in entries
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def sample_of(pod: tuple[Pod, int], session: aiohttp.ClientSession, status: int, answer: Any) -> Sample:
    """What the client makes of an answer."""
    pod[0].status, pod[0].answer = status, answer
    url, at = f"http://127.0.0.1:{pod[1]}/", datetime(2026, 11, 21, tzinfo=UTC)
    sample = await PrometheusClient(session).counts(url, ("trading", "desk"), ("b", 2), WINDOWS, at)
    assert sample.at == at
    return sample


async def test_counts_stay_apart_by_window_and_component(pod: tuple[Pod, int], session: aiohttp.ClientSession) -> None:
    answer = vector(
        ("10", "api", "requests", "8"),
        ("10", "api", "failed", "2"),
        ("30", "api", "requests", "20"),
        ("30", "dashboard", "requests", "1.0"),
    )
    sample = await sample_of(pod, session, 200, answer)
    assert sample.kind is Kind.COUNTED
    assert sample.windows == {10.0: {"api": Counts(8, 2)}, 30.0: {"api": Counts(20, 0), "dashboard": Counts(1, 0)}}
    assert sample.enough("api", 3) == (10.0, Counts(8, 2))
    assert sample.enough("api", 9) == (30.0, Counts(20, 0))
    assert sample.enough("dashboard", 2) is None
    assert sample.worst() == Decimal("0.25")
    assert sample.requests() == (30.0, 21)


async def test_nothing_counted_is_no_request_and_no_share(pod: tuple[Pod, int], session: aiohttp.ClientSession) -> None:
    sample = await sample_of(pod, session, 200, vector())
    assert (sample.kind, sample.worst(), sample.requests()) == (Kind.COUNTED, None, (30.0, 0))


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"status": "error"}),
        (200, vector(("10", "api", "requests", "many"))),
        (200, vector(("10", "api", "requests", "NaN"))),
        (200, vector(("10", "api", "requests", "+Inf"))),
        (200, vector(("7", "api", "requests", "1"))),
        (200, {"status": "success", "data": {"result": [{"metric": {}, "value": [0, "1"]}]}}),
        (200, "text"),
        (503, {}),
    ],
)
async def test_an_answer_in_another_form_is_no_answer(
    pod: tuple[Pod, int], session: aiohttp.ClientSession, status: int, answer: Any
) -> None:
    sample = await sample_of(pod, session, status, answer)
    assert sample.kind is Kind.NO_SERVER
    assert sample.detail
    assert sample.worst() is None


async def test_no_metrics_server_is_a_finding(session: aiohttp.ClientSession) -> None:
    client = PrometheusClient(session, timeout=0.5)
    sample = await client.counts("http://127.0.0.1:1", ("trading", "desk"), ("b", 2), WINDOWS, datetime.now(UTC))
    assert sample.kind is Kind.NO_SERVER


def test_the_query_counts_clients_of_one_release_alone() -> None:
    query = counts_query("trading", "desk", ("api-b", "dashboard-b"), 7, (1.0525, 300.0))
    counters = query.count("tradingengine_http_requests_total{")
    assert query.count('{namespace="trading",engine="desk",job=~"api-b|dashboard-b",release="7",source="client"') == (
        counters
    ), "a Prometheus may hold series of other engines"
    assert query.count('code=~"5.."') == counters / 2
    assert query.count("offset 1052ms") == query.count("offset 300000ms") == 2
    assert query.count("sum by (component)") == 4


async def test_own_requests_tell_the_worst_answer_and_count_as_probes(
    pod: tuple[Pod, int], session: aiohttp.ClientSession
) -> None:
    client = PageClient(session, port=pod[1], timeout=0.5)
    pod[0].status = 401
    assert await client.ask("api", ["127.0.0.1"], "desk.localhost") == OwnAnswer(401)
    pod[0].status = 503
    failed = await client.ask("dashboard", ["127.0.0.1", "127.0.0.1"], "desk.localhost")
    assert failed.failed
    assert pod[0].headers["x-te-probe"] == "1"
    assert pod[0].headers["Host"] == "desk.localhost"


async def test_own_requests_without_an_answer_are_no_evidence(session: aiohttp.ClientSession) -> None:
    client = PageClient(session, port=1, timeout=0.5)
    silent = await client.ask("api", ["127.0.0.1"], "desk.localhost")
    assert (silent.status, silent.failed) == (None, False)
    assert silent.detail
    assert (await client.ask("api", [], "desk.localhost")).status is None
