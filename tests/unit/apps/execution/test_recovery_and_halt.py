"""What a start finds: the broker's book is asked, never the journal alone. And halts, which outlive a restart."""

import asyncio
from pathlib import Path

import pytest
from tradingengine.brokers.port import BookRow, OutcomeUnknownError
from tradingengine.domain.ids import broker_tag, new_id
from tradingengine.domain.orders import OrderType, Purpose, Side, TradingState
from tradingengine.execution import drafts, recovery
from tradingengine.execution.book import OrderBook
from tradingengine.execution.commands import CommandKind
from tradingengine.execution.journal import Draft

from tests.unit.apps.execution.kit import NOW, SHARE, Edge, body, order, until
from tests.unit.apps.execution.test_flow import Once, accept, fail_journal, state_of, troubled

pytestmark = pytest.mark.unit


async def restart(edge: Edge, folder: Path) -> Edge:
    edge.crash()
    return await Edge(folder).start()


async def test_a_restart_shows_what_was_shown_before(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = [order(), order(price_paise=9990), order(dry_run=True), order(quantity=0), order(expires_at=NOW)]
    for one in made:
        await edge.engine.submit(one)
    before = {one.id: state_of(edge, one) for one in made}
    positions = dict(edge.engine.book.positions)
    timelines = [edge.engine.book.timeline(one.id) for one in made]
    again = await restart(edge, tmp_path)
    assert {one.id: state_of(again, one) for one in made} == before
    assert again.engine.book.positions == positions
    assert [again.engine.book.timeline(one.id) for one in made] == timelines
    report = (await again.journal.read(0))[-1]
    assert (report.type, report.data) == ("edge.recovered", {"asked": 1, "found": 1, "missing": 0, "adopted": 0})
    await again.stop()


async def test_fills_that_happened_while_away_are_found(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    await edge.price(ask=9985, bid=9980)  # the broker filled it, the engine never heard
    assert state_of(edge, made)[0] == "OPEN"
    again = await restart(edge, tmp_path)
    assert state_of(again, made) == ("FILLED", 10, "")
    await again.stop()


async def test_an_intent_without_a_send_is_expired_and_not_sent(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = order()
    await edge.journal.record(drafts.intent(made))
    again = await restart(edge, tmp_path)
    assert state_of(again, made) == ("EXPIRED", 0, "expired")
    assert await again.paper.book() == []
    await again.stop()


async def test_orders_that_only_the_broker_knows_are_adopted(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    lost = order(side=Side.SELL)
    await edge.paper.place(lost, broker_tag(lost.id))
    await edge.paper.place(order(), "someone-elses-order")
    again = await restart(edge, tmp_path)
    assert state_of(again, lost) == ("FILLED", 10, "")
    assert again.engine.book.orders[lost.id].purpose is Purpose.ADOPTED
    assert len(again.engine.book.orders) == 1
    report = (await again.journal.read(0))[-1]
    assert report.data["adopted"] == 1
    again = await restart(again, tmp_path)
    assert (await again.journal.read(0))[-1].data["adopted"] == 0
    assert len(again.engine.book.orders) == 1
    await again.stop()


async def test_a_late_fill_of_an_ended_order_is_counted(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = order(price_paise=10005)
    await edge.journal.record(drafts.intent(made), drafts.sent(made, 10))
    await edge.journal.record(Draft("order.cancelled", {"code": "cancelled_by_user"}, made.id))
    await edge.paper.place(made, broker_tag(made.id))
    again = await restart(edge, tmp_path)
    assert state_of(again, made)[:2] == ("FILLED", 10)
    await again.stop()


async def test_the_gate_stays_shut_until_the_broker_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.recovery._FIRST_PAUSE", 0.001)
    first, broker = troubled(tmp_path)
    await first.start()
    resting = order(price_paise=9990)
    await first.engine.submit(resting)
    first.crash()
    edge, broker = troubled(tmp_path)
    asked = 0

    def asleep() -> BaseException:
        nonlocal asked
        asked += 1
        return OutcomeUnknownError("asleep")

    broker.before = asleep
    await edge.start(recover=False)
    recovering = asyncio.create_task(edge.engine.recover())
    await until(lambda: asked >= 3)
    made = order()
    await edge.engine.submit(made)
    assert state_of(edge, made)[2] == "not_recovered"
    assert edge.engine.document()["recovered"] is False
    broker.before = Once(None, OutcomeUnknownError("still sleepy"), TimeoutError())
    report = await asyncio.wait_for(recovering, 10)
    assert (report.asked, report.found) == (1, 1)
    assert edge.engine.document()["recovered"] is True
    await edge.stop()


async def test_a_cancel_that_was_asked_for_before_the_kill_is_finished_after_it(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    await edge.journal.record(drafts.cancel_requested(made.id, by="asha", code="cancelled_by_user"))
    again = await restart(edge, tmp_path)
    assert state_of(again, made) == ("CANCELLED", 0, "cancelled_by_user")
    await again.stop()


async def test_a_halt_closes_the_gate_and_cancels_entries_only(edge: Edge) -> None:
    await edge.engine.submit(order(quantity=20))
    entries = [order(price_paise=9990), order(type=OrderType.SL_M, trigger_price_paise=10100)]
    stop = order(side=Side.SELL, type=OrderType.SL_M, trigger_price_paise=9900, purpose=Purpose.STOP)
    leave = order(side=Side.SELL, price_paise=10100, purpose=Purpose.EXIT)
    for one in (*entries, stop, leave):
        await edge.engine.submit(one)
    halt_id = new_id()
    await accept(edge, body(CommandKind.HALT, command_id=halt_id))
    assert [state_of(edge, one)[0] for one in (*entries, stop, leave)] == ["CANCELLED", "CANCELLED", "OPEN", "OPEN"]
    assert state_of(edge, entries[0])[2] == "cancelled_by_halt"
    done = (await edge.journal.read(0))[-1]
    assert done.data == {"kind": "halt", "result": "confirmed", "total": 2, "cancelled": 2}
    assert edge.engine.book.halt is not None
    assert (edge.engine.book.halt.id, edge.engine.book.halt.by) == (halt_id, "asha")
    refused = order()
    await edge.engine.submit(refused)
    assert state_of(edge, refused)[2] == "halted"


async def test_a_halt_cancels_whatever_does_not_reduce_whatever_its_purpose_says(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    await edge.engine.submit(order())
    stop = order(side=Side.SELL, type=OrderType.SL_M, trigger_price_paise=9900, purpose=Purpose.STOP)
    await edge.engine.submit(stop)
    # The broker's book holds what the journal never saw: a bid, and an offer beyond what the position has left.
    bid, offer = order(price_paise=9000), order(side=Side.SELL, price_paise=11000)
    for one in (bid, offer):
        await edge.paper.place(one, broker_tag(one.id))
    again = await restart(edge, tmp_path)
    assert {again.engine.book.orders[one.id].purpose for one in (bid, offer)} == {Purpose.ADOPTED}
    await accept(again, body(CommandKind.HALT))
    assert [state_of(again, one)[0] for one in (stop, bid, offer)] == ["OPEN", "CANCELLED", "CANCELLED"]
    assert (await again.journal.read(0))[-1].data["total"] == 2
    await again.stop()


async def test_a_stop_without_its_position_does_not_outlive_a_halt(edge: Edge) -> None:
    await edge.engine.submit(order())
    stop = order(side=Side.SELL, type=OrderType.SL_M, trigger_price_paise=9900, purpose=Purpose.STOP)
    await edge.engine.submit(stop)
    await edge.engine.submit(order(side=Side.SELL))
    assert state_of(edge, stop)[0] == "OPEN"
    await accept(edge, body(CommandKind.HALT))
    assert state_of(edge, stop) == ("CANCELLED", 0, "cancelled_by_halt")


async def test_a_halt_survives_a_restart_and_a_release_ends_it(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    halt_id = new_id()
    await accept(edge, body(CommandKind.HALT, command_id=halt_id))
    again = await restart(edge, tmp_path)
    refused = order()
    await again.engine.submit(refused)
    assert state_of(again, refused)[2] == "halted"
    for _ in range(2):
        await accept(again, body(CommandKind.RELEASE, target=halt_id))
    results = [entry.data["result"] for entry in await again.journal.read(0) if entry.type == "command.done"]
    assert results == ["confirmed", "released", "not_halted"]
    later = await restart(again, tmp_path)
    taken = order()
    await later.engine.submit(taken)
    assert state_of(later, taken)[0] == "FILLED"
    assert later.engine.book.trading_state is TradingState.ACTIVE
    await later.stop()


async def test_an_order_on_its_way_when_the_halt_comes_is_not_sent(edge: Edge) -> None:
    made = order()
    placing = edge.engine.start(made)
    assert placing is not None
    halting = edge.engine.accept(body(CommandKind.HALT))
    assert halting is not None
    await asyncio.gather(placing, halting)
    assert state_of(edge, made)[0] in ("CANCELLED", "REJECTED")
    assert await edge.paper.book() == []


async def test_a_halt_goes_on_until_the_broker_has_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.router._CANCEL_PAUSE", 0)
    monkeypatch.setattr("tradingengine.execution.loops.FIRST_PAUSE", 0.001)
    edge, broker = troubled(tmp_path)
    await edge.start()
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    broker.before = Once(*[TimeoutError()] * 7)
    await accept(edge, body(CommandKind.HALT, seconds=0))
    done = (await edge.journal.read(0))[-1]
    assert done.data == {"kind": "halt", "result": "confirmed", "total": 1, "cancelled": 1}
    assert state_of(edge, made) == ("CANCELLED", 0, "cancelled_by_halt")
    await edge.stop()


async def test_a_release_ends_a_halt_that_waits_for_its_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.router._CANCEL_PAUSE", 0)
    monkeypatch.setattr("tradingengine.execution.loops.FIRST_PAUSE", 0.001)
    edge, broker = troubled(tmp_path)
    await edge.start()
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    broker.before = lambda: TimeoutError()
    halting = edge.engine.accept(body(CommandKind.HALT))
    assert halting is not None
    await until(lambda: edge.engine.book.halt is not None)
    assert not edge.engine.idle
    await accept(edge, body(CommandKind.RELEASE, target=edge.engine.halts.current))
    await asyncio.wait_for(halting, 10)
    results = [
        (entry.data["kind"], entry.data["result"]) for entry in await edge.journal.read(0) if "kind" in entry.data
    ]
    assert sorted(results) == [("halt", "released"), ("release", "released")]
    assert edge.engine.document()["trading_state"] == "ACTIVE"
    await edge.stop()


async def test_a_released_halt_does_not_come_back_with_its_command_after_a_crash(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    halt_id, release_id = new_id(), new_id()
    # A halt that waited for its broker was released, and the process died before it could write the halt's end.
    state = {"why": "", "by": "asha", "halt": halt_id}
    await edge.journal.record(
        drafts.trading_state(TradingState.HALTED, command_id=halt_id, **state),
        drafts.trading_state(TradingState.ACTIVE, command_id=release_id, **state),
        drafts.command_done(release_id, "release", "released"),
    )
    edge.crash()
    again = await Edge(tmp_path).start(recover=False)
    await accept(again, body(CommandKind.HALT, command_id=halt_id))
    await again.engine.recover()
    assert again.engine.document()["trading_state"] == "ACTIVE"
    (done,) = [e for e in await again.journal.read(0) if (e.id, e.type) == (halt_id, "command.done")]
    assert done.data == {"kind": "halt", "result": "released", "total": 0, "cancelled": 0}
    later = await restart(again, tmp_path)
    assert (await later.types()).count("command.done") == 2, "once each"
    await later.stop()


async def test_a_halt_that_a_kill_interrupted_is_carried_out_and_told_once(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    halt_id = new_id()
    await edge.journal.record(
        drafts.trading_state(TradingState.HALTED, why="", by="asha", command_id=halt_id, halt=halt_id)
    )
    again = await restart(edge, tmp_path)
    await accept(again, body(CommandKind.HALT, command_id=halt_id))
    assert state_of(again, made) == ("CANCELLED", 0, "cancelled_by_halt")
    (done,) = [e for e in await again.journal.read(0) if (e.id, e.type) == (halt_id, "command.done")]
    assert done.data == {"kind": "halt", "result": "confirmed", "total": 1, "cancelled": 1}
    assert again.engine.document()["trading_state"] == "HALTED"
    await again.stop()


@pytest.mark.parametrize("target", ["the one before", "none", "some other"])
async def test_a_release_opens_the_gate_for_the_halt_it_names_and_no_other(edge: Edge, target: str) -> None:
    first, second = new_id(), new_id()
    await accept(edge, body(CommandKind.HALT, command_id=first))
    await accept(edge, body(CommandKind.RELEASE, target=first))
    await accept(edge, body(CommandKind.HALT, command_id=second))
    named = {"the one before": first, "none": None, "some other": new_id()}[target]
    await accept(edge, body(CommandKind.RELEASE, target=named))
    done = (await edge.journal.read(0))[-1].data
    assert (done["kind"], done["result"], done["target"], done["halt"]) == (
        "release",
        "other_halt",
        named or "",
        second,
    )
    assert edge.engine.document()["trading_state"] == "HALTED"
    await accept(edge, body(CommandKind.RELEASE, target=second))
    assert edge.engine.document()["trading_state"] == "ACTIVE"


async def test_a_halt_that_was_pressed_again_is_released_by_its_newest_name(edge: Edge) -> None:
    first, second = new_id(), new_id()
    for halt_id in (first, second):
        await accept(edge, body(CommandKind.HALT, command_id=halt_id))
    await accept(edge, body(CommandKind.RELEASE, target=first))
    assert edge.engine.document()["trading_state"] == "HALTED"
    await accept(edge, body(CommandKind.RELEASE, target=second))
    assert edge.engine.document()["trading_state"] == "ACTIVE"
    assert (await edge.journal.read(0))[-2].data["halt"] == second


async def test_a_halt_in_the_middle_of_a_release_holds(edge: Edge) -> None:
    await accept(edge, body(CommandKind.HALT))
    releasing = edge.engine.accept(body(CommandKind.RELEASE, target=edge.engine.halts.current))
    await asyncio.sleep(0)
    halting = edge.engine.accept(body(CommandKind.HALT))
    assert releasing is not None
    assert halting is not None
    made = order()
    while not releasing.done():
        await asyncio.sleep(0)
        assert edge.engine.document()["trading_state"] == "HALTED"
    await asyncio.gather(halting, edge.engine.submit(made))
    assert state_of(edge, made)[2] == "halted"


async def test_a_late_release_does_not_open_the_gate(edge: Edge) -> None:
    await accept(edge, body(CommandKind.HALT, seconds=0))
    await accept(edge, body(CommandKind.RELEASE, seconds=0, target=edge.engine.halts.current))
    assert edge.engine.document()["trading_state"] == "HALTED"
    assert (await edge.journal.read(0))[-1].data == {"kind": "release", "result": "expired"}


async def test_an_entry_of_unknown_outcome_is_cancelled_once_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.router._CANCEL_PAUSE", 0)
    edge, broker = troubled(tmp_path)
    await edge.start()
    broker.after = Once(OutcomeUnknownError("lost"))
    made = order(price_paise=9990)
    await edge.engine.submit(made)
    broker.before = lambda: OutcomeUnknownError("still lost")
    halting = edge.engine.accept(body(CommandKind.HALT))
    assert halting is not None
    await until(lambda: edge.engine.book.orders[made.id].cancel_requested)
    assert state_of(edge, made)[0] == "UNKNOWN"
    broker.before = lambda: None
    await edge.engine.recovery.settle(made.id)
    await asyncio.wait_for(halting, 10)
    assert state_of(edge, made) == ("CANCELLED", 0, "cancelled_by_halt")
    assert edge.engine.book.unknown_symbols() == set()
    await edge.stop()


async def test_orders_that_the_broker_does_not_answer_for_hold_up_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.recovery._PATIENCE", 0.01)
    edge, broker = troubled(tmp_path)
    await edge.start()
    made = [order(price_paise=9990) for _ in range(2 * recovery._AT_ONCE + 1)]
    for one in made:
        await edge.journal.record(drafts.intent(one), drafts.sent(one, 10))
        await edge.paper.place(one, broker_tag(one.id))
    answered = broker_tag(made[-1].id)
    by_tag = broker.by_tag

    async def only_one(tag: str) -> BookRow | None:
        if tag != answered:
            raise OutcomeUnknownError("busy")
        return await by_tag(tag)

    monkeypatch.setattr(broker, "by_tag", only_one)
    for one in made:
        edge.engine.recovery.resolve(one.id)
    watching = asyncio.create_task(edge.engine.recovery.watch())
    await until(lambda: state_of(edge, made[-1])[0] == "OPEN")
    await until(lambda: edge.engine.recovery.waiting == len(made) - 1)
    monkeypatch.setattr(broker, "by_tag", by_tag)
    await until(lambda: edge.engine.recovery.waiting == 0)
    watching.cancel()
    assert {state_of(edge, one)[0] for one in made} == {"OPEN"}
    await edge.stop()


async def test_the_queue_of_lookups_is_bounded(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_MOST_QUEUED", 3)
    ids = [new_id() for _ in range(5)]
    for order_id in (*ids, *ids):
        edge.engine.recovery.resolve(order_id)
    assert edge.engine.recovery.waiting == 3
    assert edge.value("tradingengine_edge_lookups_pending") == 3


async def test_an_entry_that_does_not_fit_is_counted_and_changes_nothing(edge: Edge) -> None:
    made = order()
    await edge.engine.submit(made)
    before = state_of(edge, made)
    await edge.journal.record(drafts.sent(made, 10), drafts.intent(made), drafts.sent(order(), 10))
    assert edge.engine.book.illegal == 1
    assert state_of(edge, made) == before
    assert made.symbol == SHARE


async def test_a_journal_that_fails_during_recovery_does_not_end_the_edge(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    made = order()
    await edge.engine.submit(made)
    edge.crash()
    again = Edge(tmp_path)
    await again.engine.open()
    again.engine.book.become(OrderBook())  # the journal lost it, or memory forgot it
    await again.paper.start()
    await fail_journal(again)
    await again.engine.recover()
    assert again.engine.book.orders == {}, "nothing is adopted that may be in the journal"
    assert again.engine.gate.closed_for_new_risk() is not None
    await again.stop()


async def test_a_report_that_cannot_be_taken_is_asked_for_and_holds_up_no_other(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = order(price_paise=9990), order(price_paise=9990)
    await edge.engine.submit(first)
    await edge.engine.submit(second)
    await edge.heard()
    await edge.price(ask=9985, bid=9980)
    on_row, tags = edge.engine.router.on_row, []

    async def stumbles(row: BookRow, order_id: str | None = None) -> None:
        tags.append(row.tag)
        if len(tags) == 1:
            raise ValueError("a bug")
        await on_row(row, order_id)

    monkeypatch.setattr(edge.engine.router, "on_row", stumbles)
    with pytest.raises(ValueError, match="a bug"):
        await edge.engine.follow_broker()
    assert tags == [broker_tag(first.id)]
    loops = [asyncio.create_task(loop()) for loop in (edge.engine.follow_broker, edge.engine.recovery.watch)]
    await until(lambda: not edge.engine.book.open_orders())
    assert state_of(edge, first) == state_of(edge, second) == ("FILLED", 10, "")
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
