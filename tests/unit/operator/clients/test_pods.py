"""Control API and metrics server: what they answer, and what becomes of everything else."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tradingengine_operator.api import BUILT_IN
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.pages import PageClient
from tradingengine_operator.clients.prometheus import Asked, PrometheusClient, built_in_query, own_query
from tradingengine_operator.errors import ControlError, TokenRefusedError
from tradingengine_operator.runtime.release.meter import probed
from tradingengine_operator.samples import OwnAnswer, OwnValue, Reading, Scrape, Series

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
        #: What a query of the user's gives, where it gives something else.
        self.own: Any = None
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
        of_user = self.own is not None and "depth" in text
        return web.json_response(self.own if of_user else self.answer, status=self.status)


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


ASKED = Asked("trading", "desk", {"a": 1, "b": 7}, 1.0, 0.25, {"queue": 'depth{slot="$slot",release="$release"}'})
POD = {"release": "7", "component": "api", "instance": "10.0.0.1:9090"}


def vector(*entries: tuple[dict[str, str], str, str]) -> dict[str, Any]:
    """A well-formed answer of (labels, what, number)."""
    result = [{"metric": labels | {"what": what}, "value": [1000.0, number]} for labels, what, number in entries]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def reading_of(
    pod: tuple[Pod, int], session: aiohttp.ClientSession, status: int, answer: Any, asked: Asked = ASKED
) -> Reading:
    """What the client makes of an answer."""
    pod[0].status, pod[0].answer = status, answer
    at = datetime(2026, 11, 21, tzinfo=UTC)
    reading = await PrometheusClient(session).read(f"http://127.0.0.1:{pod[1]}/", asked, at)
    assert reading.at == at
    return reading


async def test_counters_stay_apart_by_pod_release_and_source(
    pod: tuple[Pod, int], session: aiohttp.ClientSession
) -> None:
    answer = vector(
        ({**POD, "source": "client"}, "requests", "8"),
        ({**POD, "source": "probe"}, "requests", "3"),
        ({**POD, "source": "client"}, "failed", "2"),
        (POD, "sockets", "4"),
        ({"job": "api-b", "instance": "10.0.0.1:9090"}, "up", "1"),
        ({"job": "api-b", "instance": "10.0.0.1:9090"}, "scraped", "998.5"),
        ({"job": "api-b", "instance": "[fd00::7]:9090"}, "up", "0"),
        ({"job": "api-b", "instance": "[fd00::7]:9090"}, "scraped", "999"),
        ({**POD, "instance": "10.0.0.9:8081", "kind": "order", "outcome": "late"}, "probes", "6"),
    )
    pod[0].own = vector(({}, "", "12.5"))
    reading = await reading_of(pod, session, 200, answer)
    assert reading.series[Series("requests", 7, "api", "client", "10.0.0.1")] == 8
    assert reading.series[Series("requests", 7, "api", "probe", "10.0.0.1")] == 3
    assert reading.series[Series("sockets", 7, "api", "", "10.0.0.1")] == 4
    assert reading.series[Series(probed("late"), 7, "api", "order", "10.0.0.9")] == 6, "told apart by what was asked"
    assert reading.scrapes == {"10.0.0.1": Scrape(True, 1.5), "fd00::7": Scrape(False, 1.0)}
    assert reading.own == {("queue", 7): OwnValue(12.5), ("queue", 1): OwnValue(12.5)}
    assert len(pod[0].asked) == 3, "one query for all counters, and one for each of the user's"


def own_data(kind: str, result: Any) -> dict[str, Any]:
    """What the metrics server answers to a query of the user's."""
    return {"status": "success", "data": {"resultType": kind, "result": result}}


