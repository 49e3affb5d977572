"""The prober on real sockets: what it says of slots that are well, that hang, fail, answer otherwise, or go away."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web
from tradingengine.jobs.prober.outcomes import ProbeMetrics
from tradingengine.jobs.prober.prober import Prober
from tradingengine.jobs.prober.table import Tradable, load_table
from tradingengine.jobs.prober.targets import Targets
from tradingengine.telemetry.metrics import Metrics

from tests.integration.kit import wait_until
from tests.integration.servers import free_port

pytestmark = pytest.mark.integration

TOKEN = "the-token-of-the-prober"
INSTRUMENT = {"symbol": "NSE:ABC", "lot_size": 1, "tick_size": "0.05", "freeze_quantity": 1000, "tradable": True}
REFUSALS = {"bad_tick", "bad_price", "bad_trigger", "invalid", "freeze_quantity", "unknown_instrument"}


class Slot:
    """A slot of one pod that plays both components; `fault` says how it is broken."""

    def __init__(self, release: str) -> None:
        self.release = release
        self.fault = ""
        self.asked: list[web.Request] = []
        self.url = ""
        self._stuck = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/v1/orders", self._order)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/{path:.*}", self._page)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", free_port()).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Be gone."""
        self._stuck.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _before(self, request: web.Request) -> web.Response | None:
        self.asked.append(request)
        assert (request.headers["x-te-probe"], request.headers["authorization"]) == ("1", f"Bearer {TOKEN}")
        if self.fault == "hangs":
            await self._stuck.wait()
        return self._answer({"type": "/problems/internal"}, 500) if self.fault == "fails" else None

    def _answer(self, document: Any, status: int = 200) -> web.Response:
        return web.json_response(document, status=status, headers={"x-te-release": self.release})

    async def _page(self, request: web.Request) -> web.Response:
        if (broken := await self._before(request)) is not None:
            return broken
        if request.path == "/v1/instruments":
            return self._answer({"items": [INSTRUMENT]})
        if request.path == "/v1/quotes":
            return self._answer({"items": [{"symbol": "NSE:ABC", "last": "2500.00"}]})
        keys = ("edge", "feed", "release", "pnl", "exposure", "orders", "items")
        document = {} if self.fault == "answers otherwise" else dict.fromkeys(keys, "first-data <form")
        return web.Response(text=json.dumps(document), headers={"x-te-release": self.release})

    async def _order(self, request: web.Request) -> web.Response:
        if (broken := await self._before(request)) is not None:
            return broken
        body, table = await request.json(), load_table()
        row = next(row for row in table.orders if row.body(_tradable()) == body)
        if row.verdict != "accepted":
            assert row.verdict in REFUSALS
            return self._answer({"type": f"/problems/{row.verdict}"}, 422)
        understood = row.arrived(_tradable())
        if self.fault == "answers otherwise":
            understood["quantity"] *= 10
        return self._answer({"verdict": "accepted", "reason": None, "understood": understood}, 202)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if (broken := await self._before(request)) is not None:
            return broken
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sequence = 1
        await socket.send_json({"v": 1, "t": "hello", "seq": 1, "d": {"release": self.release, "slot": "b"}})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            if self.fault == "fails":
                await socket.close(code=1011)
                break
            if self.fault == "hangs":
                await self._stuck.wait()
            sequence += 2 if self.fault == "answers otherwise" else 1
            await socket.send_json({"v": 1, "t": "pong", "seq": sequence, "d": {}})
        return socket


def _tradable() -> Tradable:
    return msgspec.structs.replace(msgspec.convert(INSTRUMENT, Tradable), last_paise=250_000)


