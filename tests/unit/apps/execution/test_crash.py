"""A kill at every durable step between a command and its fill: no order is lost, none is doubled.

The only things that outlive a process are its two files, so the steps that matter are the writes to them. Each run
kills at one of them, either before its commit (the write is lost) or after it (written, but nobody hears of it), drops
every object, opens the files again and recovers. Then the same command comes again, as it would from Redis.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tradingengine.brokers.port import RowState
from tradingengine.domain.ids import broker_tag, new_id
from tradingengine.domain.orders import Product
from tradingengine.domain.positions import PositionKey
from tradingengine.execution.commands import CommandKind
from tradingengine.storage.sqlite import SqliteFile

from tests.unit.apps.execution.kit import SHARE, Edge, body, wire

pytestmark = pytest.mark.unit

KEY = PositionKey("default", "paper", SHARE, Product.MIS)


class Killer:
    """Lets `steps` writes through, and kills at the next one: before its commit, or after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int, *, committed: bool) -> None:
        self._monkeypatch = monkeypatch
        self._left = steps
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self.killed = asyncio.Event()

    def arm(self) -> None:
        one = SqliteFile._one
        killer = self

        def counted(self: SqliteFile, connection: Any, work: Any, future: Any) -> None:
            if killer._left > 0:
                killer._left -= 1
                one(self, connection, work, future)
                return
            if killer._left == 0 and killer._committed:
                one(self, connection, work, killer._loop.create_future())
            killer._left = -1
            killer._loop.call_soon_threadsafe(killer.killed.set)

        self._monkeypatch.setattr(SqliteFile, "_one", counted)

    def disarm(self) -> None:
        self._monkeypatch.undo()


async def kill_during(edge: Edge, killer: Killer, act: Callable[[Edge], Awaitable[None]]) -> bool:
    """Whether the killer struck before `act` was through; if so nothing of the edge is left but its files."""
    killer.arm()
    acting = asyncio.ensure_future(act(edge))
    struck = asyncio.create_task(killer.killed.wait())
    await asyncio.wait([acting, struck], return_when=asyncio.FIRST_COMPLETED)
    died = not acting.done()
    edge.crash()
    me = asyncio.current_task()
    rest = [task for task in asyncio.all_tasks() if task is not me]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    killer.disarm()
    return died


async def place(edge: Edge, text: str) -> None:
    task = edge.engine.accept(text)
    if task is not None:
        await task
    await edge.heard()


async def check_both_books_agree(edge: Edge, order_id: str) -> str:
    """The order's state, after it was compared with the paper book in every way."""
    order = edge.engine.book.orders[order_id]
    rows = [row for row in await edge.paper.book() if row.tag == broker_tag(order_id)]
    assert len(rows) <= 1
    if not rows:
        assert order.filled_quantity == 0
        assert order.state.terminal
        return str(order.state)
    (row,) = rows
    assert order.filled_quantity == row.filled
    assert order.state.terminal == row.state.terminal
    position = edge.engine.book.positions.get(KEY)
    assert (0 if position is None else position.quantity) == order.side.sign * row.filled
    return str(order.state)


async def run_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, steps: int, *, committed: bool, fields: dict[str, Any]
) -> tuple[bool, str]:
    """One kill after `steps` writes; whether it struck, and the order's state at the end."""
    order_id = new_id()
    text = body(CommandKind.PLACE, command_id=order_id, order=wire(**fields))
    edge = await Edge(folder).start()
    died = await kill_during(edge, Killer(monkeypatch, steps, committed=committed), lambda one: place(one, text))
    again = Edge(folder)
    if fields.get("price_paise") == 9990:
        again.market.quotes[SHARE] = edge.market.quotes[SHARE]
    await again.start()
    if order_id in again.engine.book.orders:
        await check_both_books_agree(again, order_id)
    await place(again, text)
    state = await check_both_books_agree(again, order_id)
    assert len(await again.paper.book()) <= 1
    types = await again.types()
    assert types.count("order.intent") == 1
    assert types.count("order.sent") <= 1
    assert types.count("order.filled") <= 1
    await again.stop()
    return died, state


