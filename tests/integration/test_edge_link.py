"""The whole edge process on a real Redis: the path of an order, kills, cuts, a lost Redis, and a drain."""

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import jsonschema
import msgspec
import pytest
from tradingengine.brokers.port import BookRow
from tradingengine.domain.calendar import contract_folder
from tradingengine.domain.ids import broker_tag
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person, prepare, running_pod, settings_for
from tests.integration.edge_kit import EdgeProcess, book_on_disk, place
from tests.integration.kit import SYMBOL, plain_client, wait_until
from tests.integration.servers import Redis

pytestmark = pytest.mark.integration


@pytest.fixture
async def edge(tmp_path: Path, redis_url: str) -> AsyncIterator[EdgeProcess]:
    """An edge that is ready."""
    made = EdgeProcess(tmp_path, redis_url)
    made.start()
    await made.ready()
    yield made
    await made.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB without a free byte, where the edge keeps its state."""
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_an_edge_whose_disk_is_full_waits_lives_says_why_and_goes_on_by_itself(
    tmp_path: Path, redis_url: str, full_disk: Path
) -> None:
    edge = EdgeProcess(tmp_path, redis_url)
    edge.start()
    try:
        reasons = await edge.unready()
        assert "its disk has 0 MiB left, 16 are needed. Check the volume" in reasons["edge"]
        state = await edge.state()
        assert state["unready"] == reasons
        assert (state["edge"]["idle"], state["edge"]["flat"]) == (True, False), "its pod may be replaced"
        assert "tradingengine_edge_storage_failed 1.0" in await edge.metrics()
        subprocess.run(["mount", "-o", "remount,size=64m", str(full_disk)], check=True)
        await edge.ready()
        assert (await edge.state())["unready"] == {}
        order_id = await edge.send("place", order=await edge.resting())
        await edge.until_event(order_id, "order.acknowledged")
        assert edge.stop() == 0
        assert edge.log.read_text().count("the edge waits and trades nothing") == 1
    finally:
        await edge.close()


def paper_rows(state_dir: Path) -> list[BookRow]:
    """The paper book of a stopped edge."""
    connection = apsw.Connection(str(state_dir / "paper" / "book.sqlite"))
    rows = [msgspec.json.decode(bytes(row[0]), type=BookRow) for row in connection.execute("SELECT row FROM orders")]
    connection.close()
    return rows


async def check_books_agree(state_dir: Path, order_ids: list[str]) -> dict[str, str]:
    """The journal and the paper book of a stopped edge tell the same; the orders' states."""
    book, rows = await book_on_disk(state_dir), paper_rows(state_dir)
    by_tag = {row.tag: row for row in rows}
    assert len(by_tag) == len(rows), "the paper book holds no tag twice"
    for order in book.orders.values():
        row = by_tag.pop(broker_tag(order.id), None)
        assert order.filled_quantity == (0 if row is None else row.filled), order
        assert order.state.terminal == (row is None or row.state.terminal), order
    assert by_tag == {}, "every row of the paper book is in the journal"
    return {order_id: str(book.orders[order_id].state) for order_id in order_ids if order_id in book.orders}


