"""A pod is warm before it is ready, and no store that hangs keeps it from being ready."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from te_devcluster.ports import free_port
from tradingengine.control.server import Listener, serve
from tradingengine.control.state import ControlState
from tradingengine.control.warmup import AT_ONCE, ROUNDS, WarmUp, hot_paths
from tradingengine.errors import ConfigError

from tests.unit.apps.control.conftest import make_state

pytestmark = pytest.mark.unit
TOKEN = "a-token-of-a-prober-that-is-long-enough"


class Visited:
    """An application that notes who asked for what, and whether its pod was ready then."""

    def __init__(self, pod: ControlState) -> None:
        self.pod = pod
        self.asked: Counter[str] = Counter()
        self.ready_at: set[bool] = set()
        self.headers: dict[str, str] = {}
        self.at_once = self.most_at_once = 0
        self.app = Starlette(routes=[Route("/good", self.good), Route("/bad", self.bad), Route("/hangs", self.hangs)])

    async def good(self, request: Request) -> Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked[request.url.path] += 1
        self.ready_at.add(not self.pod.unready_reasons())
        self.headers = dict(request.headers)
        await asyncio.sleep(0.002)
        self.at_once -= 1
        return PlainTextResponse("good")

    async def bad(self, request: Request) -> Response:
        self.asked[request.url.path] += 1
        raise RuntimeError("no database")

    async def hangs(self, request: Request) -> Response:
        self.asked[request.url.path] += 1
        async with asyncio.timeout(60):
            while not await request.is_disconnected():  # or else the server waits for it at its end
                await asyncio.sleep(0.02)
        return PlainTextResponse("late")


@contextlib.asynccontextmanager
async def starting(*paths: str, budget: float = 20.0) -> AsyncIterator[tuple[Visited, asyncio.Event]]:
    """A pod that was just started with these hot documents."""
    pod = make_state(TE_HTTP_HOST="127.0.0.1", TE_CONTROL_PORT=str(free_port()))
    visited, stop, port = Visited(pod), asyncio.Event(), free_port()
    warm = WarmUp("0.0.0.0", port, paths, lambda: TOKEN, budget=budget)
    listener = Listener("http", visited.app, "127.0.0.1", port)
    task = asyncio.create_task(serve(pod, [listener], warm_up=warm.run, stop=stop))
    try:
        yield visited, stop
    finally:
        stop.set()
        await asyncio.wait_for(task, timeout=30)


async def until_ready(pod: ControlState) -> None:
    """Waits for it."""
    async with asyncio.timeout(20):
        while pod.unready_reasons():
            await asyncio.sleep(0.005)


async def test_a_pod_is_ready_only_after_it_has_asked_itself_for_every_hot_document() -> None:
    async with starting("/good") as (visited, _):
        url = f"http://127.0.0.1:{visited.pod.settings.control_port}/readyz"
        await until_ready(visited.pod)
        assert visited.asked["/good"] == ROUNDS
        assert visited.ready_at == {False}, "it was not ready at any of them"
        assert 1 < visited.most_at_once <= AT_ONCE, "side by side, so that a pool has several connections"
        assert (visited.headers["x-te-probe"], visited.headers["authorization"]) == ("1", f"Bearer {TOKEN}")
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).status_code == 200


async def test_a_document_that_fails_keeps_no_pod_from_being_ready(caplog: pytest.LogCaptureFixture) -> None:
    async with starting("/bad", "/good") as (visited, _):
        await until_ready(visited.pod)
        assert visited.asked == {"/bad": ROUNDS, "/good": ROUNDS}


async def test_a_store_that_hangs_is_waited_for_no_longer_than_the_budget() -> None:
    async with starting("/hangs", budget=0.2) as (visited, _):
        await until_ready(visited.pod)
        assert visited.asked["/hangs"] == AT_ONCE


async def test_a_pod_that_is_told_to_stop_meanwhile_does_not_wait_for_its_warmth() -> None:
    async with starting("/hangs", budget=60.0) as (visited, stop):
        async with asyncio.timeout(20):
            while not visited.asked:
                await asyncio.sleep(0.005)
        stop.set()  # the block ends within seconds
    assert visited.pod.stopping


def test_hot_documents_are_what_the_prober_asks_for(tmp_path: Path) -> None:
    assert "/v1/status" in hot_paths("api")
    assert {"/", "/login"} <= set(hot_paths("dashboard"))
    broken = tmp_path / "probes.json"
    broken.write_text('{"requests": {"api": ["/v1"]}}')
    with pytest.raises(ConfigError, match=r"probes\.json"):
        hot_paths("api", broken)
