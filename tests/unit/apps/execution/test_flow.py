"""The way of an order through the edge: gate, journal, broker, journal; and of commands that are not orders."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tradingengine.brokers.port import BookRow, NotSentError, OutcomeUnknownError
from tradingengine.domain.capabilities import CAPABILITIES, Capabilities
from tradingengine.domain.ids import broker_tag, new_id
from tradingengine.domain.orders import Order, OrderState, OrderType, Product, Purpose, Side, TradingState, Validity
from tradingengine.domain.reasons import ReasonCode
from tradingengine.execution.commands import CommandKind
from tradingengine.execution.journal import Draft, Entry
from tradingengine.storage.sqlite import SqliteFailedError

from tests.unit.apps.execution.kit import LIMITS, NOW, SHARE, Edge, body, order, quote, until, wire

pytestmark = pytest.mark.unit


class TroubledBroker:
    """The paper broker behind a line that can lose requests and answers."""

    def __init__(self) -> None:
        self.paper: Any = None
        self.before: Callable[[], BaseException | None] = lambda: None
        self.after: Callable[[], BaseException | None] = lambda: None
        self.places = 0

    name = "paper"
    state = "connected"
    visibility_seconds = 0.001

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES["paper"]

    async def start(self) -> None:
        await self.paper.start()

    async def close(self) -> None:
        await self.paper.close()

    def _raise(self, made: BaseException | None) -> None:
        if made is not None:
            raise made

    async def place(self, order: Order, tag: str) -> BookRow:
        self.places += 1
        self._raise(self.before())
        row: BookRow = await self.paper.place(order, tag)
        self._raise(self.after())
        return row

    async def cancel(self, tag: str) -> BookRow:
        self._raise(self.before())
        row: BookRow = await self.paper.cancel(tag)
        self._raise(self.after())
        return row

    async def by_tag(self, tag: str) -> BookRow | None:
        self._raise(self.before())
        found: BookRow | None = await self.paper.by_tag(tag)
        return found

    async def book(self) -> list[BookRow]:
        self._raise(self.before())
        found: list[BookRow] = await self.paper.book()
        return found

    def updates(self) -> AsyncIterator[BookRow]:
        found: AsyncIterator[BookRow] = self.paper.updates()
        return found


class Once:
    """Gives its errors one after the other, then None."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)

    def __call__(self) -> BaseException | None:
        return self.errors.pop(0) if self.errors else None


def troubled(folder: Path) -> tuple[Edge, TroubledBroker]:
    broker = TroubledBroker()
    made = Edge(folder, broker=broker)
    broker.paper = made.paper
    return made, broker


def state_of(edge: Edge, made: Order) -> tuple[str, int, str]:
    found = edge.engine.book.orders[made.id]
    return str(found.state), found.filled_quantity, "" if found.reason is None else found.reason.code


async def test_an_order_is_journalled_before_it_is_sent_and_filled_after(edge: Edge) -> None:
    made = order()
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("FILLED", 10, "")
    assert await edge.types(1) == ["order.intent", "order.sent", "order.acknowledged", "order.filled"]
    found = edge.engine.book.orders[made.id]
    assert (found.average_paise, found.broker_order_id) == (10005, "P000000000001")
    assert [step["state"] for step in edge.engine.book.timeline(made.id)] == ["INTENT", "SENT", "OPEN", "FILLED"]
    assert not edge.engine.book.flat
    assert edge.engine.idle