async def test_orders_halt_restart_and_release(edge: EdgeProcess) -> None:
    filled, open_order, dry = (
        await edge.send("place", order=place()),
        await edge.send("place", order=await edge.resting()),
        await edge.send("place", order=place(dry_run=True)),
    )
    bad = await edge.send("place", order=place(symbol="NSE:NOSUCH"))
    for order_id, kind in ((filled, "order.filled"), (open_order, "order.acknowledged"), (dry, "order.dry_run")):
        await edge.until_event(order_id, kind)
    await edge.until_event(bad, "order.rejected")
    assert await edge.types_of(filled) == ["order.intent", "order.sent", "order.acknowledged", "order.filled"]
    await edge.until_event(await edge.send("cancel", target=open_order, seconds=3600), "command.done")
    assert (await edge.types_of(open_order))[-2:] == ["order.cancel_requested", "order.cancelled"]

    another = await edge.send("place", order=await edge.resting())
    await edge.until_event(another, "order.acknowledged")
    halt = await edge.send("halt", seconds=3600)
    await edge.until_event(halt, "command.done")
    assert (await edge.types_of(another))[-1] == "order.cancelled"

    assert edge.stop() == 0
    states = await check_books_agree(edge.state_dir, [filled, open_order, dry, bad, another])
    assert list(states.values()) == ["FILLED", "CANCELLED", "DRY_RUN", "REJECTED", "CANCELLED"]
    edge.start()
    await edge.ready()
    refused = await edge.send("place", order=place())
    await edge.until_event(refused, "order.rejected")
    assert (await edge.state())["edge"]["trading_state"] == "HALTED"
    await edge.until_event(await edge.send("release", target=halt), "command.done")
    again = await edge.send("place", order=place())
    await edge.until_event(again, "order.filled")

    async def candles() -> bool:
        return "candles.closed" in {event["type"] for event in (await edge.read_events()).values()}

    await wait_until("closed candles", candles, timeout=30)
    schema = json.loads((contract_folder() / "events-v1.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    events = await edge.read_events()
    for event in events.values():
        validator.validate(event)
    assert sorted(events) == list(range(1, max(events) + 1))
    types = {event["type"] for event in events.values()}
    assert types >= {"run.started", "instruments.snapshot", "edge.recovered", "strategy.state", "candles.closed"}


async def test_an_order_beyond_a_limit_in_rupees_is_rejected_and_both_planes_say_why(
    edge: EdgeProcess, database: Database, postgres_url: str
) -> None:
    await prepare(database)
    async with running_pod(settings_for(postgres_url, edge.redis_url)) as control:
        person = Person(control.settings)
        await person.log_in("trader")

        async def priced() -> Decimal | None:
            feed = (await person.http.get("/v1/status")).json()["feed"]["state"]
            quotes = (await person.http.get("/v1/quotes", params={"symbols": SYMBOL})).json()["items"]
            return Decimal(quotes[0]["last"]) if quotes and feed == "live" else None

        last: Decimal = await wait_until("the pod hears of prices", priced)
        units = int(500_000 / last) + 10
        answers = [
            await person.place(quantity=quantity, type="MARKET", price=None, dry_run=dry_run)
            for quantity, dry_run in ((units, False), (units, True), (1, False))
        ]
        assert [answer.status_code for answer in answers] == [201, 201, 201]
        ids = [answer.json()["id"] for answer in answers]

        async def ended() -> list[dict[str, Any]] | None:
            found = [(await person.http.get(f"/v1/orders/{order_id}")).json() for order_id in ids]
            return found if all(order["state"] in ("REJECTED", "DRY_RUN", "FILLED") for order in found) else None

        cloud = await wait_until("the cloud knows how they ended", ended)
        await person.http.aclose()
    assert [order["state"] for order in cloud] == ["REJECTED", "DRY_RUN", "FILLED"]
    assert edge.stop() == 0
    book = await book_on_disk(edge.state_dir)
    for order, order_id in zip(cloud[:2], ids, strict=False):
        assert order["reason"]["code"] == "order_value"
        assert order["reason"]["message"].endswith("of at most ₹5,00,000.00.")
        assert order["reason"] == msgspec.to_builtins(book.orders[order_id].reason)
    tags = {broker_tag(order_id) for order_id in ids}
    assert [row.filled for row in paper_rows(edge.state_dir) if row.tag in tags] == [1]


async def test_the_link_s_other_keys(edge: EdgeProcess) -> None:
    async def heartbeat() -> dict[str, Any]:
        text = await edge.client.get(streams.HEARTBEAT)
        return json.loads(text) if text else {}

    beat = await wait_until("a heartbeat of a recovered edge", heartbeat)
    assert beat["release"] == "7"
    assert beat["feed"]["source"] == "simulator"
    assert beat["feed"]["sessions"]["NSE_EQ"]["state"] == "open"
    assert 0 < await edge.client.pttl(streams.HEARTBEAT) <= streams.HEARTBEAT_TTL_MS
    assert await edge.client.pttl(streams.HEARTBEAT_LAST) == -1, "kept for pages that are loaded while it is silent"

    async def quotes() -> int:
        return int(await edge.client.hlen(streams.QUOTES_LAST))

    assert await wait_until("quotes for late comers", quotes)
    async with plain_client() as http:
        metrics = (await http.get(f"http://127.0.0.1:{edge.control_port}/metrics")).text
        assert "tradingengine_edge_journal_sequence" in metrics
        page = await http.get(f"http://127.0.0.1:{edge.console_port}/")
        assert "HALT" in page.text
        shown = (await http.get(f"http://127.0.0.1:{edge.console_port}/v1/state")).json()
    assert shown["journal"] == beat["journal"]


async def test_the_acknowledgement_is_followed(edge: EdgeProcess) -> None:
    state = (await edge.state())["edge"]
    await streams.write_ack(edge.client, {state["journal"]: 3})
    await edge.until_acknowledged(3)


async def test_a_drained_edge_is_idle_and_keeps_new_risk_in_the_stream(edge: EdgeProcess) -> None:
    assert await edge.control("drain") == 202

    async def idle() -> bool:
        return bool((await edge.state())["edge"]["idle"])

    await wait_until("idle", idle)
    waiting = await edge.send("place", order=place())
    done = await edge.send("release", seconds=3600)
    await edge.until_event(done, "command.done")
    assert await edge.types_of(waiting) == []
    assert await edge.control("resume") == 202
    await edge.until_event(waiting, "order.filled")


async def test_kills_in_the_middle_of_trading_lose_and_double_nothing(tmp_path: Path, redis_url: str) -> None:
    edge = EdgeProcess(tmp_path, redis_url, counted=False)
    chance = random.Random(7)
    sent: list[str] = []
    try:
        for _ in range(3):
            edge.start()
            await edge.ready()
            low = await edge.resting()
            for number in range(chance.randrange(10, 40)):
                order = low if number % 4 == 3 else place(side=chance.choice(("BUY", "SELL")))
                sent.append(await edge.send("place", order=order))
                await asyncio.sleep(chance.random() / 100)
            edge.kill()
        edge.start()
        await edge.ready()
        for order_id in sent:
            await edge.until_event(order_id, "order.intent")
        await edge.trades()
        assert edge.stop() == 0
        states = await check_books_agree(edge.state_dir, sent)
        assert set(states) == set(sent), "each order that was sent has a state"
        assert set(states.values()) <= {"FILLED", "OPEN", "REJECTED", "EXPIRED", "PARTIALLY_FILLED"}
        types = [event["type"] for event in (await edge.read_events()).values() if event["id"] in states]
        assert types.count("order.intent") == len(sent)
    finally:
        await edge.close()


async def test_redis_is_killed_and_comes_back_empty(tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis" / "server")
    redis.start()
    edge = EdgeProcess(tmp_path, redis.url)
    try:
        edge.start()
        await edge.ready()
        before = await edge.send("place", order=place())
        await edge.until_event(before, "order.filled")
        stored = max(await edge.read_events())
        await streams.write_ack(edge.client, {(await edge.state())["edge"]["journal"]: stored})
        await edge.until_acknowledged(stored)
        redis.kill()
        console = f"http://127.0.0.1:{edge.console_port}"
        async with plain_client(headers={"x-te-console": "1"}) as http:
            assert (await http.post(f"{console}/v1/halt", timeout=20)).status_code == 200
            assert (await http.delete(f"{console}/v1/halt", timeout=20)).status_code == 200
        shutil.rmtree(redis.folder / "appendonlydir")
        redis.start()
        await edge.client.connection_pool.disconnect()
        edge._cursor = streams.FIRST_ID
        after = await edge.send("place", order=place())
        await edge.until_event(after, "order.filled")
        events = await edge.read_events()
        assert sorted(events) == list(range(1, max(events) + 1)), "nothing is missing after the loss"
        assert edge.stop() == 0
        assert set((await check_books_agree(edge.state_dir, [before, after])).values()) == {"FILLED"}
    finally:
        await edge.close()
        redis.stop()
