"""What a pod counts of itself, as a release is judged by it."""

import asyncio
from typing import Any

import pytest
from tradingengine.api.stream.client import Client
from tradingengine.control.state import ControlState
from tradingengine.storage import streams
from tradingengine.storage.reads import Reads

from tests.integration.api.pod import Person
from tests.integration.kit import beat, wait_until

pytestmark = pytest.mark.integration

DROPS = "tradingengine_websocket_drops_total"
OPENED = "tradingengine_websockets_opened_total"


def counted(control: ControlState, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Samples of a metric of this pod by some of its labels; every one has release and slot of the pod."""
    found: dict[tuple[str, ...], float] = {}
    for family in control.metrics.registry.collect():
        for sample in family.samples:
            if sample.name == name and sample.value:
                assert (sample.labels["component"], sample.labels["release"], sample.labels["slot"]) == (
                    "api",
                    "7",
                    "a",
                )
                found[tuple(sample.labels[label] for label in labels)] = sample.value
    return found


async def test_orders_are_counted_by_what_became_of_them(
    trader: Person, stranger: Person, control: ControlState, cache: streams.Client
) -> None:
    first = await trader.place("first")
    assert [first.status_code, (await trader.place("first")).status_code] == [201, 200]
    assert (await trader.place(price="2500.03")).json()["type"] == "/problems/bad_tick"
    assert (await trader.place(symbol=None)).status_code == 422
    assert (await stranger.place()).status_code == 401
    await beat(cache, journal_failed=True)

    async def heard() -> bool:
        items = (await trader.http.get("/v1/system")).json()["items"]
        return any(item["name"] == "edge" and item["state"] == "degraded" for item in items)

    await wait_until("the failed journal is known", heard)
    assert (await trader.place()).status_code == 503
    assert counted(control, "tradingengine_orders_total", "source", "outcome", "reason") == {
        ("client", "taken", "none"): 1,
        ("client", "refused", "bad_tick"): 1,
        ("client", "refused", "invalid"): 1,
        ("client", "undelivered", "edge_unreachable"): 1,
    }
    assert counted(control, "tradingengine_order_seconds_count", "source") == {("client",): 1}


async def test_a_socket_that_breaks_is_counted_and_one_that_is_left_is_not(
    trader: Person, control: ControlState, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trader.live() as live, trader.live() as cut:
        await live.wait("hello")
        await cut.wait("hello")
        cut.connection.transport.abort()  # as a laptop whose network is gone
    async with trader.live() as live:
        await live.wait("hello")
        live.connection.transport.write(b"\xff\xff")  # no frame of a WebSocket
        await live.closed()
    expected: dict[tuple[str, ...], float] = {("client", "protocol"): 1}

    async def drops() -> bool:
        return counted(control, DROPS, "source", "reason") == expected

    await wait_until("the socket that nobody can read is counted, and no other", drops)

    async def broken(self: Client) -> int:
        raise KeyError("an error in the program")

    monkeypatch.setattr(Client, "pump", broken)
    async with trader.live() as live:
        assert await live.closed() == 1011
    expected = {("client", "protocol"): 1, ("client", "closed"): 1}
    await wait_until("the one with an error is counted", drops)
    assert counted(control, OPENED, "source") == {("client",): 4}


async def test_a_withdrawal_and_a_session_that_is_over_drop_nothing(
    trader: Person, stranger: Person, control: ControlState
) -> None:
    async with stranger.live() as refused:
        assert await refused.closed() == 4401
    async with trader.live("?release=7", **{"X-Te-Probe": "1"}) as live:
        await live.wait("hello")
        await control.withdraw("7", 0.1)
        assert await live.closed() == 1012
    assert counted(control, OPENED, "source") == {("client",): 1, ("probe",): 1}
    assert counted(control, DROPS, "source", "reason") == {}


async def test_a_request_that_hangs_is_in_the_scrape_while_it_hangs(
    trader: Person, control: ControlState, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()

    async def hang(self: Reads, *arguments: Any, **options: Any) -> dict[str, Any]:
        await released.wait()
        return {}

    monkeypatch.setattr(Reads, "summary", hang)
    hanging = asyncio.create_task(trader.http.get("/v1/summary"))

    async def overdue() -> bool:
        return counted(control, "tradingengine_http_requests_overdue", "source") == {("client",): 1}

    try:
        await wait_until("the request is overdue", overdue)
    finally:
        released.set()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    await wait_until("none is any more", lambda: _is_empty(control))


async def _is_empty(control: ControlState) -> bool:
    return counted(control, "tradingengine_http_requests_overdue", "source") == {}