async def test_nothing_is_sent_before_the_intent_is_durable(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    made = order()
    place = edge.paper.place

    async def look(sent: Order, tag: str) -> BookRow:
        assert await edge.types(1) == ["order.intent", "order.sent"]
        assert tag == broker_tag(made.id)
        return await place(sent, tag)

    monkeypatch.setattr(edge.paper, "place", look)
    await edge.engine.submit(made)
    assert state_of(edge, made)[0] == "FILLED"


async def test_a_late_order_is_journalled_expired_and_never_sent(edge: Edge) -> None:
    made = order(expires_at=NOW)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("EXPIRED", 0, "expired")
    assert await edge.types(1) == ["order.intent", "order.expired"]
    assert await edge.paper.book() == []


async def test_an_order_that_gets_late_while_the_disk_is_slow_is_not_sent(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = order()
    record = edge.journal.record

    async def slow(*drafts: Any) -> Any:
        entries = await record(*drafts)
        edge.wall.move(31)
        return entries

    monkeypatch.setattr(edge.journal, "record", slow)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("EXPIRED", 0, "expired")
    assert await edge.paper.book() == []


async def test_a_dry_run_travels_the_whole_path_and_stops_at_the_gate(edge: Edge) -> None:
    good, bad = order(dry_run=True, release="7", slot="b"), order(dry_run=True, symbol="NSE:NOSUCH")
    await edge.engine.submit(good)
    await edge.engine.submit(bad)
    assert state_of(edge, good)[0] == state_of(edge, bad)[0] == "DRY_RUN"
    entries = [entry for entry in await edge.journal.read(0) if entry.type == "order.dry_run"]
    assert [(entry.data["verdict"], entry.data.get("code")) for entry in entries] == [
        ("accepted", None),
        ("refused", "unknown_instrument"),
    ]
    assert await edge.paper.book() == []
    labels = {"release": "7", "slot": "b", "outcome": "dry_run", "reason": "none"}
    assert edge.value("tradingengine_edge_orders_total", **labels) == 1


@pytest.mark.parametrize(
    ("prepare", "fields", "code"),
    [
        (lambda edge: None, {"symbol": "NSE:NOSUCH"}, "unknown_instrument"),
        (lambda edge: None, {"quantity": 0}, "bad_quantity"),
        (lambda edge: None, {"quantity": 1001}, "freeze_quantity"),
        (lambda edge: None, {"price_paise": 10003}, "bad_tick"),
        (lambda edge: None, {"purpose": Purpose.EXIT}, "no_position"),
        (lambda edge: None, {"purpose": Purpose.STOP, "price_paise": 9000}, "no_position"),
        (lambda edge: None, {"purpose": Purpose.TARGET, "price_paise": 9000}, "no_position"),
        (lambda edge: setattr(edge.market, "opened", False), {}, "session_closed"),
        (lambda edge: setattr(edge.market, "fresh", False), {}, "no_quote"),
        (lambda edge: edge.market.quotes.clear(), {}, "no_quote"),
        (lambda edge: setattr(edge.engine.inputs, "recovered", False), {}, "not_recovered"),
        (lambda edge: setattr(edge.engine.inputs, "draining", True), {}, "draining"),
        (lambda edge: setattr(edge.engine.inputs, "halting", True), {}, "halted"),
        (lambda edge: setattr(edge.engine.inputs, "journal_failed", True), {}, "journal_failed"),
        (lambda edge: setattr(edge.engine.book, "trading_state", TradingState.REDUCING), {}, "reducing"),
    ],
)
async def test_what_the_gate_refuses(
    edge: Edge, prepare: Callable[[Edge], None], fields: dict[str, Any], code: str
) -> None:
    prepare(edge)
    made = order(**fields)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("REJECTED", 0, code)
    found = edge.engine.book.orders[made.id].reason
    assert found is not None
    assert found.message
    assert found.mend
    assert await edge.paper.book() == []
    labels = {"release": "", "slot": "", "outcome": "rejected", "reason": code}
    assert edge.value("tradingengine_edge_orders_total", **labels) == 1


@pytest.mark.parametrize("block", ["recovered", "draining", "halting", "journal_failed", "reducing", "rate"])
async def test_what_reduces_risk_always_passes(tmp_path: Path, block: str) -> None:
    edge = await Edge(tmp_path, limits=msgspec.structs.replace(LIMITS, orders_per_second=1)).start()
    await edge.engine.submit(order())
    if block == "reducing":
        edge.engine.book.trading_state = TradingState.REDUCING
    elif block == "rate":
        await edge.engine.submit(order())
    else:
        setattr(edge.engine.inputs, block, block != "recovered")
    made = order(side=Side.SELL, quantity=10, purpose=Purpose.EXIT)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("FILLED", 10, "")
    assert edge.engine.book.flat
    await edge.stop()


async def test_the_freeze_quantity_and_the_band_do_not_hold_up_an_exit(edge: Edge) -> None:
    await edge.price(ask_quantity=2000, bid_quantity=2000)
    for _ in range(2):
        await edge.engine.submit(order(quantity=800))
    share = edge.market.instruments[SHARE]
    edge.market.instruments[SHARE] = msgspec.structs.replace(share, lower_band_paise=10500)
    made = order(side=Side.SELL, quantity=1600, price_paise=10000, purpose=Purpose.EXIT)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("FILLED", 1600, "")


async def test_two_exits_never_turn_a_position_round(edge: Edge) -> None:
    await edge.engine.submit(order())
    exits = [order(side=Side.SELL, purpose=Purpose.EXIT) for _ in range(2)]
    await asyncio.gather(*(edge.engine.submit(made) for made in exits))
    assert sorted(state_of(edge, made) for made in exits) == [("FILLED", 10, ""), ("REJECTED", 0, "already_working")]
    assert edge.engine.book.flat


async def test_a_stop_of_more_than_the_position_is_refused(edge: Edge) -> None:
    await edge.engine.submit(order(quantity=5))
    stop = order(side=Side.SELL, type=OrderType.SL_M, trigger_price_paise=9900, purpose=Purpose.STOP)
    await edge.engine.submit(stop)
    assert state_of(edge, stop) == ("REJECTED", 0, "exceeds_position")


async def test_an_exit_of_more_than_is_left_goes_for_what_is_left(edge: Edge) -> None:
    await edge.engine.submit(order(quantity=5))
    over = order(side=Side.SELL, quantity=10, purpose=Purpose.EXIT)
    await edge.engine.submit(over)
    assert state_of(edge, over) == ("CANCELLED", 5, "exceeds_position")
    assert [row.quantity for row in await edge.paper.book()] == [5, 5]
    assert edge.engine.book.flat


async def test_an_exit_of_a_part_leaves_what_already_works_alone(edge: Edge) -> None:
    await edge.engine.submit(order())
    resting = order(side=Side.SELL, quantity=5, price_paise=10100, purpose=Purpose.TARGET)
    await edge.engine.submit(resting)
    part, more = (order(side=Side.SELL, quantity=6, purpose=Purpose.EXIT) for _ in range(2))
    await edge.engine.submit(part)
    assert state_of(edge, part) == ("CANCELLED", 5, "exceeds_position"), "five of ten are already working"
    await edge.engine.submit(order())
    stop = order(side=Side.SELL, type=OrderType.SL_M, trigger_price_paise=9900, purpose=Purpose.STOP)
    await edge.engine.submit(stop)
    await edge.engine.submit(more)
    assert state_of(edge, more) == ("REJECTED", 0, "already_working")
    found = edge.engine.book.orders[more.id].reason
    assert found is not None
    assert {resting.id, stop.id} == set(found.message.rstrip(".").rpartition(": ")[2].split(", "))
    assert (state_of(edge, resting)[0], state_of(edge, stop)[0]) == ("OPEN", "OPEN")


@pytest.mark.parametrize("exits", [1, 3])
async def test_an_exit_of_the_whole_position_cancels_what_rests_in_its_way(edge: Edge, exits: int) -> None:
    await edge.engine.submit(order())
    in_the_way = [
        order(side=Side.SELL, quantity=10, price_paise=11000),
        order(side=Side.SELL, quantity=10, price_paise=11000, product=Product.CNC),
        order(quantity=10, price_paise=9000),
    ]
    for one in in_the_way:
        await edge.engine.submit(one)
    made = [order(side=Side.SELL, purpose=Purpose.EXIT) for _ in range(exits)]
    await asyncio.gather(*(edge.engine.submit(one) for one in made))
    ends = sorted(state_of(edge, one) for one in made)
    assert ends == [("FILLED", 10, "")] + [("REJECTED", 0, "already_working")] * (exits - 1)
    assert [state_of(edge, one)[2] for one in in_the_way] == ["cancelled_by_exit", "", ""]
    assert [position.quantity for position in edge.engine.book.positions.values()] == [0]


@pytest.mark.parametrize("fault", [{"amo": True}, {"dry_run": True}, "closed"])
async def test_an_exit_that_cannot_go_cancels_nothing(edge: Edge, fault: Any) -> None:
    await edge.engine.submit(order())
    stop = order(side=Side.SELL, type=OrderType.SL_M, trigger_price_paise=9900, purpose=Purpose.STOP)
    await edge.engine.submit(stop)
    if fault == "closed":
        edge.market.opened = False
    made = order(side=Side.SELL, purpose=Purpose.EXIT, **({} if fault == "closed" else fault))
    await edge.engine.submit(made)
    assert state_of(edge, made)[0] in ("REJECTED", "DRY_RUN")
    assert state_of(edge, stop)[0] == "OPEN"


async def test_an_exit_while_the_feed_is_silent_rests_through_a_halt_and_fills_with_the_first_price(edge: Edge) -> None:
    await edge.engine.submit(order(quantity=5))
    edge.market.fresh = False
    made = order(side=Side.SELL, quantity=10, purpose=Purpose.EXIT)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("OPEN", 0, "")
    await accept(edge, body(CommandKind.HALT))
    assert state_of(edge, made) == ("OPEN", 0, "")
    edge.market.fresh = True
    await edge.price(bid=9500, ask=9505, last=9500)
    await edge.heard()
    assert state_of(edge, made) == ("CANCELLED", 5, "exceeds_position")
    assert edge.engine.book.flat


async def test_a_cut_exit_of_unknown_outcome_ends_like_any_other(tmp_path: Path) -> None:
    edge, broker = troubled(tmp_path)
    await edge.start()
    await edge.engine.submit(order(quantity=5))
    broker.after = Once(OutcomeUnknownError("lost"))
    made = order(side=Side.SELL, purpose=Purpose.EXIT)
    await edge.engine.submit(made)
    edge.crash()
    again = await Edge(tmp_path).start()
    assert state_of(again, made) == ("CANCELLED", 5, "exceeds_position")
    assert again.engine.book.flat
    await again.stop()


async def test_the_order_rate_is_bounded_per_second(tmp_path: Path) -> None:
    edge = await Edge(tmp_path, limits=msgspec.structs.replace(LIMITS, orders_per_second=2)).start()
    made = [order() for _ in range(3)]
    for one in made:
        await edge.engine.submit(one)
    dry = order(dry_run=True)
    await edge.engine.submit(dry)
    edge.wall.move(1.0)
    later = order()
    await edge.engine.submit(later)
    assert [state_of(edge, one)[2] for one in (*made, later)] == ["", "", "order_rate", ""]
    await edge.stop()


async def test_an_unanswered_order_is_looked_up_and_not_sent_again(tmp_path: Path) -> None:
    edge, broker = troubled(tmp_path)
    await edge.start()
    broker.after = Once(OutcomeUnknownError("the line went dead"))
    made, other = order(), order()
    await edge.engine.submit(made)
    assert state_of(edge, made)[0] == "UNKNOWN"
    assert not edge.engine.idle
    await edge.engine.submit(other)
    assert state_of(edge, other) == ("REJECTED", 0, "unresolved_order")
    await edge.engine.recovery.settle(made.id)
    assert state_of(edge, made) == ("FILLED", 10, "")
    assert broker.places == 1
    await edge.stop()


async def test_an_order_that_never_arrived_is_rejected_after_two_looks(tmp_path: Path) -> None:
    edge, broker = troubled(tmp_path)
    await edge.start()
    broker.before = Once(TimeoutError(), OSError("gone"))
    made = order()
    await edge.engine.submit(made)
    assert state_of(edge, made)[0] == "UNKNOWN"
    watching = asyncio.create_task(edge.engine.recovery.watch())
    await until(lambda: edge.engine.book.orders[made.id].state is not OrderState.UNKNOWN)
    watching.cancel()
    assert state_of(edge, made) == ("REJECTED", 0, "not_at_broker")
    assert (broker.places, await edge.paper.book()) == (1, [])
    await edge.stop()


async def test_an_order_that_did_not_leave_is_rejected_at_once(tmp_path: Path) -> None:
    edge, broker = troubled(tmp_path)
    await edge.start()
    broker.before = Once(NotSentError("refused"))
    made = order()
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("REJECTED", 0, "broker_unreachable")
    await edge.stop()


async def test_a_refusal_of_the_broker_has_its_reason(edge: Edge) -> None:
    made = order(validity=Validity.IOC, price_paise=9990)
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("CANCELLED", 0, "ioc_unfilled")


async def test_fills_arrive_in_parts_and_are_counted_once(edge: Edge) -> None:
    made = order(quantity=150, price_paise=10010)
    await edge.engine.submit(made)
    await edge.heard()
    await edge.heard()
    assert state_of(edge, made)[:2] == ("PARTIALLY_FILLED", 100)
    await edge.price(ask=10010, bid=10005, ask_quantity=100)
    await edge.heard()
    found = edge.engine.book.orders[made.id]
    assert (found.state, found.average_paise) == (OrderState.FILLED, 10007)
    assert (await edge.types()).count("order.filled") == 2


# Commands.


async def accept(edge: Edge, text: str, command_id: str = "") -> None:
    task = edge.engine.accept(text, command_id=command_id)
    if task is not None:
        await task


async def test_a_command_becomes_an_order_once(edge: Edge) -> None:
    order_id = new_id()
    text = body(CommandKind.PLACE, command_id=order_id, order=wire())
    first = edge.engine.accept(text)
    assert edge.engine.accept(text) is None, "already at work"
    assert first is not None
    await first
    assert edge.engine.accept(text) is None, "already known"
    found = edge.engine.book.orders[order_id]
    assert (found.release, found.slot, found.placed_by, str(found.source)) == ("7", "a", "asha", "person")
    assert len(await edge.paper.book()) == 1
    labels = {"release": "7", "slot": "a", "outcome": "filled", "reason": "none"}
    assert edge.value("tradingengine_edge_orders_total", **labels) == 1


async def test_a_command_that_memory_has_forgotten_is_still_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.book._MOST_ENDED", 1)
    edge = await Edge(tmp_path).start()
    texts = [body(CommandKind.PLACE, command_id=new_id(), order=wire()) for _ in range(4)]
    for text in texts:
        await accept(edge, text)
    assert len(edge.engine.book.orders) < 4
    for text in texts:
        await accept(edge, text)
    assert len(await edge.paper.book()) == 4
    await edge.stop()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "cannot be read"),
        ('{"id":"x"}', "cannot be read"),
        (body(CommandKind.PLACE), "needs the field order"),
        (body(CommandKind.CANCEL), "needs the id of an order"),
        (body(CommandKind.CANCEL, target="\0"), "needs the id of an order"),
        (body(CommandKind.HALT).replace("Z", ""), "no zone"),
        (body(CommandKind.HALT, command_id="7"), "not a UUIDv7"),
        (body(CommandKind.HALT).replace("halt", "dance"), "kind"),
    ],
)
async def test_a_command_that_cannot_be_read_is_journalled_with_its_problem(
    edge: Edge, text: str, problem: str
) -> None:
    command_id = new_id()
    await accept(edge, text, command_id)
    entries = await edge.journal.read(1)
    assert [(entry.type, entry.id) for entry in entries] == [
        ("command.done", command_id),
        ("order.rejected", command_id),
    ]
    assert problem in entries[0].data["message"]
    assert problem in entries[1].data["message"]
    await accept(edge, text, command_id)
    await accept(edge, text)
    await accept(edge, text, "\0")
    assert edge.journal.sequence == 3
    assert edge.engine.command_errors == 4


