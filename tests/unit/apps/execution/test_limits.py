"""Limits in money at the edge's gate: new risk alone is held, whoever wants it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tradingengine.brokers.port import BookRow
from tradingengine.domain.orders import Order, OrderType, Purpose, Side, Source
from tradingengine.domain.positions import key_of
from tradingengine.domain.reasons import ReasonCode
from tradingengine.domain.risk import AccountingDay, Limits
from tradingengine.execution.journal import Entry
from tradingengine.storage.events import decode_event
from tradingengine.storage.projection import Projection

from tests.unit.apps.execution.kit import LIMITS, NOW, SHARE, Edge, order, quote, until

pytestmark = pytest.mark.unit

ASK, BID = 10_005, 10_000
"""Of the kit's quote, in paise."""


def limits(**changes: int) -> Limits:
    """Wide ones, but for `changes`."""
    return msgspec.structs.replace(LIMITS, **changes)


async def outcome(edge: Edge, **fields: Any) -> str:
    """The state in which a new order ends up, or the code of the reason why it went no further."""
    made = order(**fields)
    await edge.engine.submit(made)
    found = edge.engine.book.orders[made.id]
    return str(found.state) if found.reason is None else found.reason.code


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({}, ASK),
        ({"price_paise": 9_000}, 9_000),
        ({"side": Side.SELL}, BID),
        ({"side": Side.SELL, "price_paise": 9_000}, BID),
        ({"side": Side.SELL, "price_paise": 11_000}, 11_000),
        ({"type": OrderType.SL_M, "trigger_price_paise": 10_500}, 10_500),
        ({"source": Source.STRATEGY, "strategy": "ema"}, ASK),
        ({"dry_run": True}, ASK),
    ],
)
async def test_an_order_above_the_limit_of_one_order_is_refused(
    tmp_path: Path, fields: dict[str, Any], price: int
) -> None:
    edge = await Edge(tmp_path, limits=limits(order_paise=10 * price)).start()
    assert await outcome(edge, quantity=11, **fields) == "order_value"
    assert await edge.paper.book() == []
    refused = [entry.data for entry in await edge.journal.read(0) if entry.type in ("order.rejected", "order.dry_run")]
    assert [(data["code"], bool(data["mend"])) for data in refused] == [("order_value", True)]
    label = {"release": "", "slot": "", "outcome": "dry_run" if "dry_run" in fields else "rejected"}
    assert edge.value("tradingengine_edge_orders_total", **label, reason="order_value") == 1
    assert await outcome(edge, quantity=10, **fields) in ("FILLED", "OPEN", "DRY_RUN")
    await edge.stop()


async def test_a_position_counts_what_is_held_and_what_works(tmp_path: Path) -> None:
    edge = await Edge(tmp_path, limits=limits(position_paise=30 * ASK)).start()
    assert await outcome(edge) == "FILLED"
    resting = order(price_paise=9_000)
    await edge.engine.submit(resting)
    assert await outcome(edge, quantity=11) == "position_value"
    assert await outcome(edge, quantity=11, dry_run=True) == "position_value"
    assert await outcome(edge) == "FILLED"
    assert await outcome(edge, quantity=1) == "position_value"
    await edge.engine.router.cancel(resting.id, by="asha", code=ReasonCode.CANCELLED_BY_USER)
    assert await outcome(edge, quantity=1) == "FILLED"
    await edge.stop()


async def test_orders_on_their_way_count_before_the_broker_has_them(tmp_path: Path) -> None:
    edge = await Edge(tmp_path, limits=limits(position_paise=20 * ASK)).start()
    assert sorted(await asyncio.gather(*(outcome(edge) for _ in range(3)))) == ["FILLED", "FILLED", "position_value"]
    await edge.stop()


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
async def test_an_order_that_has_filled_before_its_answer_came_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: Side
) -> None:
    """The broker's stream may be faster than its answer: the units are in the position then, and on their way no more.

    Counted twice they would refuse a BUY within the limit, and an exit of what is really held.
    """
    edge = await Edge(tmp_path, limits=limits(position_paise=30 * ASK)).start()
    assert await outcome(edge, quantity=20) == "FILLED"
    place, answer = edge.paper.place, asyncio.Event()

    async def place_and_answer_late(sent: Order, tag: str) -> BookRow:
        row = await place(sent, tag)
        await edge.engine.router.on_row(row)
        await answer.wait()
        return row

    monkeypatch.setattr(edge.paper, "place", place_and_answer_late)
    purpose = Purpose.ENTRY if side is Side.BUY else Purpose.EXIT
    first = order(side=side, quantity=5, purpose=purpose)
    slow = asyncio.create_task(edge.engine.submit(first))
    await until(lambda: first.id in edge.engine.book.orders and edge.engine.book.orders[first.id].state.terminal)
    monkeypatch.setattr(edge.paper, "place", place)
    assert await outcome(edge, side=side, quantity=5 if side is Side.BUY else 15, purpose=purpose) == "FILLED"
    answer.set()
    await slow
    await edge.stop()


