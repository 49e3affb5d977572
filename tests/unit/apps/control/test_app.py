"""The control port, held to contract/control-v1.schema.json."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from tradingengine.control.app import create_control_app
from tradingengine.control.state import ControlState
from tradingengine.domain.calendar import contract_folder

from tests.unit.apps.control.conftest import TOKEN, client_of, make_state

pytestmark = pytest.mark.unit

RELEASE: dict[str, Any] = {
    "phase": "Releasing",
    "version": "0.1.0",
    "stable": None,
    "canary": {"slot": "a", "release": "7", "version": "0.1.0"},
    "weights": {"a": 0.5, "b": 99.5},
    "step": 1,
    "steps": [{"weight": 10, "hold_seconds": None}],
    "step_started_at": None,
    "reason": "",
    "checks": [{"name": "error-rate", "value": None, "limit": "0.01"}],
    "at": "2026-11-21T10:00:01Z",
}


def check(document: Any, name: str) -> None:
    """Hold a document to a definition of the contract."""
    contract = json.loads((contract_folder() / "control-v1.schema.json").read_text())
    schema = {"$ref": f"#/$defs/{name}", "$defs": contract["$defs"]}
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


async def test_health_readiness_and_metrics_need_no_token(state: ControlState) -> None:
    async with client_of(create_control_app(state)) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"ready": True, "reasons": {}}
        state.readiness["disk"] = lambda: "full"
        unready = await client.get("/readyz")
        assert (unready.status_code, unready.json()["reasons"]) == (503, {"disk": "full"})
        assert (await client.get("/healthz")).status_code == 200
        metrics = await client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "tradingengine_websockets" in metrics.text


async def test_a_pod_is_unready_while_it_starts_and_stops(state: ControlState) -> None:
    state.started = False
    assert state.unready_reasons() == {"process": "starting"}
    state.started = True
    state.stopping = True
    assert state.unready_reasons() == {"process": "stopping"}


async def test_the_state_is_what_the_contract_says(operator: httpx.AsyncClient, state: ControlState) -> None:
    state.websockets = lambda: 3
    state.metrics.begin_request(source="client")
    answer = await operator.get("/control/v1/state")
    check(answer.json(), "State")
    assert answer.json() == {
        "component": "api",
        "engine": "desk",
        "release": "7",
        "slot": "a",
        "version": "0.1.0",
        "schema_revision": "0001",
        "state": "serving",
        "requests": {"total": 1},
        "websockets": 3,
        "edge": None,
        "unready": {},
        "stores": {},
    }


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"])
async def test_without_the_token_nothing_is_said(state: ControlState, header: str) -> None:
    async with client_of(create_control_app(state)) as client:
        headers = [(b"authorization", header.encode("latin-1"))] if header else []
        answer = await client.get("/control/v1/state", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    check(answer.json(), "Problem")


async def test_a_token_that_changes_while_the_pod_runs_is_the_one_that_counts(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    app = create_control_app(make_state(TE_CONTROL_TOKEN="", TE_CONTROL_TOKEN_FILE=str(file)))
    async with client_of(app, authorization=f"Bearer {TOKEN}") as client:
        assert (await client.get("/control/v1/state")).status_code == 200
        file.write_text(TOKEN[::-1])
        assert (await client.get("/control/v1/state")).status_code == 401
        anew = await client.get("/control/v1/state", headers={"authorization": f"Bearer {TOKEN[::-1]}"})
        assert anew.status_code == 200
        file.unlink()
        assert (await client.get("/control/v1/state", headers={"authorization": "Bearer "})).status_code == 401


async def test_withdraw_and_serve_are_idempotent_and_mean_one_release(
    operator: httpx.AsyncClient, state: ControlState
) -> None:
    told: list[float | str] = []

    async def serving() -> None:
        told.append("serve")

    state.on_withdraw.append(told.append)
    state.on_serve.append(serving)
    foreign = await operator.post("/control/v1/withdraw", json={"release": "8", "spread_seconds": 1})
    assert (foreign.status_code, foreign.json()["type"]) == (409, "/problems/release-mismatch")
    for _ in range(2):
        answer = await operator.post("/control/v1/withdraw", json={"release": "7", "spread_seconds": 2.5})
        assert (answer.status_code, answer.json()["state"]) == (202, "withdrawn")
    assert state.withdrawn
    for _ in range(2):
        assert (await operator.post("/control/v1/serve", json={"release": "7"})).json()["state"] == "serving"
    assert told == [2.5, "serve"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("withdraw", "{"),
        ("withdraw", '{"release": "7"}'),
        ("withdraw", '{"release": "x", "spread_seconds": 1}'),
        ("withdraw", '{"release": "7", "spread_seconds": 500}'),
        ("serve", "[]"),
    ],
)
async def test_a_bad_body_is_refused(operator: httpx.AsyncClient, path: str, body: str) -> None:
    answer = await operator.post(f"/control/v1/{path}", content=body)
    assert answer.status_code == 422
    check(answer.json(), "Problem")


async def test_a_body_without_end_is_refused(operator: httpx.AsyncClient) -> None:
    answer = await operator.put("/control/v1/release", content=b" " * 300_000)
    assert answer.status_code == 422


async def test_the_release_document_is_kept_and_an_older_one_ignored(
    operator: httpx.AsyncClient, state: ControlState
) -> None:
    heard: list[str] = []
    state.on_release.append(lambda: heard.append("release"))
    check(RELEASE, "ReleaseDocument")
    assert (await operator.put("/control/v1/release", json={**RELEASE, "future": 1})).status_code == 204
    assert state.release_document == RELEASE
    older = {**RELEASE, "at": "2026-11-21T09:00:00Z", "phase": "Running"}
    assert (await operator.put("/control/v1/release", json=older)).status_code == 204
    assert state.release_document == RELEASE
    assert heard == ["release"]
    assert (await operator.put("/control/v1/release", json={**RELEASE, "phase": "Odd"})).status_code == 422


async def test_drain_and_resume_are_the_edges_alone(operator: httpx.AsyncClient) -> None:
    assert (await operator.post("/control/v1/drain")).status_code == 404
    edge = make_state("edge")
    edge.edge = lambda: {
        "epoch": 1, "sequence": 5, "idle": True, "flat": False, "trading_state": "ACTIVE", "journal": "j",
        "recovered": True,
    }  # fmt: skip
    told: list[str] = []
    edge.on_drain.append(lambda: told.append("drain"))
    edge.on_resume.append(lambda: told.append("resume"))
    async with client_of(create_control_app(edge), authorization=f"Bearer {TOKEN}") as client:
        for _ in range(2):
            answer = await client.post("/control/v1/drain")
            check(answer.json(), "State")
            assert answer.json()["state"] == "draining"
        for _ in range(2):
            assert (await client.post("/control/v1/resume")).json()["state"] == "serving"
        assert (await client.post("/control/v1/withdraw", json={})).status_code == 404
    assert told == ["drain", "resume"]


async def test_a_drain_that_nobody_renews_ends_by_itself() -> None:
    edge = make_state("edge")
    told: list[str] = []
    resumed = asyncio.Event()
    edge.on_drain.append(lambda: told.append("drain"))
    edge.on_resume.append(resumed.set)
    edge.drain_lease = 0.05
    await edge.drain()
    edge.drain_lease = 3600.0
    await edge.drain()
    edge.drain_lease = 0.01
    assert edge.document()["state"] == "draining"
    await edge.drain()
    async with asyncio.timeout(10):
        await resumed.wait()
    assert edge.document()["state"] == "serving"
    assert told == ["drain"]


async def test_each_drain_renews_the_lease_and_a_resume_drops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = make_state("edge")
    handles: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    plain = loop.call_later

    def call_later(delay: float, callback: Any, *arguments: Any) -> asyncio.TimerHandle:
        handle = plain(delay, callback, *arguments)
        handles.append(handle)
        return handle

    monkeypatch.setattr(loop, "call_later", call_later)
    await edge.drain()
    await edge.drain()
    assert [handle.cancelled() for handle in handles] == [True, False]
    await edge.resume()
    assert [handle.cancelled() for handle in handles] == [True, True]


async def test_a_pod_that_stops_stays_drained() -> None:
    edge = make_state("edge")
    await edge.drain()
    edge.stopping = True
    await edge.resume()
    assert edge.document()["state"] == "draining"