async def test_nothing_that_the_cloud_cannot_store_is_journalled(edge: Edge) -> None:
    order_id = new_id()
    await accept(edge, body(CommandKind.PLACE, command_id=order_id, order=wire(symbol="NSE:\0", quantity=3)))
    entries = await edge.journal.read(1)
    assert [entry.type for entry in entries] == ["order.intent", "order.rejected"]
    assert (entries[0].data["symbol"], entries[0].data["quantity"]) == ("NSE:\ufffd", 3)
    bodies = [entry.body(edge.journal.uuid) for entry in entries]
    assert not any(b"\\u0000" in text for text in bodies)


@pytest.mark.parametrize("fields", [{"side": "HOLD"}, {"quantity": "ten"}, {"type": None}])
async def test_an_order_that_is_not_well_formed_is_rejected_by_name(edge: Edge, fields: dict[str, Any]) -> None:
    order_id = new_id()
    await accept(edge, body(CommandKind.PLACE, command_id=order_id, order=wire(**fields)))
    entries = await edge.journal.read(1)
    assert [entry.type for entry in entries] == ["command.done", "order.rejected"]
    assert entries[1].data["code"] == "invalid"
    assert next(iter(fields)) in entries[1].data["message"]


async def test_an_exit_command_is_an_exit_whatever_it_says(edge: Edge) -> None:
    await edge.engine.submit(order())
    order_id = new_id()
    await accept(edge, body(CommandKind.EXIT, command_id=order_id, order=wire(side="SELL", purpose="ENTRY")))
    found = edge.engine.book.orders[order_id]
    assert (found.purpose, found.state) == (Purpose.EXIT, OrderState.FILLED)