@pytest.mark.parametrize("committed", [False, True], ids=["write lost", "write kept"])
@pytest.mark.parametrize(
    ("fields", "states"),
    [
        ({}, {"FILLED", "OPEN", "REJECTED"}),
        ({"type": "LIMIT", "price_paise": 9990}, {"OPEN", "REJECTED"}),
        ({"type": "LIMIT", "price_paise": 10005, "quantity": 50, "validity": "IOC"}, {"FILLED", "OPEN", "REJECTED"}),
    ],
    ids=["market", "resting limit", "immediate"],
)
async def test_a_kill_at_every_step_of_an_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], states: set[str], committed: bool
) -> None:
    ends: list[str] = []
    for steps in range(50):
        folder = tmp_path / str(steps)
        died, state = await run_once(folder, monkeypatch, steps, committed=committed, fields=fields)
        ends.append(state)
        if not died:
            break
    else:
        pytest.fail("the order never got through")
    assert len(ends) >= 4, "intent, number, book and acknowledgement are writes of their own"
    # Rejected: it never arrived. Open: killed between the book and the match; the next quote goes on with it.
    assert set(ends) == states
    assert ends[-1] == ("FILLED" if "FILLED" in states else "OPEN")


@pytest.mark.parametrize("committed", [False, True], ids=["write lost", "write kept"])
async def test_a_kill_at_every_step_of_a_cancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    for steps in range(50):
        folder = tmp_path / str(steps)
        order_id, cancel_id = new_id(), new_id()
        edge = await Edge(folder).start()
        fields = {"type": "LIMIT", "price_paise": 9990}
        await place(edge, body(CommandKind.PLACE, command_id=order_id, order=wire(**fields)))
        text = body(CommandKind.CANCEL, command_id=cancel_id, target=order_id)
        killer = Killer(monkeypatch, steps, committed=committed)
        died = await kill_during(edge, killer, lambda one, text=text: place(one, text))  # type: ignore[misc]
        again = await Edge(folder).start()
        await place(again, text)
        assert await check_both_books_agree(again, order_id) == "CANCELLED"
        assert (await again.types()).count("command.done") == 1
        await again.stop()
        if not died:
            return
    pytest.fail("the cancel never got through")


@pytest.mark.parametrize("committed", [False, True], ids=["write lost", "write kept"])
async def test_a_kill_at_every_step_of_a_halt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: bool) -> None:
    for steps in range(50):
        folder = tmp_path / str(steps)
        edge = await Edge(folder).start()
        orders = [new_id(), new_id()]
        for order_id in orders:
            fields = {"type": "LIMIT", "price_paise": 9990}
            await place(edge, body(CommandKind.PLACE, command_id=order_id, order=wire(**fields)))
        text = body(CommandKind.HALT)
        killer = Killer(monkeypatch, steps, committed=committed)
        died = await kill_during(edge, killer, lambda one, text=text: place(one, text))  # type: ignore[misc]
        again = await Edge(folder).start()
        if again.engine.book.halt is not None:
            assert all(again.engine.book.orders[order_id].state.terminal for order_id in orders)
        await place(again, text)
        assert again.engine.document()["trading_state"] == "HALTED"
        assert {str(again.engine.book.orders[order_id].state) for order_id in orders} == {"CANCELLED"}
        assert {row.state for row in await again.paper.book()} == {RowState.CANCELLED}
        await again.stop()
        if not died:
            return
    pytest.fail("the halt never got through")


@pytest.mark.parametrize("committed", [False, True], ids=["write lost", "write kept"])
async def test_a_kill_at_every_step_of_the_recovery_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    for steps in range(60):
        folder = tmp_path / str(steps)
        order_id = new_id()
        text = body(CommandKind.PLACE, command_id=order_id, order=wire())
        edge = await Edge(folder).start()
        # The first kill leaves an order in the broker's book that the journal knows as sent only.
        await kill_during(edge, Killer(monkeypatch, 3, committed=True), lambda one, text=text: place(one, text))  # type: ignore[misc]
        second = await Edge(folder).start(recover=False)
        assert str(second.engine.book.orders[order_id].state) == "SENT"
        died = await kill_during(second, Killer(monkeypatch, steps, committed=committed), recover)
        third = await Edge(folder).start()
        await third.price(ask=10000, bid=9995)
        await third.heard()
        assert await check_both_books_agree(third, order_id) == "FILLED"
        await third.stop()
        if not died:
            return
    pytest.fail("the recovery never got through")


async def recover(edge: Edge) -> None:
    await edge.engine.recover()
