"""The commands beside a running engine: what the edge exports is what the cloud has; refusals are one clear line."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.edge_kit import TOKEN, EdgeProcess, place
from tests.integration.kit import plain_client, wait_until
from tests.integration.servers import free_port
from tests.integration.storage.test_projector import projecting
from tests.integration.test_processes import environment, te

pytestmark = pytest.mark.integration


async def test_what_the_edge_exports_is_what_the_cloud_has(
    database: Database, postgres_url: str, redis_url: str, cache: streams.Client, tmp_path: Path
) -> None:
    edge = EdgeProcess(tmp_path, redis_url)
    env = {**environment(postgres_url, redis_url), "TE_CONSOLE_PORT": str(edge.console_port)}
    edge.start()
    try:
        await edge.ready()
        async with projecting(database, redis_url):
            resting = await edge.send("place", order=await edge.resting())
            filled = await edge.send("place", order=place())
            await edge.until_event(resting, "order.acknowledged")
            await edge.until_event(filled, "order.filled")

            async def same() -> str | None:
                exported = await te(env, "edge", "export")
                assert exported.returncode == 0, exported.stderr
                found = await te(env, "orders", "compare", "-", text=exported.stdout)
                return exported.stdout if found.returncode == 0 else None

            text: str = await wait_until("both planes say the same", same, timeout=60)
        orders: dict[str, Any] = {order["id"]: order for order in map(json.loads, text.splitlines())}
        assert orders[resting]["state"] == "OPEN"
        assert (orders[filled]["state"], orders[filled]["filled_quantity"]) == ("FILLED", 1)
    finally:
        await edge.close()
    gone = await te(env, "edge", "export")
    assert gone.returncode == 1
    assert gone.stdout == ""
    assert gone.stderr.startswith(f"te edge: no edge answers on port {edge.console_port} of this node: ")
    assert "Run it where the edge runs" in gone.stderr


async def test_orders_that_cannot_be_read_end_with_two(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    env = environment(postgres_url, redis_url)
    for text, said in (("[{", "not JSON"), ('{"id": 1}', "entry 1"), ("oops", "line 1")):
        refused = await te(env, "orders", "compare", "-", text=text)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
    file = tmp_path / "unknown.json"
    file.write_text(json.dumps([{"id": "01a1ff91-caca-7323-a2e4-00000000000a", "state": "OPEN"}]))
    differs = await te(env, "orders", "compare", str(file))
    assert (differs.returncode, differs.stderr) == (1, "1 orders compared, 1 differ\n")
    assert "01a1ff91-caca-7323-a2e4-00000000000a  edge {'state': 'OPEN'" in differs.stdout


@pytest.mark.parametrize("component", ["api", "dashboard", "edge"])
async def test_a_port_that_is_taken_is_named_with_its_mend(
    component: str, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = held.getsockname()[1]
        env = environment(
            postgres_url,
            redis_url,
            TE_CONTROL_PORT=str(taken),
            TE_HTTP_PORT=str(free_port()),
            TE_CONSOLE_PORT=str(free_port()),
            TE_STATE_DIR=str(tmp_path / "state"),
        )
        refused = await te(env, component)
    assert refused.returncode == 1
    assert f"te {component}: port {taken} (control) of 127.0.0.1 cannot be had: " in refused.stderr
    assert "set another port by TE_HTTP_PORT, TE_CONTROL_PORT, TE_CONSOLE_PORT" in refused.stderr


async def test_the_dashboard_serves_until_it_is_told_to_stop(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    ports = {"TE_HTTP_PORT": str(free_port()), "TE_CONTROL_PORT": str(free_port()), "TE_RELEASE": "7", "TE_SLOT": "a"}
    env = {**environment(postgres_url, redis_url, **ports), "TE_CONTROL_TOKEN": TOKEN}
    log = tmp_path / "dashboard.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tradingengine", "dashboard", env=env, stdout=out, stderr=out
        )
    try:
        async with plain_client(timeout=20) as client:

            async def answers() -> httpx.Response | None:
                assert process.returncode is None, log.read_text()
                try:
                    return await client.get(f"http://127.0.0.1:{ports['TE_HTTP_PORT']}/login")
                except httpx.TransportError:
                    return None

            page: httpx.Response = await wait_until("the login page", answers, timeout=60)
            assert (page.status_code, page.headers["x-te-release"], page.headers["x-te-slot"]) == (200, "7", "a")
            state = await client.get(
                f"http://127.0.0.1:{ports['TE_CONTROL_PORT']}/control/v1/state",
                headers={"authorization": f"Bearer {TOKEN}"},
            )
            assert (state.json()["component"], state.json()["state"]) == ("dashboard", "serving")
        process.terminate()
        async with asyncio.timeout(40):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"started", "stopping"} <= {line["message"] for line in lines}
