"""Databases and caches of one's own, in memory: what a person has to mend is named, and what works is left alone."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts import stores

from .rig import Bench

pytestmark = pytest.mark.unit
MANAGED: dict[str, Any] = {"type": "managed", "managed": {"secretName": "pg"}}


def give(bench: Bench, data: dict[str, str], labels: dict[str, str] | None = None) -> None:
    """The Secret that a person makes for the engine's database."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    own = {names.LABEL_USE: "desk"} if labels is None else labels
    metadata = {"name": "pg", "namespace": "trading", "labels": own}
    bench.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})


async def told(bench: Bench, type_: str) -> tuple[str, str]:
    """Reason and message of a condition after one pass."""
    await bench.turn()
    found = bench.condition(type_)
    return found["reason"], found["message"]


async def test_the_secret_of_a_managed_database_is_asked_for_step_by_step() -> None:
    bench = Bench(database=MANAGED)
    reason, message = await told(bench, "SecretsReady")
    assert reason == "SecretMissing"
    assert "create it with key uri" in message
    assert bench.status["phase"] == "Pending"
    assert bench.condition("Ready")["reason"] == "NotServing", "waiting alone does not mend it"
    give(bench, {"uri": "postgresql://u@db:5432/desk"}, {})
    reason, message = await told(bench, "SecretsReady")
    assert reason == "SecretNotLabelled"
    assert f"kubectl -n trading label secret pg {names.LABEL_USE}=desk" in message
    give(bench, {"url": "postgresql://u@db:5432/desk"})
    assert await told(bench, "SecretsReady") == (
        "SecretKeyMissing",
        "Secret pg of spec.database.managed.secretName has no key uri. To mend: add key uri",
    )
    assert bench.names(kinds.STATEFUL_SET) == set(), "nothing is built on what is not there"


@pytest.mark.parametrize("uri", ["no uri at all", "postgresql://[::1", "http://"])
async def test_a_uri_that_cannot_be_read_is_said_without_showing_it(uri: str) -> None:
    bench = Bench(database=MANAGED)
    give(bench, {"uri": uri})
    reason, message = await told(bench, "DatabaseReady")
    assert reason == "BadUri"
    assert "postgresql://user:password@host:port/name" in message
    assert uri not in message


async def test_a_server_that_cannot_be_reached_is_asked_again_and_one_that_was_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []
    problem = "ConnectionRefusedError"

    async def connect(host: str, port: int) -> str:
        asked.append((host, port))
        return problem

    monkeypatch.setattr(stores, "_connect", connect)
    bench = Bench(database=MANAGED)
    give(bench, {"uri": "postgresql://u:secret-word@db.example/desk"})
    reason, message = await told(bench, "DatabaseReady")
    assert reason == "Unreachable"
    assert "db.example:5432 cannot be reached: ConnectionRefusedError" in message
    assert "secret-word" not in str(bench.status)
    problem = ""
    assert (await told(bench, "DatabaseReady"))[0] == "Reachable"
    await bench.turn()
    assert asked == [("db.example", 5432)] * 2, "the port is the scheme's, and what was reached is not asked each pass"


async def test_a_connection_says_enough() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await stores._connect("127.0.0.1", port) == ""
    assert await stores._connect("127.0.0.1", port) == "ConnectionRefusedError"


async def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_arguments: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(stores, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(asyncio, "open_connection", hang)
    assert await stores._connect("db.example", 5432) == "no answer within 0.05 s"


async def test_an_image_of_the_database_that_cannot_be_pulled_is_said_at_once() -> None:
    bench = Bench()
    bench.api.pace = timedelta(minutes=1)
    await bench.turn()
    container = bench.api.objects["Pod", "desk-database-0"]["status"]["containerStatuses"][0]
    container["state"] = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    await bench.engine.reconcile()
    found = bench.condition("DatabaseReady")
    assert found["reason"] == "ImagePullFailed"
    assert "no such image" in found["message"]
    assert bench.status["phase"] == "Pending"
    assert bench.condition("Ready")["reason"] == "NotServing"


async def test_a_paused_engine_still_knows_its_control_token_after_the_operator_started_anew() -> None:
    bench = Bench()
    await bench.settle()
    bench.ask(paused=True)
    bench.control.draining = True
    bench.engine = bench.operator()
    await bench.turn()
    assert bench.status["phase"] == "Paused"
    assert "resume" in bench.control.calls, "its token was read, and the drained edge opened"
    await bench.turn()
    bench.control.draining = True
    bench.engine = bench.operator()
    del bench.api.objects["Secret", "desk-control"]
    calls = list(bench.control.calls)
    await bench.turn()
    assert bench.control.calls == calls, "without a token nobody can be asked"
    assert bench.api.objects[KIND, "desk"]["status"]["edge"]["state"] == "Connected", "what was said last stays"


async def test_a_password_that_is_not_encoded_is_never_shown() -> None:
    """Read as it stands, its beginning is the port of a host that is named like the user."""
    bench = Bench(database=MANAGED)
    give(bench, {"uri": "postgresql://u:8443/x@h"})
    reason, message = await told(bench, "DatabaseReady")
    assert reason == "BadUri"
    assert "8443" not in json.dumps(bench.status)
    assert "percent-encoded" in message


async def test_a_database_of_several_hosts_is_reached_when_one_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    async def connect(host: str, port: int) -> str:
        asked.append((host, port))
        return "" if host == "two" else "no answer"

    monkeypatch.setattr(stores, "_connect", connect)
    bench = Bench(database=MANAGED)
    give(bench, {"uri": "postgresql://u:p@one:5432,two:5433/desk"})
    assert (await told(bench, "DatabaseReady"))[0] == "Reachable"
    assert asked == [("one", 5432), ("two", 5433)]
    give(bench, {"uri": "postgresql://u:p@one,three/desk"})
    bench.engine = bench.operator()
    reason, message = await told(bench, "DatabaseReady")
    assert reason == "Unreachable"
    assert "one:5432 cannot be reached: no answer, three:5432 cannot be reached: no answer" in message
