"""Requests in flight, and the time that is the program's own."""

import asyncio
from typing import Any

import pytest
from tradingengine.telemetry.metrics import Metrics
from tradingengine.telemetry.middleware import RequestMetrics
from tradingengine.telemetry.requests import InFlight, RequestsInFlight

pytestmark = pytest.mark.unit

OVERDUE = "tradingengine_http_requests_overdue"


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_request_is_overdue_once_it_takes_longer_than_a_second_and_until_its_end() -> None:
    clock = Clock()
    requests = RequestsInFlight(clock)
    first, probe = requests.begin("client"), requests.begin("probe")
    clock.now += 1.0
    assert (requests.overdue("client"), requests.overdue("probe")) == (0, 0)
    late = requests.begin("client")
    clock.now += 0.5
    assert (requests.overdue("client"), requests.overdue("probe")) == (1, 1)
    requests.end(first)
    requests.end(probe)
    assert (requests.overdue("client"), requests.overdue("probe")) == (0, 0)
    clock.now += 0.6
    assert requests.overdue("client") == 1
    requests.end(late)
    requests.end(late)
    assert requests.overdue("client") == 0


def test_requests_that_hang_are_told_by_each_limit_that_a_release_may_have() -> None:
    clock = Clock()
    metrics = Metrics(component="api")
    metrics._in_flight = RequestsInFlight(clock)
    metrics.expect_requests()
    metrics.begin_request(source="client")
    seen = []
    for seconds in (0.9, 0.2, 1.5, 2.5, 5.0):
        clock.now += seconds
        seen.append([value(metrics, OVERDUE, source="client", than=than) for than in ("1", "2.5", "5", "10")])
    assert seen == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_the_clock_stands_while_the_client_is_waited_for() -> None:
    clock = Clock()
    request = InFlight("client", clock)
    clock.now += 0.25
    request.wait()
    clock.now += 10
    request.wait()
    request.go_on()
    assert request.seconds == 0.25
    clock.now += 10
    request.go_on()
    assert request.seconds == 0.25
    clock.now += 0.5
    assert request.seconds == 0.75


def scope_of(*headers: tuple[bytes, bytes], method: str = "POST") -> dict[str, Any]:
    """A request of HTTP as a server hands it over."""
    return {"type": "http", "method": method, "path": "/", "headers": list(headers)}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A sample of these metrics."""
    identity = dict(zip(("component", "release", "slot"), metrics.identity, strict=True))
    return metrics.registry.get_sample_value(name, {**identity, **labels})


def overdue(metrics: Metrics, source: str) -> float | None:
    """Requests that have taken longer than a second."""
    return value(metrics, OVERDUE, source=source, than="1")


async def test_a_request_that_hangs_is_seen_while_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    metrics = Metrics(component="api", release="7", slot="a")
    metrics._in_flight = RequestsInFlight(clock)
    entered, release = asyncio.Event(), asyncio.Event()

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Taken at once."""

    app = RequestMetrics(hang, metrics)
    assert (overdue(metrics, "client"), overdue(metrics, "probe")) == (0, 0)
    request = asyncio.create_task(app(scope_of((b"x-te-probe", b"1")), receive, send))
    await entered.wait()
    clock.now += 1.5
    assert (overdue(metrics, "client"), overdue(metrics, "probe")) == (0, 1)
    assert f'{OVERDUE}{{component="api",release="7",slot="a",source="probe",than="1"}} 1.0' in metrics.render().decode()
    release.set()
    await request
    assert value(metrics, OVERDUE, source="probe", than="1") == 0


async def test_a_request_that_is_cancelled_is_no_longer_in_flight() -> None:
    clock = Clock()
    metrics = Metrics(component="api")
    metrics._in_flight = RequestsInFlight(clock)
    entered = asyncio.Event()

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    nothing: Any = None
    request = asyncio.create_task(RequestMetrics(hang, metrics)(scope_of(), nothing, nothing))
    await entered.wait()
    clock.now += 2
    assert value(metrics, OVERDUE, source="client", than="1") == 1
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert value(metrics, OVERDUE, source="client", than="1") == 0


async def test_a_slow_client_makes_no_release_slow() -> None:
    clock = Clock()
    metrics = Metrics(component="api", release="7", slot="a")
    metrics._in_flight = RequestsInFlight(clock)
    overdue: list[float | None] = []
    parts: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        clock.now += 5
        overdue.append(value(metrics, OVERDUE, source="client", than="1"))
        return parts.pop(0)

    async def send(message: Any) -> None:
        clock.now += 7
        overdue.append(value(metrics, OVERDUE, source="client", than="1"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        clock.now += 0.2
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await RequestMetrics(app, metrics)(scope_of(), receive, send)
    assert overdue == [0, 0, 0, 0]
    labels = {"method": "POST", "route": "unmatched", "code": "200", "source": "client"}
    took = value(metrics, "tradingengine_http_request_duration_seconds_sum", **labels)
    assert took == pytest.approx(0.2)


async def test_what_an_application_waits_for_after_the_body_is_its_own_time() -> None:
    clock = Clock()
    metrics = Metrics(component="api")
    metrics._in_flight = RequestsInFlight(clock)
    seen: list[float | None] = []

    async def receive() -> dict[str, Any]:
        if seen:
            clock.now += 3
            seen.append(value(metrics, OVERDUE, source="client", than="1"))
        else:
            seen.append(0)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()  # as frameworks do, to hear of a disconnect

    nothing: Any = None
    await RequestMetrics(app, metrics)(scope_of(), receive, nothing)
    assert seen == [0, 1]
