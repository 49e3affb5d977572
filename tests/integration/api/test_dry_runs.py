"""Dry runs of the prober: what its token opens, and that nothing remains of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tradingengine.config import Settings
from tradingengine.control.state import ControlState
from tradingengine.storage import probes, streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person, prepare, running_pod, settings_for
from tests.integration.kit import SYMBOL, beat, entries, plain_client, wait_until

pytestmark = pytest.mark.integration

PROBE_TOKEN = "the-token-of-the-prober"
ORDER = {"symbol": SYMBOL, "side": "BUY", "quantity": 10, "type": "LIMIT", "price": "2500.00", "dry_run": True}
TABLES = ("orders", "order_events", "outbox", "audit_events", "idempotency_keys", "alerts", "sessions")


class Prober(Person):
    """Somebody with the prober's token; `heart` is what the edge's heartbeat says beside the usual."""

    def __init__(self, settings: Settings, control: ControlState, heart: dict[str, Any]) -> None:
        super().__init__(settings)
        self.control = control
        self.heart = heart
        self.http.headers.update({"x-te-probe": "1", "authorization": f"Bearer {PROBE_TOKEN}"})

    async def dry_run(self, **changes: Any) -> httpx.Response:
        """A dry run; asked again while a busy machine's edge is silent. Its answer is held to the OpenAPI document."""

        async def answered() -> httpx.Response | None:
            answer = await place(self, **changes)
            unheard = answer.status_code == 202 and answer.json()["verdict"] == "not_applicable"
            return answer if answer.status_code != 503 and not unheard else None

        found: httpx.Response = await wait_until("an answer of the edge", answered)
        return found


@pytest.fixture
async def prober(
    database: Database, postgres_url: str, redis_url: str, tmp_path: Path, cache: streams.Client
) -> AsyncIterator[Prober]:
    """The prober's requests, to a pod that knows its token, while an edge is heard that answers dry runs."""
    await prepare(database)
    token = tmp_path / "token"
    token.write_text(f"{PROBE_TOKEN}\n")
    settings = settings_for(postgres_url, redis_url, TE_PROBE_TOKEN_FILE=str(token))
    heart: dict[str, Any] = {"probes": True}

    async def keep_beating() -> None:
        while True:
            await beat(cache, **heart)
            await asyncio.sleep(0.3)

    beating = asyncio.create_task(keep_beating())
    async with running_pod(settings) as control:
        person = Prober(settings, control, heart)
        yield person
        await person.http.aclose()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


@contextlib.asynccontextmanager
async def answering(cache: streams.Client, answer: probes.Answer) -> AsyncIterator[list[dict[str, Any]]]:
    """An edge that gives one answer to every question; the questions as they come."""
    asked: list[dict[str, Any]] = []

    async def answer_all() -> None:
        cursor = streams.FIRST_ID
        while True:
            found = await streams.read_streams(cache, {probes.PROBES: cursor}, count=10, block_ms=20)
            for entry_id, fields in found.get(probes.PROBES, ()):
                cursor = entry_id
                asked.append(streams.loads(fields["body"]))
                await probes.answer(cache, {fields["id"]: answer})

    task = asyncio.create_task(answer_all())
    try:
        yield asked
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def place(person: Person, **changes: Any) -> httpx.Response:
    """A dry run, whose answer is held to the OpenAPI document."""
    body = {**ORDER, **changes}
    return await person.http.post("/v1/orders", json=body, headers={"idempotency-key": str(uuid4())})