async def test_an_order_that_turns_a_position_round_counts_what_is_left_of_it(tmp_path: Path) -> None:
    edge = await Edge(tmp_path, limits=limits(position_paise=10 * ASK)).start()
    assert await outcome(edge) == "FILLED"
    assert await outcome(edge, side=Side.SELL, quantity=21) == "position_value"
    assert await outcome(edge, side=Side.SELL, quantity=20) == "FILLED"
    assert [position.quantity for position in edge.engine.book.positions.values()] == [-10]
    await edge.stop()


async def test_a_day_that_has_lost_its_limit_takes_no_new_risk_until_it_is_better(tmp_path: Path) -> None:
    edge = await Edge(tmp_path, limits=limits(daily_loss_paise=10 * 1_000)).start()
    assert await outcome(edge) == "FILLED"
    await edge.price(last=ASK - 999)
    assert await outcome(edge, quantity=1, price_paise=5_000) == "OPEN"
    await edge.price(last=ASK - 1_000)
    assert await outcome(edge, quantity=1) == "daily_loss"
    assert await outcome(edge, quantity=1, source=Source.STRATEGY, strategy="ema") == "daily_loss"
    await edge.price(last=ASK - 999)
    assert await outcome(edge, quantity=1) == "FILLED"
    await edge.stop()


@pytest.mark.parametrize("change", ["date", "run"])
async def test_what_was_lost_on_another_day_does_not_count_and_a_restart_forgets_nothing(
    tmp_path: Path, change: str
) -> None:
    few = limits(daily_loss_paise=10 * 5)  # a round trip at the kit's quote loses 5 paise a share
    edge = await Edge(tmp_path, limits=few).start()
    assert await outcome(edge, purpose=Purpose.ENTRY) == "FILLED"
    assert await outcome(edge, side=Side.SELL, purpose=Purpose.EXIT) == "FILLED"
    assert edge.engine.book.flat
    assert await outcome(edge) == "daily_loss"
    edge.crash()
    again = await Edge(tmp_path, limits=few).start()
    assert await outcome(again) == "daily_loss"
    if change == "date":
        again.market.at = NOW + timedelta(days=1)
    else:
        again.market.run = again.journal.run = "the-next-run"
    assert await outcome(again) == "FILLED"
    await again.stop()


async def test_a_position_without_a_price_counts_what_it_has_realised_as_the_summary_does(tmp_path: Path) -> None:
    edge = await Edge(tmp_path, limits=limits(daily_loss_paise=10 * 5)).start()
    other = "NSE:XYZ"
    edge.market.instruments[other] = msgspec.structs.replace(edge.market.instruments[SHARE], symbol=other)
    edge.market.quotes[other] = quote(symbol=other)
    assert await outcome(edge, symbol=other) == "FILLED"
    assert await outcome(edge) == "daily_loss"
    del edge.market.quotes[other]
    assert await outcome(edge) == "FILLED"
    await edge.stop()


async def test_no_limit_in_money_holds_up_what_reduces(tmp_path: Path) -> None:
    tight = limits(order_paise=10 * ASK, position_paise=10 * ASK, daily_loss_paise=1)
    edge = await Edge(tmp_path, limits=tight).start()
    assert await outcome(edge) == "FILLED"
    await edge.price(bid=20_000, ask=20_005, last=20_000)
    assert await outcome(edge) == "order_value"
    await edge.price(bid=20_000, ask=20_005, last=5_000)
    assert await outcome(edge) == "daily_loss"
    assert await outcome(edge, side=Side.SELL, quantity=4, purpose=Purpose.ENTRY) == "FILLED"
    assert await outcome(edge, side=Side.SELL, quantity=6, purpose=Purpose.EXIT) == "FILLED"
    assert edge.engine.book.flat
    await edge.stop()


async def test_the_edge_and_the_cloud_begin_the_same_days(tmp_path: Path) -> None:
    edge = await Edge(tmp_path).start()
    for days, run, side in ((0, "r1", Side.BUY), (0, "r1", Side.SELL), (1, "r1", Side.BUY), (1, "r2", Side.SELL)):
        edge.market.at = NOW + timedelta(days=days)
        edge.market.run = edge.journal.run = run
        await edge.engine.submit(order(side=side, quantity=7 if days else 10))
    projection = Projection({}, {})
    entries: list[Entry] = await edge.journal.read(0)
    for entry in entries:
        projection.apply(decode_event(entry.body(edge.journal.uuid).decode()))
    assert projection.problems == []
    ((key, stored),) = projection.positions.items()
    assert key == key_of(order())
    assert stored.position == edge.engine.book.positions[key]
    cloud = AccountingDay(stored.day, stored.run, stored.realised_before_paise)
    assert cloud == edge.engine.book.days[key]
    assert cloud.realised_before_paise == -50
    await edge.stop()
