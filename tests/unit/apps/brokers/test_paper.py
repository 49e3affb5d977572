"""The paper broker: what fills, at what price, how much of it; what is refused; what a crash leaves."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest
from tradingengine.brokers.paper import PaperBroker
from tradingengine.brokers.paper.matching import protected_limit
from tradingengine.brokers.port import BookRow, BrokerError, NotSentError, OutcomeUnknownError, RowState
from tradingengine.domain.capabilities import CAPABILITIES
from tradingengine.domain.ids import broker_tag
from tradingengine.domain.orders import Order, OrderType, Product, Side, Validity
from tradingengine.storage.sqlite import SqliteFileError

from tests.unit.apps.execution.kit import NOW, SHARE, FakeMarket, order, quote

pytestmark = pytest.mark.unit

BUY, SELL, SL, SL_M = Side.BUY, Side.SELL, OrderType.SL, OrderType.SL_M
IOC = Validity.IOC
NO_ASK = {"ask": 0, "ask_quantity": 0}
BOOK = {"bid": 10000, "ask": 10005, "bid_quantity": 100, "ask_quantity": 100}


class Paper:
    """A paper broker on a folder with a settable market."""

    def __init__(self, folder: Path) -> None:
        self.market = FakeMarket()
        self.broker = PaperBroker(folder / "book.sqlite", self.market, latency=0)

    async def place(self, **changes: Any) -> tuple[Order, BookRow]:
        made = order(**changes)
        return made, await self.broker.place(made, broker_tag(made.id))

    async def price(self, **changes: Any) -> None:
        made = quote(**changes)
        self.market.quotes[made.symbol] = made
        await self.broker.on_quotes([made])

    async def row(self, made: Order) -> BookRow:
        found = await self.broker.by_tag(broker_tag(made.id))
        assert found is not None
        return found


@pytest.fixture
async def paper(tmp_path: Path) -> Any:
    made = Paper(tmp_path)
    await made.broker.start()
    yield made
    await made.broker.close()


def executions(row: BookRow) -> list[tuple[int, int]]:
    return [(fill.quantity, fill.price_paise) for fill in row.fills]


@pytest.mark.parametrize(
    ("order_fields", "book", "fills", "state"),
    [
        ({"side": BUY, "price_paise": 10005}, BOOK, [(10, 10005)], "FILLED"),
        ({"side": BUY, "price_paise": 10100}, BOOK, [(10, 10005)], "FILLED"),
        ({"side": BUY, "price_paise": 10000}, BOOK, [], "OPEN"),
        ({"side": BUY, "price_paise": 10000}, {**BOOK, "last": 9000}, [], "OPEN"),
        ({"side": SELL, "price_paise": 10000}, BOOK, [(10, 10000)], "FILLED"),
        ({"side": SELL, "price_paise": 9900}, BOOK, [(10, 10000)], "FILLED"),
        ({"side": SELL, "price_paise": 10005}, BOOK, [], "OPEN"),
        ({"side": BUY}, BOOK, [(10, 10005)], "FILLED"),
        ({"side": SELL}, BOOK, [(10, 10000)], "FILLED"),
        ({"side": BUY, "quantity": 150}, BOOK, [(100, 10005)], "OPEN"),
        (
            {"side": BUY, "price_paise": 10005, "quantity": 150, "validity": IOC},
            BOOK,
            [(100, 10005)],
            "CANCELLED",
        ),
        ({"side": BUY, "price_paise": 10000, "validity": IOC}, BOOK, [], "CANCELLED"),
        ({"side": BUY}, NO_ASK, [], "OPEN"),
        ({"side": BUY, "validity": IOC}, NO_ASK, [], "CANCELLED"),
        (
            {"side": BUY, "type": SL, "price_paise": 10100, "trigger_price_paise": 10050},
            BOOK,
            [],
            "TRIGGER_PENDING",
        ),
        (
            {"side": BUY, "type": SL, "price_paise": 10100, "trigger_price_paise": 10000},
            BOOK,
            [(10, 10005)],
            "FILLED",
        ),
        ({"side": SELL, "type": SL_M, "trigger_price_paise": 9900}, BOOK, [], "TRIGGER_PENDING"),
        ({"side": SELL, "type": SL_M, "trigger_price_paise": 10000}, BOOK, [(10, 10000)], "FILLED"),
    ],
)
async def test_what_fills_on_arrival(
    paper: Paper, order_fields: dict[str, Any], book: dict[str, int], fills: list[tuple[int, int]], state: str
) -> None:
    paper.market.quotes[SHARE] = quote(**book)
    _, row = await paper.place(**order_fields)
    assert (executions(row), str(row.state)) == (fills, state)


async def test_a_resting_limit_fills_when_it_is_crossed_and_not_when_the_last_price_touches(
    paper: Paper,
) -> None:
    made, row = await paper.place(price_paise=9990)
    assert row.state is RowState.OPEN
    await paper.price(last=9990)
    assert (await paper.row(made)).filled == 0
    await paper.price(ask=9985, bid=9980)
    assert executions(await paper.row(made)) == [(10, 9985)]


async def test_displayed_quantity_is_taken_once_and_comes_back_with_a_new_offer(paper: Paper) -> None:
    first, _ = await paper.place(quantity=70, price_paise=10005)
    second, row = await paper.place(quantity=70, price_paise=10005)
    assert executions(await paper.row(first)) == [(70, 10005)]
    assert executions(row) == [(30, 10005)]
    await paper.price(last=10001)
    assert (await paper.row(second)).filled == 30, "the same offer, already taken"
    await paper.price(ask_quantity=25)
    assert executions(await paper.row(second)) == [(30, 10005), (25, 10005)]
    await paper.price(ask=10000, bid=9995)
    found = await paper.row(second)
    assert executions(found) == [(30, 10005), (25, 10005), (15, 10000)]
    assert found.state is RowState.FILLED


async def test_the_older_order_is_served_first(paper: Paper) -> None:
    older, _ = await paper.place(quantity=80, price_paise=9990)
    newer, _ = await paper.place(quantity=80, price_paise=9990)
    await paper.price(ask=9990, bid=9985)
    assert ((await paper.row(older)).filled, (await paper.row(newer)).filled) == (80, 20)


async def test_a_market_order_never_pays_more_than_its_protection(paper: Paper) -> None:
    made, row = await paper.place(quantity=150)
    assert row.filled == 100
    await paper.price(ask=10200, bid=10195, last=10200)
    assert (await paper.row(made)).filled == 100
    await paper.price(ask=10100, bid=10095, last=10100)
    assert executions(await paper.row(made)) == [(100, 10005), (50, 10100)]


def test_protection_is_one_percent_on_tick_and_in_the_band() -> None:
    market = FakeMarket()
    share = market.instruments[SHARE]
    assert protected_limit(quote(), BUY, share) == 10105
    assert protected_limit(quote(), SELL, share) == 9900
    import msgspec

    banded = msgspec.structs.replace(share, lower_band_paise=9950, upper_band_paise=10050)
    assert protected_limit(quote(), BUY, banded) == 10050
    assert protected_limit(quote(), SELL, banded) == 9950
    assert protected_limit(quote(ask=0, ask_quantity=0), BUY, share) == 10100
    assert protected_limit(quote(bid=1, last=1), SELL, share) == 5


async def test_a_stop_is_triggered_by_the_last_price_and_then_is_a_limit(paper: Paper) -> None:
    made, _ = await paper.place(type=OrderType.SL, price_paise=10060, trigger_price_paise=10050)
    await paper.price(last=10045, ask=10050, bid=10045)
    assert (await paper.row(made)).state is RowState.TRIGGER_PENDING
    await paper.price(last=10050, ask=10070, bid=10065)
    assert (await paper.row(made)).state is RowState.OPEN, "triggered; the offer is beyond its limit"
    await paper.price(last=10040, ask=10060, bid=10040)
    assert executions(await paper.row(made)) == [(10, 10060)]


async def test_a_trigger_between_two_looks_is_not_missed(paper: Paper) -> None:
    made, _ = await paper.place(side=SELL, type=OrderType.SL_M, trigger_price_paise=9900)
    down, up = quote(last=9900, bid=9895, ask=9900), quote(last=10000)
    paper.market.quotes[SHARE] = up
    await paper.broker.on_quotes([down, up])
    assert (await paper.row(made)).state is RowState.FILLED


async def test_a_stop_at_market_is_protected_from_where_it_was_triggered(paper: Paper) -> None:
    made, _ = await paper.place(side=SELL, type=OrderType.SL_M, trigger_price_paise=9900)
    await paper.price(last=9900, bid=9000, ask=9905, bid_quantity=5)
    assert executions(await paper.row(made)) == [(5, 9000)]
    await paper.price(last=8000, bid=8000, ask=9905)
    assert (await paper.row(made)).filled == 5, "one percent below the bid at the trigger, not any price"


@pytest.mark.parametrize(
    ("change", "fields", "code"),
    [
        ({"opened": False}, {}, "session_closed"),
        ({"instruments": {}}, {}, "unknown_instrument"),
        ({}, {"product": Product.MTF}, "not_supported_yet"),
        ({}, {"amo": True}, "not_supported_yet"),
    ],
)
async def test_what_is_refused(paper: Paper, change: dict[str, Any], fields: dict[str, Any], code: str) -> None:
    for name, value in change.items():
        setattr(paper.market, name, value)
    made, row = await paper.place(**fields)
    assert row.state is RowState.REJECTED
    assert row.reason is not None
    assert row.reason.code == code
    assert (await paper.row(made)).state is RowState.REJECTED


async def test_a_tag_is_in_the_book_once(paper: Paper) -> None:
    made, row = await paper.place()
    with pytest.raises(OutcomeUnknownError, match="already"):
        await paper.broker.place(made, broker_tag(made.id))
    assert [one.broker_order_id for one in await paper.broker.book()] == [row.broker_order_id]


async def test_cancel(paper: Paper) -> None:
    made, _ = await paper.place(price_paise=9990)
    assert (await paper.broker.cancel(broker_tag(made.id))).state is RowState.CANCELLED
    assert (await paper.broker.cancel(broker_tag(made.id))).state is RowState.CANCELLED
    await paper.price(ask=9000, bid=8990)
    assert (await paper.row(made)).filled == 0
    filled, _ = await paper.place()
    assert (await paper.broker.cancel(broker_tag(filled.id))).state is RowState.FILLED
    with pytest.raises(BrokerError, match="no order"):
        await paper.broker.cancel("x" * 20)


async def test_nothing_fills_while_the_market_is_closed_and_day_orders_expire_with_the_day(paper: Paper) -> None:
    made, _ = await paper.place(price_paise=9990)
    paper.market.opened = False
    await paper.price(ask=9000, bid=8990)
    assert (await paper.row(made)).filled == 0
    (row,) = await paper.broker.on_session_closed()
    assert row.state is RowState.EXPIRED
    assert row.reason is not None
    assert row.reason.code == "run_ended"
    assert await paper.broker.on_session_closed() == []


async def test_a_silent_feed_fills_nothing(paper: Paper) -> None:
    made, _row = await paper.place(price_paise=9990)
    paper.market.fresh = False
    await paper.broker.on_quotes([])
    assert (await paper.row(made)).state is RowState.OPEN


@pytest.mark.parametrize("silence", ["a silent feed", "no quote yet", "a kill"])
async def test_an_order_at_market_without_a_quote_rests_until_one_comes(tmp_path: Path, silence: str) -> None:
    paper = Paper(tmp_path)
    await paper.broker.start()
    if silence == "no quote yet":
        paper.market.quotes = {}
    else:
        paper.market.fresh = False
    made, row = await paper.place(side=SELL)
    _, immediate = await paper.place(side=SELL, validity=IOC)
    assert (row.state, immediate.state) == (RowState.OPEN, RowState.CANCELLED)
    if silence == "a kill":
        paper.broker.abandon()
        paper = Paper(tmp_path)
        await paper.broker.start()
    paper.market.fresh = True
    await paper.price(last=9000, bid=9000, ask=9005, bid_quantity=4)
    await paper.price(last=8900, bid=8900, ask=8905, bid_quantity=4)
    assert executions(await paper.row(made)) == [(4, 9000)], "protected from the first quote that came"
    await paper.price(last=8910, bid=8910, ask=8915)
    assert executions(await paper.row(made)) == [(4, 9000), (6, 8910)]
    await paper.broker.close()


async def test_the_book_survives_a_kill(tmp_path: Path) -> None:
    before = Paper(tmp_path)
    await before.broker.start()
    resting, _ = await before.place(price_paise=9990)
    stop, _ = await before.place(side=SELL, type=OrderType.SL_M, trigger_price_paise=9900)
    filled, row = await before.place()
    before.broker.abandon()
    with pytest.raises(NotSentError):
        await before.place()
    after = Paper(tmp_path)
    await after.broker.start()
    assert await after.row(filled) == row
    await after.price(last=9900, bid=9895, ask=9900, ask_quantity=10)
    assert (await after.row(resting)).state is RowState.FILLED
    assert (await after.row(stop)).state is RowState.FILLED
    another, fresh = await after.place()
    assert fresh.broker_order_id > row.broker_order_id
    assert {one.tag for one in await after.broker.book()} == {
        broker_tag(one.id) for one in (resting, stop, filled, another)
    }
    await after.broker.close()


async def test_orders_of_another_day_are_expired_at_the_start(tmp_path: Path) -> None:
    before = Paper(tmp_path)
    await before.broker.start()
    made, _ = await before.place(price_paise=9990)
    before.broker.abandon()
    after = Paper(tmp_path)
    after.market.at = NOW.replace(day=6)
    await after.broker.start()
    row = await after.row(made)
    assert row.state is RowState.EXPIRED
    assert row.reason is not None
    assert row.reason.code == "run_ended"
    await after.broker.close()


async def test_updates_tell_every_change_and_end_with_the_broker(tmp_path: Path) -> None:
    paper = Paper(tmp_path)
    await paper.broker.start()
    seen: list[str] = []

    async def listen() -> None:
        seen.extend([str(row.state) async for row in paper.broker.updates()])

    listening = asyncio.create_task(listen())
    made, _ = await paper.place(price_paise=9990)
    await paper.price(ask=9990, bid=9985, ask_quantity=4)
    await paper.broker.cancel(broker_tag(made.id))
    await paper.broker.close()
    await asyncio.wait_for(listening, 5)
    assert seen == ["OPEN", "CANCELLED"]


async def test_untaken_changes_are_conflated_and_bounded(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = await paper.place(price_paise=9990)
    for price in (9990, 9985, 9980):
        await paper.price(ask=price, bid=price - 5, ask_quantity=2)
    assert paper.broker.unheard == 1
    (row,) = paper.broker.take_updates()
    assert executions(row) == [(2, 9990), (2, 9985), (2, 9980)]
    assert row == await paper.row(made)
    await paper.price()
    monkeypatch.setattr("tradingengine.brokers.paper.broker._MOST_UNHEARD", 2)
    await paper.place(price_paise=10100)
    await paper.place(price_paise=10100)
    with pytest.raises(NotSentError, match="2 changes"):
        await paper.place(price_paise=10100)
    paper.broker.take_updates()
    await paper.place(price_paise=10100)


async def test_only_the_day_is_shown_and_what_is_open(paper: Paper) -> None:
    await paper.place()
    resting, _ = await paper.place(price_paise=9990)
    paper.market.at = NOW.replace(day=6)
    today, _ = await paper.place()
    assert [row.tag for row in await paper.broker.book()] == [broker_tag(resting.id), broker_tag(today.id)]
    assert await paper.broker.by_tag("x" * 20) is None


async def test_a_broker_that_is_not_running_takes_nothing(tmp_path: Path) -> None:
    paper = Paper(tmp_path)
    assert paper.broker.state == "down"
    assert await paper.broker.on_session_closed() == []
    await paper.broker.on_quotes([quote()])
    with pytest.raises(NotSentError):
        await paper.place()
    await paper.broker.start()
    assert (paper.broker.state, paper.broker.name) == ("connected", "paper")
    assert paper.broker.capabilities == CAPABILITIES["paper"]
    assert paper.broker.visibility_seconds > 0
    await paper.broker.close()
    assert paper.broker.state == "down"


async def test_latency_is_bounded_and_seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    paper = PaperBroker(tmp_path / "book.sqlite", FakeMarket(), seed=3, latency=0.02)
    await paper.start()
    monkeypatch.setattr("tradingengine.brokers.paper.broker.asyncio.sleep", wait)
    for _ in range(20):
        made = order()
        await paper.place(made, broker_tag(made.id))
    await paper.close()
    assert all(0.01 <= seconds <= 0.03 for seconds in waits)
    assert len(set(waits)) > 10


async def test_a_book_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    paper = Paper(tmp_path)
    await paper.broker.start()
    await paper.broker.close()
    connection = apsw.Connection(str(tmp_path / "book.sqlite"))
    connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    connection.close()
    with pytest.raises(OutcomeUnknownError, match="format 2"):
        await Paper(tmp_path).broker.start()


async def test_a_write_that_fails_leaves_memory_as_the_file_is(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = await paper.place(price_paise=9990)
    tag = broker_tag(made.id)

    async def refuse(changed: Any) -> None:
        raise SqliteFileError("busy")

    monkeypatch.setattr(paper.broker._book, "save", refuse)
    for change in (paper.price(ask=9985, bid=9980), paper.broker.cancel(tag), paper.broker.on_session_closed()):
        with pytest.raises(OutcomeUnknownError, match="busy"):
            await change
    assert paper.broker._resting[tag].row == await paper.row(made)
    assert paper.broker.unheard == 0, "nobody hears of what is not written"
    monkeypatch.undo()
    await paper.price(ask=9986, bid=9980)
    assert executions(await paper.row(made)) == [(10, 9986)]


async def test_an_order_at_market_keeps_its_protection_over_a_kill(tmp_path: Path) -> None:
    before = Paper(tmp_path)
    await before.broker.start()
    before.market.quotes[SHARE] = quote(bid=0, bid_quantity=0)
    made, _ = await before.place(side=SELL)
    before.broker.abandon()
    after = Paper(tmp_path)
    await after.broker.start()
    await after.price(last=8000, bid=8000, ask=8005)
    assert (await after.row(made)).filled == 0, "one percent below the price at which it came"
    await after.broker.close()


async def test_a_full_disk_is_a_broker_that_does_not_answer(paper: Paper) -> None:
    await paper.broker._book._file.run(lambda connection: connection.pragma("max_page_count", 1))

    async def fill_the_disk() -> None:
        for _ in range(2000):
            await paper.place(price_paise=9990)

    with pytest.raises(OutcomeUnknownError, match="cannot be written"):
        await fill_the_disk()
    assert paper.broker.state == "down"