NUMBER = {"metric": {}, "value": [1000.0, "3"]}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (vector(({}, "", "1"), ({"shard": "2"}, "", "2")), "2 series"),
        (vector(({}, "", "NaN")), "nan"),
        (vector(({}, "", "+Inf")), "inf"),
        (own_data("vector", [{"metric": {}, "histogram": [1.0, {"count": "3", "sum": "4"}]}]), "native histogram"),
        (own_data("matrix", [{"metric": {}, "values": [[1000.0, "3"]]}]), "gives a matrix"),
        (own_data("string", [1000.0, "much"]), "gives a string"),
        (own_data("scalar", [1000.0, "NaN"]), "nan"),
        (own_data("vector", [{"metric": {}}]), "cannot be read"),
        (own_data("vector", {"metric": {}}), "cannot be read"),
        (own_data("vector", [NUMBER] * 2000), "longer than"),
        ({"status": "success"}, "cannot be read"),
        ("text", "cannot be read"),
    ],
)
async def test_a_query_of_the_users_that_gives_no_one_number_says_so_with_its_mend_and_blinds_no_other_check(
    pod: tuple[Pod, int], session: aiohttp.ClientSession, answer: Any, words: str
) -> None:
    pod[0].own = answer
    reading = await reading_of(pod, session, 200, vector(({**POD, "source": "client"}, "requests", "8")))
    assert reading.silent == ""
    assert reading.series, "it hides no other check"
    own = reading.own["queue", 7]
    assert words in own.trouble
    assert own.mend
    assert own.value is None


@pytest.mark.parametrize("answer", [own_data("vector", [NUMBER]), own_data("scalar", [1000.0, "3"])])
async def test_a_query_of_the_users_that_gives_one_number(
    pod: tuple[Pod, int], session: aiohttp.ClientSession, answer: Any
) -> None:
    pod[0].own = answer
    reading = await reading_of(pod, session, 200, vector(({**POD, "source": "client"}, "requests", "8")))
    assert reading.own["queue", 7] == OwnValue(3.0)


class QueryServer:
    """A metrics server: queries of the user's named `slow` take long, `dead` are refused, `odd` give a histogram.

    Those named `together` wait for so many others, and all the rest for them.
    """

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.together = 0
        self._met = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """One query."""
        query = str((await request.post())["query"])
        self.queries.append(query)
        if len(self.queries) >= self.together:
            self._met.set()
        if self.together:
            await self._met.wait()
        if query.startswith("slow"):
            await asyncio.sleep(30)
        if query.startswith("dead"):
            return web.json_response({"status": "error", "error": "no such function"}, status=400)
        if query.startswith("odd"):
            return web.json_response(own_data("vector", [{"metric": {}, "histogram": [1.0, {}]}]))
        if query.startswith(("good", "together")):
            return web.json_response(own_data("vector", [NUMBER]))
        return web.json_response(vector(({**POD, "source": "client"}, "requests", "8")))


@pytest.fixture
async def queries(session: aiohttp.ClientSession) -> AsyncIterator[tuple[QueryServer, str]]:
    """Such a server and its address."""
    played = QueryServer()
    app = web.Application()
    app.add_routes([web.post("/api/v1/query", played.answer)])
    async with TestServer(app) as server:
        yield played, f"http://127.0.0.1:{server.port}"


async def test_all_is_asked_at_once(queries: tuple[QueryServer, str], session: aiohttp.ClientSession) -> None:
    asked = replace(ASKED, queries={f"q{number}": f"together{number}" for number in range(5)})
    queries[0].together = 6  # who asks one after the other waits for an answer in vain
    reading = await PrometheusClient(session, timeout=20.0).read(queries[1], asked, datetime(2026, 11, 21, tzinfo=UTC))
    assert not reading.silent
    assert {value.value for value in reading.own.values()} == {3.0}


async def test_slow_and_odd_queries_of_the_users_blind_nobody_and_are_left_out_for_a_while(
    queries: tuple[QueryServer, str], session: aiohttp.ClientSession
) -> None:
    texts = [f"{word}{number}" for word in ("slow", "dead", "odd", "good") for number in range(4)]
    asked = replace(ASKED, queries={text: text for text in texts})
    client, at = PrometheusClient(session, timeout=1.0), datetime(2026, 11, 21, tzinfo=UTC)
    reading = await client.read(queries[1], asked, at)
    assert not reading.silent
    assert reading.series
    for text in texts:
        own = reading.own[text, 7]
        assert (own.value == 3.0) if text.startswith("good") else own.trouble, text
    assert "no answer within 1 s" in reading.own["slow0", 7].trouble
    first = len(queries[0].queries)
    again = await client.read(queries[1], asked, at)
    assert {text[:3] for text in queries[0].queries[first:]} == {"odd", "goo", "lab"}, "a slow one is not waited for"
    assert again.own["slow0", 7] == reading.own["slow0", 7]