async def test_cancel_is_confirmed_by_the_book(edge: Edge) -> None:
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    command_id = new_id()
    await accept(edge, body(CommandKind.CANCEL, command_id=command_id, target=made.id))
    assert state_of(edge, made) == ("CANCELLED", 0, "cancelled_by_user")
    done = (await edge.journal.read(0))[-1]
    assert (done.type, done.id) == ("command.done", command_id)
    assert done.data == {
        "kind": "cancel",
        "result": "cancelled",
        "target": made.id,
        "state": "CANCELLED",
        "message": "",
    }
    before = edge.journal.sequence
    await accept(edge, body(CommandKind.CANCEL, command_id=command_id, target=made.id))
    assert edge.journal.sequence == before


@pytest.mark.parametrize("between", ["nothing", "restart", "failed journal"])
async def test_a_cancel_that_overtook_its_order_keeps_it_from_being_sent(tmp_path: Path, between: str) -> None:
    edge = await Edge(tmp_path).start()
    made = order(price_paise=9990)
    if between == "failed journal":
        await fail_journal(edge)
    await accept(edge, body(CommandKind.CANCEL, target=made.id, seconds=3600))
    if between == "restart":
        edge.crash()
        edge = await Edge(tmp_path).start()
    fields = wire(type="LIMIT", price_paise=9990)
    await accept(edge, body(CommandKind.PLACE, command_id=made.id, order=fields))
    assert await edge.paper.book() == []
    assert state_of(edge, made) == ("CANCELLED", 0, "cancelled_by_user")
    if between != "failed journal":
        assert (await edge.types())[-2:] == ["order.intent", "order.cancelled"]
    await edge.stop()


