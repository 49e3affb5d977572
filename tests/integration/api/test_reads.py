"""Everything that is only read, and what all answers share."""

from typing import Any

import jsonschema
import pytest
from tradingengine.api.app import create_app
from tradingengine.api.openapi import openapi_document
from tradingengine.control.state import ControlState
from tradingengine.storage import streams

from tests.integration.api.pod import TOKEN, Person
from tests.integration.kit import RUN, SYMBOL, Journal, beat, set_price, wait_until
from tests.unit.apps.control.conftest import make_state

pytestmark = pytest.mark.integration

READS = {
    "/v1/session": "Session",
    "/v1/status": "Status",
    f"/v1/quotes?symbols={SYMBOL}": "QuoteList",
    "/v1/instruments?query=rel": "InstrumentList",
    f"/v1/candles?symbol={SYMBOL}&interval=5m": "CandleList",
    "/v1/orders": "OrderPage",
    "/v1/positions": "PositionList",
    "/v1/summary": "Summary",
    "/v1/alerts": "AlertList",
    "/v1/system": "SystemList",
}
RELEASE = {
    "phase": "Releasing",
    "version": "0.1.0",
    "stable": {"slot": "b", "release": "6", "version": "0.0.9"},
    "canary": {"slot": "a", "release": "7", "version": "0.1.0"},
    "weights": {"a": 10, "b": 90},
    "step": 0,
    "steps": [{"weight": 10, "hold_seconds": 5}, {"weight": 100, "hold_seconds": None}],
    "step_started_at": "2026-11-21T10:00:00Z",
    "reason": "",
    "checks": [{"name": "error-rate", "value": "0", "limit": "0.01"}],
    "at": "2026-11-21T10:00:01Z",
}


async def test_each_answer_is_what_the_openapi_document_says(trader: Person, cache: streams.Client) -> None:
    journal = Journal()
    rows = [[1_767_673_800 + 60 * n, 100, 200 + n, 50, 150, 10] for n in range(7)]
    journal.add("run.started", {"source": "simulator"})
    journal.add("candles.closed", {"symbol": SYMBOL, "interval": "1m", "candles": rows})
    journal.add("trading.state", {"state": "HALTED", "by": "console"})
    await journal.ship(cache)
    await set_price(cache)
    await trader.place()

    async def bars() -> bool:
        return bool((await trader.http.get(f"/v1/candles?symbol={SYMBOL}&interval=5m")).json()["items"])

    await wait_until("the bars", bars)
    document = openapi_document(create_app(make_state()))
    assert document["openapi"] == "3.1.0"
    for path, name in READS.items():
        answer = await trader.http.get(path)
        assert answer.status_code == 200, path
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
    candles = (await trader.http.get(f"/v1/candles?symbol={SYMBOL}&interval=5m")).json()
    assert candles["run"] == RUN
    assert [bar["time"] for bar in candles["items"]] == [1_767_673_800, 1_767_674_100]
    assert candles["items"][0] | {"time": 0} == {
        "time": 0, "open": "1.00", "high": "2.04", "low": "0.50", "close": "1.50", "volume": 50,
    }  # fmt: skip
    earlier = await trader.http.get(f"/v1/candles?symbol={SYMBOL}&before={rows[3][0]}&limit=2")
    assert [bar["time"] for bar in earlier.json()["items"]] == [rows[1][0], rows[2][0]]
    within = await trader.http.get(f"/v1/candles?symbol={SYMBOL}&interval=5m&before=1767674280")
    assert within.json()["items"] == candles["items"], "the second bar started earlier than what is within it"
    until = await trader.http.get(f"/v1/candles?symbol={SYMBOL}&interval=5m&before=1767674100")
    assert until.json()["items"] == candles["items"][:1]
    assert (await trader.http.get(f"/v1/candles?symbol={SYMBOL}&interval=7m")).json()["field"] == "interval"
    assert (await trader.http.get("/v1/quotes?symbols=,")).json()["field"] == "symbols"


async def test_the_page_of_the_calls_and_the_document_are_served(stranger: Person) -> None:
    document = (await stranger.http.get("/v1/openapi.json")).json()
    assert {"/v1/orders", "/v1/session", "/v1/halt"} <= set(document["paths"])
    page = await stranger.http.get("/v1/docs")
    assert "POST /v1/positions/exit" in page.text
    assert "sha256-" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("httpOnly", "")