async def test_a_metrics_server_that_is_silent_is_no_fault_of_a_query(
    queries: tuple[QueryServer, str], session: aiohttp.ClientSession
) -> None:
    asked = replace(ASKED, queries={"queue": "good"})
    client, at = PrometheusClient(session, timeout=0.5), datetime(2026, 11, 21, tzinfo=UTC)
    port = queries[1].rpartition(":")[2]
    assert (await client.read("http://127.0.0.1:1", asked, at)).silent
    assert (await client.read(f"http://127.0.0.1:{port}", asked, at)).own["queue", 7] == OwnValue(3.0)


async def test_a_refused_query_is_found_named_and_left_out_for_a_while(session: aiohttp.ClientSession) -> None:
    queries: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        query = str((await request.post())["query"])
        queries.append(query)
        if "depth" in query:
            error = {"status": "error", "errorType": "bad_data", "error": "expected type instant vector"}
            return web.json_response(error, status=400)
        return web.json_response(vector(({**POD, "source": "client"}, "requests", "8")))

    app = web.Application()
    app.add_routes([web.post("/api/v1/query", answer)])
    async with TestServer(app) as server:
        client, url = PrometheusClient(session), f"http://127.0.0.1:{server.port}"
        for looks in range(3):
            reading = await client.read(url, ASKED, datetime.now(UTC))
            assert reading.silent == ""
            assert reading.series
            assert "expected type instant vector" in reading.own["queue", 7].trouble
            assert len(queries) == 3 + looks, "later looks ask once again"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"status": "error"}),
        (200, vector(({**POD, "source": "client"}, "requests", "many"))),
        (200, vector(({**POD, "source": "client"}, "requests", "NaN"))),
        (200, vector(({"component": "api", "instance": "x:1"}, "requests", "1"))),
        (200, {"status": "success", "data": {"result": [{"metric": {}, "value": [0, "1"]}]}}),
        (200, {"status": "success", "data": {"resultType": "matrix", "result": []}}),
        (200, "text"),
        (503, {}),
    ],
)
async def test_an_answer_in_another_form_is_no_answer(
    pod: tuple[Pod, int], session: aiohttp.ClientSession, status: int, answer: Any
) -> None:
    reading = await reading_of(pod, session, status, answer)
    assert reading.silent
    assert not reading.series


async def test_no_metrics_server_is_a_finding(session: aiohttp.ClientSession) -> None:
    client = PrometheusClient(session, timeout=0.5)
    assert (await client.read("http://127.0.0.1:1", ASKED, datetime.now(UTC))).silent


def test_the_query_asks_for_both_releases_of_one_engine_alone() -> None:
    query = built_in_query(ASKED)
    slots, engine = "api-a|dashboard-a|api-b|dashboard-b", 'namespace="trading",engine="desk"'
    assert query.count(f'{engine},job=~"{slots}"') == query.count("tradingengine_") - 1
    assert query.count(f'tradingengine_probes_total{{{engine},job="prober",') == 1
    assert query.count(f'{engine},job=~"{slots}|prober"') == 2, "who was scraped, and when"
    assert query.count(engine) == query.count("tradingengine_") + 2, "a Prometheus may hold series of other engines"
    assert query.count('release=~"1|7"') == query.count("tradingengine_")
    assert r'le=~"1|1\\.0"' in query
    slow = built_in_query(replace(ASKED, request_bound=2.5))
    assert r'than=~"2\\.5|2\\.5"' in slow, "what hangs is counted by the limit that was asked for"
    assert own_query(ASKED.queries["queue"], ASKED, "b") == 'depth{slot="b",release="7"}'
    assert own_query("$namespaces $engine $other", ASKED, "a") == "$namespaces desk $other"


@pytest.mark.parametrize("check", BUILT_IN)
def test_the_query_that_people_are_told_of_a_check_is_what_it_was_judged_by(check: str) -> None:
    metric = BUILT_IN[check].query.partition("{")[0]
    assert f"{metric}{{" in built_in_query(ASKED)
    assert set(re.findall(r"\$(\w+)", BUILT_IN[check].query)) == {"namespace", "engine", "release"}


def traefik(part: str, rule: int = 6, engine: str = "desk") -> str:
    """The name that Traefik gives a Service behind a rule of a route."""
    return (
        f"httproute-trading-{engine}-gw-gateway-web-ep-web-{rule}-a087-svc-trading-{engine}-{part}-1@kubernetesgateway"
    )