async def fail_journal(edge: Edge) -> None:
    await edge.journal._file.run(lambda connection: connection.pragma("max_page_count", 1))
    drafts = [Draft("mark", {"text": "x" * 1000})] * 1000
    with pytest.raises(SqliteFailedError):
        await edge.journal.record(*drafts)


async def test_a_cancel_waits_for_an_order_that_has_only_just_come(edge: Edge) -> None:
    order_id = new_id()
    fields = wire(type="LIMIT", price_paise=9990)
    placing = edge.engine.accept(body(CommandKind.PLACE, command_id=order_id, order=fields))
    cancelling = edge.engine.accept(body(CommandKind.CANCEL, target=order_id))
    assert placing is not None
    assert cancelling is not None
    await asyncio.gather(placing, cancelling)
    assert str(edge.engine.book.orders[order_id].state) == "CANCELLED"


@pytest.mark.parametrize(("target", "result"), [("filled", "ended"), ("nobody", "unknown_order")])
async def test_a_cancel_without_an_open_order_says_so(edge: Edge, target: str, result: str) -> None:
    made = order()
    await edge.engine.submit(made)
    await accept(edge, body(CommandKind.CANCEL, target=made.id if target == "filled" else new_id()))
    assert (await edge.journal.read(0))[-1].data["result"] == result