async def test_answers_carry_headers_and_problems(stranger: Person) -> None:
    answer = await stranger.http.get("/v1/nothing")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_found")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    wrong = await stranger.http.patch("/v1/orders")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "/problems/method_not_allowed")


async def test_the_release_document_and_a_withdrawn_pod(trader: Person, control: ControlState) -> None:
    port = control.settings.control_port
    bearer = {"authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{port}/control/v1"
    assert (await trader.http.get("/v1/release")).json() is None
    assert (await trader.http.put(f"{url}/release", json=RELEASE, headers=bearer)).status_code == 204
    assert (await trader.http.get("/v1/release")).json() == RELEASE
    status = (await trader.http.get("/v1/status")).json()
    assert status["user_release"] == {"release": "7", "slot": "a", "version": "0.1.0", "weight": 10}
    gone = await trader.http.get("/v1/status", headers={"x-te-release": "6"})
    assert (gone.status_code, gone.json()["type"]) == (409, "/problems/release-gone")
    assert (await trader.http.get("/v1/status", headers={"x-te-release": "7"})).status_code == 200
    body = {"release": "7", "spread_seconds": 0}
    assert (await trader.http.post(f"{url}/withdraw", json=body, headers=bearer)).status_code == 202
    assert (await trader.http.get("/v1/status")).json()["type"] == "/problems/release-gone"
    state = (await trader.http.get(f"{url}/state", headers=bearer)).json()
    assert (state["state"], state["requests"]["total"] > 0) == ("withdrawn", True)
    assert (await trader.http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    await trader.http.post(f"{url}/serve", json={"release": "7"}, headers=bearer)
    assert (await trader.http.get("/v1/status")).status_code == 200


async def test_probes_are_counted_apart(trader: Person, control: ControlState) -> None:
    before = control.metrics.client_requests
    await trader.http.get("/v1/status", headers={"x-te-probe": "1"})
    await trader.http.get("/v1/status")
    assert control.metrics.client_requests == before + 1
    text = (await trader.http.get(f"http://127.0.0.1:{control.settings.control_port}/metrics")).text
    counted = [line for line in text.splitlines() if line.startswith("tradingengine_http_requests_total{")]
    assert any('route="/v1/status"' in line and 'source="probe"' in line for line in counted)


async def test_the_system_says_since_when_and_the_status_names_only_segments_with_prices(
    trader: Person, cache: streams.Client
) -> None:
    async def edge() -> Any:
        items = (await trader.http.get("/v1/system")).json()["items"]
        assert all((item["since"] is None) == (item["state"] == "absent") for item in items)
        return next(item for item in items if item["name"] == "edge")

    await beat(cache)
    first, second = await edge(), await edge()
    assert (first["state"], first["since"]) == ("ok", second["since"])
    sessions = (await trader.http.get("/v1/status")).json()["market"]["sessions"]
    assert [item["segment"] for item in sessions] == ["NSE_EQ"]
    await cache.delete(streams.HEARTBEAT)

    async def lost() -> Any:
        item = await edge()
        return item if item["state"] == "down" else None

    assert (await wait_until("the edge is down", lost))["since"] > first["since"]


async def test_while_the_edge_is_silent_what_it_said_last_is_shown_with_its_age(
    trader: Person, cache: streams.Client
) -> None:
    await beat(cache)
    before = (await trader.http.get("/v1/status")).json()
    await cache.delete(streams.HEARTBEAT)  # as Redis does when its time to live is over

    async def lost() -> Any:
        status = (await trader.http.get("/v1/status")).json()
        return status if status["edge"]["state"] == "unreachable" else None

    status = await wait_until("the edge counts as silent", lost)
    assert status["market"] == before["market"]
    assert [item["state"] for item in status["market"]["sessions"]] == ["open"]
    assert status["edge"]["age_ms"] >= streams.HEARTBEAT_TTL_MS
    assert status["edge"]["trading_state"] == before["edge"]["trading_state"]
    assert status["feed"]["state"] == "stale"
    assert status["feed"]["age_ms"] >= streams.HEARTBEAT_TTL_MS - 1000
    assert (await trader.http.get("/v1/summary")).json()["strategies"]["running"] == 1
    items = {item["name"]: item for item in (await trader.http.get("/v1/system")).json()["items"]}
    assert (items["edge"]["state"], items["broker paper"]["state"]) == ("down", "down")