async def rows(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    async with database.connection() as connection:
        return {table: await connection.fetchval(f"select count(*) from {table}") for table in TABLES}


async def test_a_dry_run_is_judged_by_the_edge_and_leaves_no_trace(
    prober: Prober, cache: streams.Client, database: Database
) -> None:
    before = await rows(database)
    understood = {
        "symbol": SYMBOL, "side": "BUY", "quantity": 10, "type": "LIMIT", "price_paise": 250_000,
        "trigger_price_paise": None, "product": "MIS", "validity": "DAY", "purpose": "ENTRY",
    }  # fmt: skip
    async with answering(cache, probes.Answer(verdict="accepted", understood=understood)) as asked:
        answer = await prober.dry_run()
    assert (answer.status_code, answer.json()) == (
        202, {"verdict": "accepted", "reason": None, "understood": understood},
    )  # fmt: skip
    assert answer.headers["x-te-release"] == "7"
    question = asked[0]
    assert (question["kind"], question["order"]["price_paise"], question["order"]["dry_run"]) == (
        "place",
        250_000,
        True,
    )
    assert question["origin"] == {"release": "7", "slot": "a", "user": "prober"}
    why = {"code": "price_band", "message": "outside", "mend": ""}
    async with answering(cache, probes.Answer(verdict="refused", reason=why)):
        assert (await prober.dry_run()).json() == {"verdict": "refused", "reason": why, "understood": None}
    assert (await place(prober, price="2500.03")).json()["type"] == "/problems/bad_tick"
    assert (await place(prober, symbol="NSE:NOBODY")).json()["type"] == "/problems/unknown_instrument"
    assert await rows(database) == before
    assert (await entries(cache, streams.COMMANDS), await entries(cache, streams.PRIORITY_COMMANDS)) == ([], [])
    counted = {
        (labels["source"], labels["outcome"], labels["reason"]): sample.value
        for family in prober.control.metrics.registry.collect()
        for sample in family.samples
        for labels in [sample.labels]
        if sample.name == "tradingengine_orders_total" and labels["reason"] != "edge_silent"
    }
    assert counted == {
        ("probe", "taken", "none"): 1,
        ("probe", "refused", "price_band"): 1,
        ("probe", "refused", "bad_tick"): 1,
        ("probe", "refused", "unknown_instrument"): 1,
    }


async def test_without_an_edge_a_dry_run_is_not_applicable_and_a_silent_one_is_a_fault(prober: Prober) -> None:

    async def silent() -> bool:
        answer = await place(prober)
        return answer.status_code == 503 and answer.json()["type"] == "/problems/edge_silent"

    await wait_until("an edge that lives and does not answer is a fault", silent)
    prober.heart["probes"] = False  # an edge that knows no dry runs of the prober

    async def not_applicable() -> bool:
        answer = await place(prober)
        return answer.status_code == 202 and answer.json()["verdict"] == "not_applicable"

    await wait_until("an edge of another version is not asked", not_applicable)


async def test_the_token_opens_nothing_but_reading_and_dry_runs(prober: Prober) -> None:
    assert (await prober.http.get("/v1/status")).status_code == 200
    assert (await prober.http.get("/v1/orders")).status_code == 200
    assert (await place(prober, dry_run=False)).status_code == 403
    key = {"idempotency-key": str(uuid4())}
    exit_ = {"symbol": SYMBOL, "product": "MIS", "account": "default", "broker": "paper"}
    forbidden = [
        await prober.http.delete(f"/v1/orders/{uuid4()}"),
        await prober.http.post("/v1/positions/exit", json=exit_, headers=key),
        await prober.http.post("/v1/halt", json={}),
        await prober.http.delete("/v1/halt"),
    ]
    assert [answer.status_code for answer in forbidden] == [403, 403, 403, 403]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {PROBE_TOKEN}"},
        {"authorization": f"Basic {PROBE_TOKEN}", "x-te-probe": "1"},
        {"authorization": "Bearer another-token-entirely", "x-te-probe": "1"},
        {"authorization": "Bearer", "x-te-probe": "1"},
        {"x-te-probe": "1"},
    ],
)
async def test_nobody_else_is_the_prober(prober: Prober, headers: dict[str, str]) -> None:
    async with plain_client(base_url=prober.http.base_url) as stranger:
        assert (await stranger.get("/v1/status", headers=headers)).status_code == 401
        answer = await stranger.post("/v1/orders", json=ORDER, headers={**headers, "idempotency-key": "k"})
        assert answer.status_code == 401


async def test_a_pod_without_a_token_has_no_prober(trader: Person, control: ControlState) -> None:
    async with plain_client(base_url=trader.http.base_url) as stranger:
        for word in ("Bearer", f"Bearer {PROBE_TOKEN}"):
            headers = {"authorization": word, "x-te-probe": "1"}
            assert (await stranger.get("/v1/status", headers=headers)).status_code == 401
    assert control.settings.current_probe_token() == ""


async def test_its_socket_needs_no_session_and_is_not_closed_for_the_lack_of_one(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.api.stream.hub.SESSION_SECONDS", 0.05)
    headers = {"X-Te-Probe": "1", "Authorization": f"Bearer {PROBE_TOKEN}"}
    async with prober.live("", **headers) as live:
        assert (await live.wait("hello"))["release"] == "7"
        await asyncio.sleep(0.3)
        await live.connection.send('{"t":"ping"}')
        await live.wait("pong")
    async with prober.live("", **{**headers, "Authorization": "Bearer wrong"}) as live:
        assert await live.closed() == 4401