async def test_a_late_cancel_is_not_carried_out(edge: Edge) -> None:
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    await accept(edge, body(CommandKind.CANCEL, target=made.id, seconds=0))
    assert state_of(edge, made)[0] == "OPEN"
    assert (await edge.journal.read(0))[-1].data == {"kind": "cancel", "result": "expired"}


async def test_a_cancel_waits_for_the_order_that_it_overtook(edge: Edge) -> None:
    made = order(price_paise=9990)
    placing = edge.engine.start(made)
    assert edge.engine.start(made) is None
    await asyncio.sleep(0)
    edge.engine.start_cancel(made.id, by="ema-cross", code=ReasonCode.CANCELLED_BY_USER)
    edge.engine.start_cancel(made.id, by="ema-cross", code=ReasonCode.CANCELLED_BY_USER)
    assert placing is not None
    assert await edge.engine.settle(5)
    assert state_of(edge, made) == ("CANCELLED", 0, "cancelled_by_user")
    assert (await edge.types()).count("order.cancel_requested") == 1


async def test_a_cancel_that_is_not_answered_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.router._CANCEL_PAUSE", 0)
    edge, broker = troubled(tmp_path)
    await edge.start()
    made, stuck = order(price_paise=9990), order(price_paise=9990)
    await edge.engine.submit(made)
    await edge.engine.submit(stuck)
    broker.after = Once(OutcomeUnknownError("lost"))
    await accept(edge, body(CommandKind.CANCEL, target=made.id))
    assert state_of(edge, made)[0] == "CANCELLED"
    broker.before = lambda: OSError("gone")
    await accept(edge, body(CommandKind.CANCEL, target=stuck.id))
    assert (await edge.journal.read(0))[-1].data["result"] == "unconfirmed"
    assert edge.engine.book.orders[stuck.id].cancel_requested
    broker.before = lambda: None
    await edge.engine.recovery.settle(stuck.id)
    assert state_of(edge, stuck)[0] == "CANCELLED"
    await edge.stop()


