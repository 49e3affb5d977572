"""The link: what is lost on the way is sent again, what is late is not sent, and Redis may be gone for long."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from tradingengine.domain.ids import new_id
from tradingengine.execution.commands import CommandKind
from tradingengine.execution.dry_run import DryRunDesk
from tradingengine.execution.journal import Draft
from tradingengine.execution.links import CommandReader, Heart, Shipper
from tradingengine.execution.loops import keep_running
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.storage import streams
from tradingengine.storage.probes import PROBES, Answer
from tradingengine.telemetry.metrics import Metrics

from tests.unit.apps.execution.kit import SHARE, Edge, body, order, until, wire
from tests.unit.apps.execution.test_flow import fail_journal

pytestmark = pytest.mark.unit


class FakeRedis:
    """Streams, the acknowledgement and the heartbeat in memory, behind a line that can be cut."""

    def __init__(self) -> None:
        self.boot()
        self.cut = False
        self.reads: list[dict[str, str]] = []
        self.looks = 0
        self.beats = 0
        self._news = asyncio.Event()

    def boot(self) -> None:
        """A new process without data."""
        self.run = new_id()
        self.commands: dict[str, list[tuple[str, dict[str, str]]]] = {}
        self.events: list[dict[str, Any]] = []
        self.added = 0
        self.acks: dict[str, int] = {}
        self.heartbeat: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}

    def send(self, text: str, *, priority: bool = False, probe: bool = False) -> None:
        stream = streams.PRIORITY_COMMANDS if priority else PROBES if probe else streams.COMMANDS
        entries = self.commands.setdefault(stream, [])
        entries.append((f"{len(entries) + 1}-0", {"id": json.loads(text).get("id", ""), "body": text}))
        self._news.set()

    def _check(self) -> None:
        if self.cut:
            raise RedisConnectionError("the line is cut")

    async def run_id(self) -> str:
        self._check()
        return self.run

    async def read(self, cursors: Mapping[str, str], *, block_ms: int) -> dict[str, list[streams.Entry]]:
        self._check()
        self.reads.append(dict(cursors))
        found = self._after(cursors)
        if not found:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(block_ms, 20) / 1000)
            except TimeoutError:
                return {}
            self._check()
            found = self._after(cursors)
        return found

    def _after(self, cursors: Mapping[str, str]) -> dict[str, list[streams.Entry]]:
        found: dict[str, list[streams.Entry]] = {}
        for stream, cursor in cursors.items():
            new = [e for e in self.commands.get(stream, []) if streams.id_key(e[0]) > streams.id_key(cursor)]
            if new:
                found[stream] = [(entry_id, dict(fields)) for entry_id, fields in new]
        return found

    async def add(self, bodies: Sequence[str]) -> str:
        self._check()
        first = f"{self.added + 1}-0"
        for text in bodies:
            self.added += 1
            self.events.append({**json.loads(text), "stream_id": f"{self.added}-0"})
        return first

    async def ack(self) -> dict[str, int]:
        self.looks += 1
        self._check()
        return dict(self.acks)

    async def first_id(self) -> str | None:
        self._check()
        return str(self.events[0]["stream_id"]) if self.events else None

    async def beat(self, document: str) -> None:
        self.beats += 1
        self._check()
        self.heartbeat = json.loads(document)

    async def answer(self, answers: Mapping[str, Answer]) -> None:
        self._check()
        self.answers.update(answers)

    async def disconnect(self) -> None:
        """Nothing to drop."""

    def sequences(self) -> list[int]:
        return [event["seq"] for event in self.events]


class Link:
    """An edge, its link, and a Redis."""

    def __init__(self, edge: Edge, folder: Path) -> None:
        self.edge = edge
        self.folder = folder
        self.redis = FakeRedis()
        self.registry = edge.registry.__class__()
        desk = DryRunDesk(edge.market, edge.wall, EdgeMetrics(self.registry))
        self.reader = CommandReader(self.redis, edge.engine, desk)
        self.shipper = Shipper(edge.journal, self.redis, edge.wall)
        self.heart = Heart(
            engine=edge.engine,
            shipper=self.shipper,
            sink=self.redis,
            wall=edge.wall,
            metrics=EdgeMetrics(edge.registry.__class__()),
            identity={"release": "7", "version": "1.2.3"},
            feed=lambda: {"source": "simulator"},
            strategies=list,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *runs: Callable[[], Any]) -> None:
        self._tasks += [asyncio.ensure_future(run()) for run in runs]

    async def rounds(self, count: int = 3) -> None:
        """Wait until the shipper has looked at the acknowledgement `count` times more."""
        wanted = self.redis.looks + count
        await until(lambda: self.redis.looks >= wanted)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def link(edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Link]:
    monkeypatch.setattr("tradingengine.execution.loops.FIRST_PAUSE", 0.005)
    monkeypatch.setattr("tradingengine.execution.loops.LONGEST_PAUSE", 0.02)
    monkeypatch.setattr("tradingengine.execution.links.shipper._ACK_SECONDS", 0.01)
    monkeypatch.setattr("tradingengine.execution.links.commands.BLOCK_MS", 20)
    edge.wall.running = True
    made = Link(edge, tmp_path)
    yield made
    await made.stop()


def state(link: Link, order_id: str) -> str:
    found = link.edge.engine.book.orders.get(order_id)
    return "" if found is None else str(found.state)


async def test_an_end_that_comes_with_news_is_not_missed(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.links.shipper._ACK_SECONDS", 60.0)
    task = asyncio.create_task(link.shipper.run())
    await until(lambda: link.shipper.connected and link.shipper.shipped == link.edge.journal.sequence)
    for _ in range(20):
        await asyncio.sleep(0)
    link.shipper.rewind()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()


async def test_a_command_becomes_an_order_and_its_story_goes_up_in_sequence(link: Link) -> None:
    link.start(link.reader.run, link.shipper.run)
    order_id = new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=order_id, order=wire()))
    await until(lambda: state(link, order_id) == "FILLED")
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    assert link.redis.sequences() == list(range(1, link.edge.journal.sequence + 1))
    mine = [event for event in link.redis.events if event["id"] == order_id]
    assert [event["type"] for event in mine] == ["order.intent", "order.sent", "order.acknowledged", "order.filled"]
    assert {event["journal"] for event in mine} == {link.edge.journal.uuid}
    assert mine[3]["data"] == {
        "fill_id": "P000000000001-1",
        "quantity": 10,
        "price_paise": 10005,
        "cumulative": 10,
        "average_paise": 10005,
    }


async def test_priority_is_read_first(link: Link) -> None:
    entry, halt = new_id(), new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=entry, order=wire()))
    link.redis.send(body(CommandKind.HALT, command_id=halt), priority=True)
    link.start(link.reader.run)
    await until(lambda: state(link, entry) != "")
    assert link.edge.engine.book.orders[entry].reason is not None
    assert link.edge.engine.book.orders[entry].reason.code == "halted"  # type: ignore[union-attr]
    assert await link.edge.paper.book() == []


async def test_after_a_cut_late_orders_expire_and_cancels_go_through(link: Link) -> None:
    resting = order(price_paise=9990)
    await link.edge.engine.submit(resting)
    link.redis.cut = True
    link.start(link.reader.run, link.shipper.run)
    late, cancel = new_id(), new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=late, order=wire()))
    link.redis.send(body(CommandKind.CANCEL, command_id=cancel, target=resting.id, seconds=86400), priority=True)
    link.edge.wall.move(120)
    await link.edge.journal.record(*(Draft("mark", {}) for _ in range(50)))
    assert link.redis.events == []
    assert link.shipper.connected is False
    link.redis.cut = False
    await until(lambda: state(link, late) == "EXPIRED" and state(link, resting.id) == "CANCELLED")
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    assert link.redis.sequences() == list(range(1, link.edge.journal.sequence + 1))
    assert len(await link.edge.paper.book()) == 1


async def test_a_redis_that_lost_everything_gets_everything_again_that_was_not_stored(link: Link) -> None:
    link.start(link.reader.run, link.shipper.run)
    placed = new_id()
    text = body(CommandKind.PLACE, command_id=placed, order=wire())
    link.redis.send(text)
    await until(lambda: state(link, placed) == "FILLED")
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    stored = 3
    link.redis.acks = {link.edge.journal.uuid: stored, "another": 99}
    await link.shipper.read_ack()
    link.redis.cut = True
    await until(lambda: not link.shipper.connected and not link.reader.connected)
    link.redis.boot()
    link.redis.send(text)
    after = new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=after, order=wire()))
    link.redis.cut = False
    await until(lambda: state(link, after) == "FILLED")
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    assert link.redis.sequences() == list(range(stored + 1, link.edge.journal.sequence + 1))
    assert len(await link.edge.paper.book()) == 2, "the repeated command made no second order"


async def test_a_short_cut_sends_nothing_twice_that_was_confirmed(link: Link) -> None:
    link.start(link.shipper.run)
    await link.edge.journal.record(Draft("mark", {}))
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    link.redis.cut = True
    await link.edge.journal.record(Draft("mark", {}))
    await until(lambda: not link.shipper.connected)
    link.redis.cut = False
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    assert link.redis.sequences() == list(range(1, link.edge.journal.sequence + 1))


@pytest.mark.parametrize("stored", [0, 4])
async def test_a_new_or_restored_database_gets_everything_that_it_does_not_hold(link: Link, stored: int) -> None:
    await link.edge.journal.record(*(Draft("mark", {}) for _ in range(9)))
    await link.edge.journal.acknowledge(9)
    link.redis.acks = {link.edge.journal.uuid: stored}
    link.start(link.shipper.run)
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    await link.rounds()
    assert link.redis.sequences() == [10], "one low acknowledgement may be an old one"
    link.edge.wall.move(11)
    await until(lambda: set(link.redis.sequences()) == set(range(stored + 1, 11)))
    assert link.edge.journal.acked == stored
    link.edge.crash()
    again = await Edge(link.folder).start()
    assert again.journal.acked == stored
    await again.stop()


async def test_an_acknowledgement_that_is_late_takes_nothing_back(link: Link) -> None:
    await link.edge.journal.record(*(Draft("mark", {}) for _ in range(9)))
    await link.edge.journal.acknowledge(9)
    for said in (3, 9, 3, 10):
        link.redis.acks = {link.edge.journal.uuid: said}
        await link.shipper.read_ack()
        link.edge.wall.move(6)
    assert (link.edge.journal.acked, link.shipper.rewinds) == (10, 0)


@pytest.mark.parametrize("lost", ["emptied", "trimmed"])
async def test_a_stream_that_lost_entries_is_noticed_and_filled_again(link: Link, lost: str) -> None:
    await link.edge.journal.record(*(Draft("mark", {}) for _ in range(5)))
    link.redis.acks = {link.edge.journal.uuid: 2}
    link.start(link.shipper.run)
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    before = link.shipper.rewinds
    link.redis.events = [] if lost == "emptied" else link.redis.events[-1:]
    link.edge.wall.move(1)
    await link.rounds()
    link.edge.wall.move(11)
    await until(lambda: link.shipper.rewinds > before)
    await until(lambda: set(link.redis.sequences()) >= {3, 4, 5, 6})


async def test_a_slow_projector_is_not_mistaken_for_a_loss(link: Link) -> None:
    await link.edge.journal.record(*(Draft("mark", {}) for _ in range(5)))
    link.start(link.shipper.run)
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    for _ in range(3):
        link.edge.wall.move(11)
        await link.rounds()
    assert link.shipper.rewinds == 1, "only the one of the first connection"
    assert link.shipper.unshipped == link.edge.journal.sequence


async def test_a_long_backlog_comes_from_disk_in_batches(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.links.shipper._BATCH", 10)
    link.edge.journal._tail = type(link.edge.journal._tail)(maxlen=5)
    await link.edge.journal.record(*(Draft("mark", {}) for _ in range(95)))
    link.start(link.shipper.run)
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    assert link.redis.sequences() == list(range(1, link.edge.journal.sequence + 1))


async def test_what_adds_risk_waits_while_draining_and_unrecovered(link: Link) -> None:
    link.edge.engine.drain()
    entry, halt = new_id(), new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=entry, order=wire()))
    link.start(link.reader.run)
    link.redis.send(body(CommandKind.RELEASE, command_id=halt), priority=True)
    await until(lambda: link.edge.engine.book.knows(halt))
    assert state(link, entry) == ""
    assert all(streams.COMMANDS not in cursors for cursors in link.redis.reads)
    link.edge.engine.resume()
    await until(lambda: state(link, entry) == "FILLED")


async def test_dry_runs_of_the_prober_are_answered_at_any_hour_and_journalled_nowhere(link: Link) -> None:
    link.edge.engine.drain()
    link.edge.market.opened = link.edge.market.fresh = False
    before, fine, off_tick, late = link.edge.journal.sequence, new_id(), new_id(), new_id()
    limit = wire(type="LIMIT", price_paise=10_005, dry_run=True)
    link.redis.send(body(CommandKind.PLACE, command_id=fine, order=limit), probe=True)
    link.redis.send(body(CommandKind.PLACE, command_id=off_tick, order={**limit, "price_paise": 10_003}), probe=True)
    link.redis.send(body(CommandKind.PLACE, command_id=late, order=limit, seconds=-1), probe=True)
    earnest = new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=earnest, order=wire()), probe=True)
    link.redis.send("{}", probe=True)
    link.start(link.reader.run)
    await until(lambda: len(link.redis.answers) == 4)
    assert link.redis.answers[fine] == Answer(
        verdict="accepted",
        understood={
            "symbol": SHARE, "side": "BUY", "quantity": 10, "type": "LIMIT", "price_paise": 10_005,
            "trigger_price_paise": None, "product": "MIS", "validity": "DAY", "purpose": "ENTRY",
        },
    )  # fmt: skip
    refused = {key: (found.reason or {})["code"] for key, found in link.redis.answers.items() if key != fine}
    assert refused == {off_tick: "bad_tick", earnest: "invalid", "": "invalid"}
    assert link.edge.journal.sequence == before
    assert not any(link.edge.engine.book.knows(each) for each in (fine, off_tick, late, earnest))
    counted = {"release": "7", "slot": "a", "verdict": "accepted"}
    assert link.registry.get_sample_value("tradingengine_edge_dry_runs_total", counted) == 1


async def test_a_stopping_edge_takes_no_more(link: Link) -> None:
    link.start(link.reader.run)
    await until(lambda: len(link.redis.reads) > 1)
    link.reader.taking = False
    entry = new_id()
    link.redis.send(body(CommandKind.PLACE, command_id=entry, order=wire()))
    reads, waits = len(link.redis.reads), link.reader.rounds
    await until(lambda: link.reader.rounds >= waits + 3)
    assert len(link.redis.reads) <= reads + 1
    assert state(link, entry) == ""


async def test_the_heartbeat_says_what_the_edge_is(link: Link) -> None:
    await link.edge.engine.submit(order(price_paise=9990))
    link.start(link.heart.run)
    await until(lambda: bool(link.redis.heartbeat))
    beat = link.redis.heartbeat
    journal = link.edge.journal
    assert (beat["journal"], beat["epoch"], beat["sequence"]) == (journal.uuid, 1, journal.sequence)
    assert (beat["release"], beat["version"], beat["trading_state"]) == ("7", "1.2.3", "ACTIVE")
    assert (beat["flat"], beat["idle"], beat["recovered"], beat["halt"]) == (False, True, True, None)
    assert beat["broker"] == {"name": "paper", "state": "connected"}
    assert beat["unshipped"] == journal.sequence
    assert beat["feed"] == {"source": "simulator"}
    assert beat["strategies"] == []


async def test_a_heartbeat_that_cannot_be_set_is_simply_late(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.links.heartbeat.SECONDS", 0.01)
    link.redis.cut = True
    link.start(link.heart.run)
    await until(lambda: link.redis.beats > 2)
    await link.edge.engine.halts.halt(new_id(), by="asha", why="")
    link.redis.cut = False
    await until(lambda: bool(link.redis.heartbeat))
    assert link.redis.heartbeat["trading_state"] == "HALTED"
    assert link.redis.heartbeat["halt"]["by"] == "asha"


async def test_a_quiet_journal_is_marked(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.links.shipper.MARK_SECONDS", 0.01)
    before = link.edge.journal.sequence
    link.edge.wall.move(1)
    link.start(link.shipper.mark)
    await until(lambda: link.edge.journal.sequence > before)
    (entry,) = (await link.edge.journal.read(before))[:1]
    assert (entry.type, entry.data) == ("mark", {"shipped": 0})


async def test_an_older_journal_at_the_head_of_the_stream_is_no_loss(link: Link) -> None:
    link.redis.events = [{"journal": "another", "seq": 1, "stream_id": "0-1"}]
    await link.edge.journal.record(Draft("mark", {}))
    link.start(link.shipper.run)
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    for _ in range(3):
        link.edge.wall.move(11)
        await link.rounds()
    assert link.shipper.rewinds == 1


async def test_a_loss_that_nobody_heals_is_answered_less_and_less_often(link: Link) -> None:
    await link.edge.journal.record(Draft("mark", {}))
    link.start(link.shipper.run)
    await until(lambda: link.shipper.shipped == link.edge.journal.sequence)
    await link.rounds()
    for _number in range(40):
        link.redis.events.clear()
        link.edge.wall.move(11)
        await link.rounds()
    assert 3 <= link.shipper.rewinds <= 8, "after 10, 20, 40, 80, 160 and 320 seconds of 440"


async def test_what_was_journalled_before_the_disk_failed_still_goes_up(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.links.shipper.MARK_SECONDS", 0.0)
    link.redis.cut = True
    link.start(link.shipper.run)
    made = order()
    await link.edge.engine.submit(made)
    await fail_journal(link.edge)
    last = link.edge.journal.sequence
    link.start(link.shipper.mark)
    link.redis.cut = False
    await until(lambda: link.shipper.shipped == last)
    link.redis.acks[link.edge.journal.uuid] = last
    await until(lambda: link.edge.journal.acked == last)
    await link.rounds()
    assert link.redis.sequences() == list(range(1, last + 1))
    assert [task.done() for task in link._tasks] == [False, False]


@pytest.mark.parametrize("poison", ['{"order":' * 100_000, "bug"])
async def test_an_entry_that_nobody_can_take_holds_up_no_halt_behind_it(
    link: Link, poison: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = link.edge.engine.accept

    def stumbles(text: str, *, command_id: str = "") -> "asyncio.Task[None] | None":
        if text == "bug":
            raise ValueError("a bug")
        return accept(text, command_id=command_id)

    monkeypatch.setattr(link.edge.engine, "accept", stumbles)
    entries = link.redis.commands.setdefault(streams.PRIORITY_COMMANDS, [])
    entries.append(("1-0", {"id": new_id(), "body": poison}))
    link.redis.send(body(CommandKind.HALT), priority=True)
    link.start(lambda: keep_running("commands", link.reader.run, Metrics(component="edge")))
    await until(lambda: link.edge.engine.halts.halted)
