"""Requests are counted by route, release and source."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tradingengine.telemetry.loops import run_loop
from tradingengine.telemetry.metrics import Metrics, measure_loop_lag
from tradingengine.telemetry.middleware import UNMATCHED, RequestMetrics, route_of

pytestmark = pytest.mark.unit


async def item(request: Request) -> Response:
    """Answers, or fails for 0."""
    if request.path_params["number"] == "0":
        raise RuntimeError("zero")
    return Response("ok")


def client_of(metrics: Metrics) -> httpx.AsyncClient:
    """A client of a small application behind the middleware."""
    app = RequestMetrics(Starlette(routes=[Route("/items/{number}", item)]), metrics)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_requests_are_counted_by_template_and_code() -> None:
    metrics = Metrics(component="api", release="7", slot="a")
    async with client_of(metrics) as client:
        for path in ("/items/1", "/items/2", "/items/0", "/other"):
            await client.get(path)
        await client.get("/items/3", headers={"x-te-probe": "1"})
        await client.request("BREW", "/other")
    found = {
        (sample.labels["route"], sample.labels["code"], sample.labels["source"], sample.labels["method"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tradingengine_http_requests_total"
    }
    assert found == {
        ("/items/{number}", "200", "client", "GET"): 2,
        ("/items/{number}", "500", "client", "GET"): 1,
        (UNMATCHED, "404", "client", "GET"): 1,
        ("/items/{number}", "200", "probe", "GET"): 1,
        (UNMATCHED, "404", "client", "OTHER"): 1,
    }
    assert metrics.client_requests == 5
    text = metrics.render().decode()
    assert 'release="7"' in text
    assert "_created" not in text


async def test_sockets_and_the_lifespan_pass() -> None:
    metrics = Metrics(component="api")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    counted = RequestMetrics(app, metrics)
    nothing: Any = None
    await counted({"type": "lifespan"}, nothing, nothing)
    await counted({"type": "websocket", "headers": []}, nothing, nothing)
    assert (seen, metrics.client_requests) == (["lifespan", "websocket"], 1)
    assert route_of({}) == UNMATCHED


async def test_a_loop_survives_and_counts_what_goes_wrong(caplog: pytest.LogCaptureFixture) -> None:
    metrics, rounds = Metrics(component="api"), 0
    done = asyncio.Event()

    async def once() -> None:
        nonlocal rounds
        rounds += 1
        if rounds <= 2:
            raise ValueError("not yet")
        done.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(run_loop("test", once, metrics))
    await asyncio.wait_for(done.wait(), timeout=10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert metrics.registry.get_sample_value("tradingengine_loop_errors_total", {"loop": "test"}) == 2
    assert [record.message for record in caplog.records] == ["a round of test failed"]


async def test_the_lag_of_the_event_loop_is_measured() -> None:
    metrics = Metrics(component="api")
    metrics.loop_lag.set(99)
    task = asyncio.create_task(measure_loop_lag(metrics, interval=0.001))

    async def measured() -> None:
        while metrics.registry.get_sample_value("tradingengine_event_loop_lag_seconds") == 99:
            await asyncio.sleep(0.001)

    await asyncio.wait_for(measured(), timeout=10)
    task.cancel()