async def test_a_failed_journal_refuses_new_risk_and_still_lets_exits_and_cancels_go(edge: Edge) -> None:
    await edge.engine.submit(order())
    resting = order(price_paise=9990)
    await edge.engine.submit(resting)
    await fail_journal(edge)
    entry = order()
    await edge.engine.submit(entry)
    assert edge.engine.inputs.journal_failed
    await edge.engine.submit(order(side=Side.SELL, purpose=Purpose.EXIT))
    await edge.engine.router.cancel(resting.id, by="asha", code=ReasonCode.CANCELLED_BY_USER)
    await accept(edge, body(CommandKind.HALT))
    rows = {row.tag: str(row.state) for row in await edge.paper.book()}
    assert broker_tag(entry.id) not in rows
    assert rows[broker_tag(resting.id)] == "CANCELLED"
    assert sorted(rows.values()) == ["CANCELLED", "FILLED", "FILLED"]
    assert edge.engine.document()["trading_state"] == "HALTED"


async def test_with_a_failed_journal_an_exit_goes_once_and_never_beyond_the_position(tmp_path: Path) -> None:
    edge, broker = troubled(tmp_path)
    await edge.start()
    await edge.engine.submit(order())
    await fail_journal(edge)
    sequence = edge.journal.sequence
    text = body(CommandKind.EXIT, order=wire(side="SELL"), seconds=3600)
    for _ in range(3):
        await accept(edge, text)
    await accept(edge, body(CommandKind.EXIT, order=wire(side="SELL"), seconds=3600))
    assert [(str(row.side), row.filled) for row in await edge.paper.book()] == [("BUY", 10), ("SELL", 10)]
    assert broker.places == 2
    assert edge.engine.book.flat
    assert edge.journal.sequence == sequence, "nothing of it pretends to be journalled"
    edge.crash()
    again = await Edge(tmp_path).start()
    await accept(again, text)
    assert again.engine.book.flat, "the next start found it in the broker's book"
    await again.stop()


