"""The commands as processes: migrate, make users, serve, survive what goes away, compare, stop."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tradingengine.storage import market, streams
from tradingengine.storage.market import decode_instruments
from tradingengine.storage.postgres import Database

from tests.integration.kit import INSTRUMENT, SYMBOL, Journal, beat, new_order, plain_client, wait_until
from tests.integration.servers import Postgres, Redis, free_port
from tests.measured import measured

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a password for tests"


def environment(url: str, cache: str, **more: str) -> dict[str, str]:
    """What the operator sets."""
    return {
        **measured(),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "apps"),
        "TE_DATABASE_URL": url,
        "TE_CACHE_URL": cache,
        "TE_CONTROL_TOKEN": "a-control-token-for-tests",
        "TE_HTTP_HOST": "127.0.0.1",
        **more,
    }


async def te(env: dict[str, str], *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run `te` to its end."""
    command = [sys.executable, "-m", "tradingengine", *words]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=env, input=text, capture_output=True, text=True, timeout=120, check=False)

    return await asyncio.to_thread(run)


async def test_users_are_made_listed_disabled_and_get_new_passwords(postgres_url: str, redis_url: str) -> None:
    env = environment(postgres_url, redis_url)
    made = await te(env, "user", "add", "asha", "--name", "Asha Rao", "--role", "admin", text=f"{PASSWORD}\n")
    assert (made.returncode, made.stderr) == (0, "user asha made\n")
    assert (await te(env, "user", "add", "asha", text=f"{PASSWORD}\n")).returncode == 2
    assert (await te(env, "user", "add", "asha", "--if-missing", text=f"{PASSWORD}\n")).returncode == 0
    listed = await te(env, "user", "list", "--output", "json")
    assert json.loads(listed.stdout) == [{"login": "asha", "name": "Asha Rao", "roles": ["admin"], "disabled": False}]
    assert (await te(env, "user", "password", "asha", text="another password\n")).returncode == 0
    assert (await te(env, "user", "password", "nobody", text="another password\n")).returncode == 1
    assert (await te(env, "user", "disable", "asha")).returncode == 0
    assert "disabled" in (await te(env, "user", "list")).stdout
    for words, given, said in (
        (("user", "add", "x!"), PASSWORD, "not a login"),
        (("user", "add", "ravi"), "short", "10 to 256"),
        (("user", "add", "ravi"), "", "no password"),
    ):
        refused = await te(env, *words, text=given)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert not given or given not in refused.stderr


async def test_a_missing_setting_is_one_clear_line(postgres_url: str, redis_url: str) -> None:
    env = environment(postgres_url, redis_url)
    del env["TE_CACHE_URL"]
    refused = await te(env, "api")
    assert refused.returncode == 2
    assert refused.stderr.startswith("te api: neither TE_CACHE_URL_FILE nor TE_CACHE_URL is set")
    assert "Traceback" not in refused.stderr


async def test_migrate_says_what_it_does(empty_database_url: str) -> None:
    env = environment(empty_database_url, "")
    assert (await te(env, "migrate", "--check")).returncode == 1
    done = await te(env, "migrate")
    assert done.returncode == 0
    assert "an empty database" in done.stderr
    assert (await te(env, "migrate", "--check")).returncode == 0


@contextlib.asynccontextmanager
async def api_process(env: dict[str, str], log: Path) -> AsyncIterator["asyncio.subprocess.Process"]:
    """`te api` as a process; killed at the end if it still runs."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tradingengine", "api", env=env, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def assert_log_is_whole_and_keeps_secrets(log: Path) -> None:
    text = log.read_text()
    assert {"started", "stopping"} <= {json.loads(line)["message"] for line in text.splitlines()}
    assert PASSWORD not in text
    assert "only-for-tests" not in text


async def test_a_pod_lives_through_the_loss_of_both_servers_and_stops_when_told(
    database: Database,
    postgres_server: Postgres,
    redis_server: Redis,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    ports = {"TE_HTTP_PORT": str(free_port()), "TE_CONTROL_PORT": str(free_port()), "TE_RELEASE": "7", "TE_SLOT": "a"}
    env, log = environment(postgres_url, redis_url, **ports), tmp_path / "api.log"
    assert (await te(env, "user", "add", "asha", text=PASSWORD)).returncode == 0
    async with database.transaction() as connection:
        await market.save_instruments(connection, decode_instruments({"instruments": [INSTRUMENT]}))
    control = f"http://127.0.0.1:{ports['TE_CONTROL_PORT']}"
    async with api_process(env, log) as process, plain_client(timeout=20) as client:
        client.base_url = httpx.URL(f"http://127.0.0.1:{ports['TE_HTTP_PORT']}")

        async def answers(url: str, code: int = 200, **more: Any) -> Any:
            try:
                answer = await client.request(more.pop("method", "GET"), url, **more)
            except httpx.TransportError:
                return None
            return answer if answer.status_code == code else None

        await wait_until("the pod is ready", lambda: answers(f"{control}/readyz"), timeout=60)
        login = await client.post("/v1/session", json={"login": "asha", "password": PASSWORD})
        assert login.status_code == 200

        await asyncio.to_thread(postgres_server.kill)
        away = await client.get("/v1/orders")
        assert (away.status_code, away.json()["type"]) == (503, "/problems/database_unavailable")
        assert (await client.get(f"{control}/readyz")).status_code == 200
        await asyncio.to_thread(postgres_server.start)
        await wait_until("orders are listed again", lambda: answers("/v1/orders"), timeout=40)

        await asyncio.to_thread(redis_server.kill)
        body = {"symbol": SYMBOL, "side": "BUY", "quantity": 1, "price": "2500.00"}
        silent = await client.post("/v1/orders", json=body, headers={"idempotency-key": "k1"})
        assert (silent.status_code, silent.json()["type"]) == (503, "/problems/edge_unreachable")
        assert (await client.get("/v1/status")).json()["edge"]["state"] == "unreachable"
        assert (await client.get(f"{control}/readyz")).status_code == 200
        await asyncio.to_thread(redis_server.start)

        cache = streams.command_client(redis_url, timeout=5)
        await beat(cache)
        placed = await client.post("/v1/orders", json=body, headers={"idempotency-key": "k2"})
        assert placed.status_code == 201

        async def sent() -> Any:
            return await cache.xlen(streams.COMMANDS)

        await wait_until("the command", sent)
        await cache.aclose()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), timeout=25) == 0
    assert_log_is_whole_and_keeps_secrets(log)


async def test_both_planes_are_compared(
    database: Database, postgres_url: str, redis_url: str, cache: streams.Client, tmp_path: Path
) -> None:
    from tests.integration.storage.test_projector import projecting, wait_applied

    journal, order = Journal(), new_order()
    journal.accept(order)
    await journal.ship(cache)
    async with projecting(database, redis_url):
        await wait_applied(database, journal)
    env, file = environment(postgres_url, redis_url), tmp_path / "edge.json"
    file.write_text(json.dumps([{"id": order.id, "state": "OPEN", "filled_quantity": 0}]))
    same = await te(env, "orders", "compare", str(file))
    assert (same.returncode, same.stderr) == (0, "1 orders compared, 0 differ\n")
    lines = json.dumps({"id": order.id, "state": "FILLED", "filled_quantity": 10})
    other = await te(env, "orders", "compare", "-", "--output", "json", text=lines)
    assert other.returncode == 1
    assert json.loads(other.stdout)["differences"][0]["id"] == order.id
    assert (await te(env, "orders", "compare", str(tmp_path / "nothing"))).returncode == 2