BY_GATEWAY = replace(ASKED, gateway=True, queries={})


async def test_what_the_gateway_counted_is_told_apart_by_slot_and_by_its_own_name(
    pod: tuple[Pod, int], session: aiohttp.ClientSession
) -> None:
    gateway = {"job": "gateway", "instance": "10.0.9.9:9100"}
    first, second = traefik("api-b"), traefik("api-b", 4)
    buckets = [("0.3", "5"), ("1.2", "7"), ("5", "8"), ("+Inf", "9")]
    answer = vector(
        ({"service": first} | gateway, "gateway-requests", "9"),
        ({"service": first} | gateway, "gateway-failed", "2"),
        ({"service": second} | gateway, "gateway-requests", "3"),
        ({"service": traefik("dashboard-a")} | gateway, "gateway-requests", "40"),
        ({"service": traefik("api-b", engine="other")} | gateway, "gateway-requests", "400"),
        ({"service": first} | gateway, "gateway-answered", "9"),
        *(({"service": first, "le": le} | gateway, "gateway-prompt", count) for le, count in buckets),
        (gateway, "gateway-up", "1"),
        (gateway, "gateway-scraped", "999.5"),
    )
    reading = await reading_of(pod, session, 200, answer, BY_GATEWAY)
    assert reading.silent == ""
    found = {(entry.what, entry.release, entry.component, entry.instance): n for entry, n in reading.series.items()}
    assert found == {
        ("requests", 7, "api", f"10.0.9.9 {first}"): 9,
        ("failed", 7, "api", f"10.0.9.9 {first}"): 2,
        ("requests", 7, "api", f"10.0.9.9 {second}"): 3,
        ("requests", 1, "dashboard", f"10.0.9.9 {traefik('dashboard-a')}"): 40,
        ("answered", 7, "api", f"10.0.9.9 {first}"): 9,
        # Its buckets have none of 1 s, so the next one above is the limit.
        ("prompt", 7, "api", f"10.0.9.9 {first}"): 7,
    }
    assert {entry.source for entry in reading.series} == {"gateway"}
    assert (reading.gateway, reading.scrapes) == ({"10.0.9.9": Scrape(True, 0.5)}, {})
    assert len(pod[0].asked) == 1, "one query for all"


async def test_a_limit_above_all_buckets_of_the_gateway_is_not_judged_by_it(
    pod: tuple[Pod, int], session: aiohttp.ClientSession
) -> None:
    gateway = {"job": "gateway", "instance": "10.0.9.9:9100", "service": traefik("api-b")}
    answer = vector(
        (gateway, "gateway-answered", "9"),
        (gateway | {"le": "5"}, "gateway-prompt", "8"),
        (gateway | {"le": "+Inf"}, "gateway-prompt", "9"),
    )
    reading = await reading_of(pod, session, 200, answer, replace(BY_GATEWAY, request_bound=10.0))
    assert (reading.silent, reading.series) == ("", {})


def test_the_gateway_is_asked_for_in_the_same_query_and_only_where_it_is_named() -> None:
    assert "traefik" not in built_in_query(ASKED)
    query = built_in_query(BY_GATEWAY)
    assert query.startswith(built_in_query(ASKED))
    assert query.count('job="gateway",protocol!="websocket"') == 4, "how long a WebSocket lives is no duration"


def test_what_the_prober_is_refused_on_purpose_counts_against_no_release() -> None:
    asked = re.findall(r"tradingengine_orders_total\{([^}]*)\}", built_in_query(ASKED))
    assert len(asked) == 2
    assert all('source!="probe"' in selector for selector in asked)
    orders = json.loads((Path(__file__).parents[4] / "contract" / "probes.json").read_text())["orders"]
    assert [row for row in orders if row["verdict"] != "accepted"], "or else they could be asked for all sources"


async def test_a_pod_that_answers_anything_is_not_silent(pod: tuple[Pod, int], session: aiohttp.ClientSession) -> None:
    client = ControlClient(session, port=pod[1])
    for status in (200, 401, 500):
        pod[0].status = status
        assert await client.answers("127.0.0.1", TOKEN, 1.0)
    assert not await ControlClient(session, port=1).answers("127.0.0.1", TOKEN, 1.0)


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