class Counted:
    """What a running prober has counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def of(self, slot: str, kind: str, outcome: str) -> float:
        """Probes of a slot and kind with an outcome, over its releases and components."""
        return sum(
            sample.value
            for family in self._metrics.registry.collect()
            for sample in family.samples
            if sample.name == "tradingengine_probes_total"
            and (sample.labels["slot"], sample.labels["kind"], sample.labels["outcome"]) == (slot, kind, outcome)
        )

    def bad(self, slot: str) -> float:
        """All that was not well."""
        kinds, outcomes = ("request", "order", "socket"), ("wrong", "late", "failed")
        return sum(self.of(slot, kind, outcome) for kind in kinds for outcome in outcomes)

    async def until(self, slot: str, outcome: str, *kinds: str, more: int = 2) -> None:
        """Wait until so many more probes of each kind ended so."""
        before = {kind: self.of(slot, kind, outcome) for kind in kinds}

        async def there() -> bool:
            return all(self.of(slot, kind, outcome) >= before[kind] + more for kind in kinds)

        await wait_until(f"{outcome} of {', '.join(kinds)} in slot {slot}", there, timeout=60)


@contextlib.asynccontextmanager
async def probing(targets: Targets) -> AsyncIterator[Counted]:
    """A prober that runs until the block ends."""
    metrics = Metrics(component="prober")
    prober = Prober(targets, load_table(), lambda: TOKEN, ProbeMetrics(metrics.registry))
    task = asyncio.create_task(prober.run())
    try:
        yield Counted(metrics)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def slots() -> AsyncIterator[tuple[Slot, Slot]]:
    """Two slots that are well: release 7 in a, release 8 in b."""
    made = Slot("7"), Slot("8")
    for slot in made:
        await slot.start()
    yield made
    for slot in made:
        await slot.stop()


@pytest.mark.parametrize(("fault", "outcome"), [("hangs", "late"), ("fails", "failed"), ("answers otherwise", "wrong")])
async def test_each_fault_has_its_outcome_in_its_slot_alone_and_ends_with_it(
    slots: tuple[Slot, Slot], fault: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This test's own event loop plays slots and prober at once; how busy it is, is no matter here.
    monkeypatch.setattr("tradingengine.jobs.prober.asking.OWN_LAG_SECONDS", 60.0)
    monkeypatch.setattr("tradingengine.jobs.prober.live.OWN_LAG_SECONDS", 60.0)
    stable, canary = slots
    targets: Targets = {slot: {"api": each.url, "dashboard": each.url} for slot, each in (("a", stable), ("b", canary))}
    async with probing(targets) as counted:
        for slot in ("a", "b"):
            await counted.until(slot, "ok", "request", "order", "socket")
        canary.fault = fault
        await counted.until("b", outcome, "request", "order", "socket")
        if fault != "hangs":
            canary.fault = ""
            await counted.until("b", "ok", "request", "order", "socket")
        assert counted.of("a", "order", "wrong") == 0
        assert counted.of("a", "request", "wrong") + counted.of("a", "request", "failed") == 0


async def test_a_slot_that_is_not_there_yet_is_skipped_and_one_that_went_has_failed(
    slots: tuple[Slot, Slot],
) -> None:
    stable, canary = slots
    nobody = f"http://127.0.0.1:{free_port()}"
    async with probing({"a": {"api": canary.url}, "b": {"api": nobody}}) as counted:
        await counted.until("a", "ok", "request", "order", "socket", more=1)
        await counted.until("b", "skipped", "request", "order", "socket", more=1)
        assert counted.bad("b") == 0
        await canary.stop()
        await counted.until("a", "failed", "request", "order", "socket", more=1)
    assert stable.asked == []


async def test_the_pace_is_five_requests_and_one_order_a_second(slots: tuple[Slot, Slot]) -> None:
    stable, _ = slots
    async with probing({"a": {"api": stable.url}}) as counted:
        await counted.until("a", "ok", "request", "order", "socket", more=1)
        clock = asyncio.get_running_loop().time
        begun = clock()
        pages, orders = _asked(stable)
        await asyncio.sleep(4)
        seconds = clock() - begun
        more_pages, more_orders = _asked(stable)
    assert more_pages - pages <= 5 * seconds + 2, "never more, however slow the machine is"
    assert more_orders - orders <= seconds + 2
    assert more_pages > pages
    assert sum(request.path == "/ws" for request in stable.asked) == 1, "one WebSocket, kept open"


def _asked(slot: Slot) -> tuple[int, int]:
    looked_up = ("/v1/instruments", "/v1/quotes", "/ws")
    pages = [request for request in slot.asked if request.method == "GET" and request.path not in looked_up]
    return len(pages), sum(request.method == "POST" for request in slot.asked)
