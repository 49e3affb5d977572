"""A pod that was just started has made the hot documents before it says that it is ready."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tradingengine.api.main import http_listener, make_control, warm_up
from tradingengine.control.server import serve
from tradingengine.control.warmup import ROUNDS, hot_paths

from tests.waiting import until

from .pod import settings_for

pytestmark = pytest.mark.integration


async def test_the_hot_documents_are_made_before_the_first_visitor_and_are_counted_as_no_visitors(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("the-token-of-the-prober")
    settings = settings_for(postgres_url, redis_url, TE_PROBE_TOKEN_FILE=str(token))
    control, stop = make_control(settings), asyncio.Event()
    task = asyncio.create_task(serve(control, [http_listener(control)], warm_up=warm_up(settings).run, stop=stop))
    try:
        await until(lambda: control.started or task.done(), "the pod is ready")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.control_port}") as client:
            assert (await client.get("/readyz")).status_code == 200
            page = (await client.get("/metrics")).text
    finally:
        stop.set()
        await task
    counted = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("tradingengine_http_requests_total{")
    }
    assert sum(counted.values()) == ROUNDS * len(hot_paths("api"))
    assert all('code="200"' in labels and 'source="probe"' in labels for labels in counted), counted
    assert control.metrics.client_requests == 0, "who waits for a slot to fall silent counts visitors alone"