async def test_with_a_failed_journal_an_unknown_exit_is_still_looked_up(tmp_path: Path) -> None:
    edge, broker = troubled(tmp_path)
    await edge.start()
    await edge.engine.submit(order())
    await fail_journal(edge)
    broker.after = Once(OutcomeUnknownError("lost"))
    made = order(side=Side.SELL, purpose=Purpose.EXIT)
    edge.engine.recovery.resolve(new_id())
    watching = asyncio.create_task(edge.engine.recovery.watch())
    await edge.engine.submit(made)
    await until(lambda: edge.engine.book.orders[made.id].state.terminal)
    watching.cancel()
    assert state_of(edge, made) == ("FILLED", 10, "")
    await edge.stop()


async def test_a_stuck_order_is_looked_up_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.engine._STUCK_SECONDS", 0.001)
    edge, broker = troubled(tmp_path)
    await edge.start()
    broker.after = Once(OutcomeUnknownError("lost"))
    made = order()
    edge.engine.router.resolve = lambda order_id: None
    await edge.engine.submit(made)
    edge.wall.move(1)
    tasks = [asyncio.create_task(run()) for run in (edge.engine.watch_stuck, edge.engine.recovery.watch)]
    await until(lambda: edge.engine.book.orders[made.id].state.terminal)
    for task in tasks:
        task.cancel()
    assert state_of(edge, made)[0] == "FILLED"
    await edge.stop()


async def test_updates_of_strangers_are_ignored(edge: Edge) -> None:
    before = edge.journal.sequence
    stranger = order()
    row = await edge.paper.place(stranger, broker_tag(stranger.id))
    await edge.engine.router.on_row(row)
    assert edge.journal.sequence == before


async def test_a_command_that_fails_is_counted_and_the_next_one_works(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.engine.router, "place", broken)
    task = edge.engine.accept(body(CommandKind.PLACE, order=wire()))
    assert task is not None
    assert edge.engine.busy is False
    await edge.engine.one_done()
    await asyncio.wait([task])
    assert edge.engine.command_errors == 1
    monkeypatch.undo()
    await accept(edge, body(CommandKind.PLACE, order=wire()))
    assert len(await edge.paper.book()) == 1


async def broken(order: Order) -> None:
    raise RuntimeError("a defect")


async def test_drain_and_resume(edge: Edge) -> None:
    edge.engine.drain()
    made = order()
    await edge.engine.submit(made)
    edge.engine.resume()
    later = order()
    await edge.engine.submit(later)
    assert (state_of(edge, made)[2], state_of(edge, later)[0]) == ("draining", "FILLED")


async def test_a_quote_in_between_fills_what_rests(edge: Edge) -> None:
    following = asyncio.create_task(edge.engine.follow_broker())
    made = order(price_paise=9990, expires_at=NOW + timedelta(seconds=1))
    await edge.engine.submit(made)
    edge.wall.move(100)
    await edge.price(ask=9985, bid=9980)
    await until(lambda: edge.engine.book.orders[made.id].state.terminal)
    following.cancel()
    assert state_of(edge, made) == ("FILLED", 10, "")
    assert edge.market.quotes[SHARE] != quote()


async def test_a_listener_that_stumbles_keeps_no_entry_from_the_book(edge: Edge) -> None:
    def stumbles(changed: Order, entry: Entry) -> None:
        raise ValueError("a bug")

    edge.engine.order_listeners.append(stumbles)
    made = order()
    await edge.engine.submit(made)
    assert state_of(edge, made) == ("FILLED", 10, "")
    assert [step["event"] for step in edge.engine.book.timeline(made.id)] == [
        "order.intent",
        "order.sent",
        "order.acknowledged",
        "order.filled",
    ]
    assert edge.journal.sequence == len(await edge.types())
    assert edge.journal.listener_errors == 4


async def test_without_a_journal_no_new_risk_is_sent_whatever_the_flags_say(edge: Edge) -> None:
    await edge.journal.close()
    made = order()
    await edge.engine.submit(made)
    assert not edge.engine.inputs.journal_failed
    assert await edge.paper.book() == []
    assert state_of(edge, made) == ("CANCELLED", 0, "journal_failed")
