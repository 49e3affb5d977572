"""The documents that people see."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tradingengine.domain.clock import rfc3339
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.domain.orders import Delivery, Product
from tradingengine.domain.positions import Position, PositionKey
from tradingengine.domain.reasons import Reason
from tradingengine.storage import documents
from tradingengine.storage.heartbeat import Heartbeat, decode_heartbeat, parse_time
from tradingengine.storage.quotes import decode_message
from tradingengine.storage.records import (
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    StoredOrder,
    StoredPosition,
    order_of_row,
    order_values,
    position_of_row,
    position_values,
)
from tradingengine.storage.streams import dumps

from tests.unit.apps.storage.test_projection import NOW, an_order

pytestmark = pytest.mark.unit


def a_position(quantity: int, cost: int, realised: int = 0, before: int = 0) -> StoredPosition:
    """A position in RELIANCE."""
    key = PositionKey("default", "paper", "NSE:RELIANCE", Product.MIS)
    position = Position(key=key, quantity=quantity, cost_paise=cost, realised_paise=realised)
    return StoredPosition(
        position=position, day=date(2026, 11, 23), realised_before_paise=before, updated_at=NOW, strategy="ema"
    )


def test_an_order_shows_rupees_reason_and_timeline() -> None:
    order = an_order(filled_quantity=4, average_paise=249_995, reason=Reason("c", "m", "mend"))
    rows: list[dict[str, Any]] = [
        {"state": "INTENT", "at": NOW, "market_time": None, "quantity": None, "price_paise": None},
        {
            "state": "FILLED",
            "at": NOW + timedelta(milliseconds=37),
            "market_time": NOW - timedelta(days=1),
            "quantity": 4,
            "price_paise": 249_995,
        },
        {"state": "ODD", "at": NOW - timedelta(seconds=1), "market_time": None, "quantity": None, "price_paise": None},
    ]
    document = documents.order_document(StoredOrder(order=order, delivery=Delivery.DELIVERED), rows)
    assert (document["price"], document["average_price"], document["trigger_price"]) == ("2500.00", "2499.95", None)
    assert document["reason"] == {"code": "c", "message": "m", "mend": "mend"}
    assert [entry["ms"] for entry in document["timeline"]] == [0, 37, 0]
    assert document["timeline"][1] | {"at": ""} == {
        "state": "FILLED", "at": "", "market_time": rfc3339(NOW - timedelta(days=1)), "ms": 37, "quantity": 4,
        "price": "2499.95",
    }  # fmt: skip
    assert document["timeline"][0]["market_time"] is None
    plain = documents.order_document(StoredOrder(order=an_order(), delivery=Delivery.PENDING), [])
    assert (plain["reason"], plain["average_price"], plain["timeline"]) == (None, None, [])


def test_rows_and_orders_are_the_same() -> None:
    order = an_order(reason=Reason("c", "m", ""), market_time=NOW, broker_order_id="P1", release="7", slot="a")
    stored = StoredOrder(order=order, delivery=Delivery.UNKNOWN, inferred=True, run="r", ack_ms=5)
    assert order_of_row(dict(zip(ORDER_COLUMNS, order_values(stored), strict=True))) == stored
    position = a_position(5, 50, 7, 3)
    assert position_of_row(dict(zip(POSITION_COLUMNS, position_values(position), strict=True))) == position


@pytest.mark.parametrize(
    ("stored", "last", "today", "pnl", "unrealised", "percent"),
    [
        (a_position(10, 1000), 110, True, "1.00", "1.00", "10.00"),
        (a_position(-10, -1000), 110, True, "-1.00", "-1.00", "-10.00"),
        (a_position(10, 1000, 700, 200), 110, True, "6.00", "1.00", "10.00"),
        (a_position(10, 1000, 700, 200), 110, False, "1.00", "1.00", "10.00"),
        (a_position(10, 1000), None, True, None, None, None),
        (a_position(0, 0, 700, 0), None, True, "7.00", None, None),
    ],
)
def test_a_positions_profit_is_of_the_day(
    stored: StoredPosition, last: int | None, today: bool, pnl: str, unrealised: str, percent: str
) -> None:
    document = documents.position_document(stored, last, today=today)
    assert (document["pnl"], document["unrealised"], document["pnl_percent"]) == (pnl, unrealised, percent)


def test_a_quote_shows_its_change() -> None:
    wire = {
        "s": "NSE:X", "l": 10_100, "pc": 10_000, "o": 1, "h": 2, "lo": 1, "v": 5, "b": 0, "a": 0, "bq": 0, "aq": 0,
        "t": 1_767_673_800_000,
    }  # fmt: skip
    (priced,) = decode_message(dumps({"at": "2026-11-23T04:00:00Z", "q": [wire, {"s": "half"}]}))
    document = documents.quote_document(priced.quote, priced.at)
    assert (document["last"], document["change"], document["change_percent"]) == ("101.00", "1.00", "1.00")
    assert document["market_time"] == "2026-01-06T04:30:00.000000Z"
    assert decode_message("junk") == decode_message("{}") == decode_message("[]") == []


def test_an_instrument_and_percentages() -> None:
    instrument = Instrument(
        symbol="NSE:X", exchange="NSE", segment=Segment.NSE_EQ, name="X", kind=InstrumentKind.EQUITY, tick_paise=5
    )
    assert documents.instrument_document(instrument)["tick_size"] == "0.05"
    assert documents.percent(1, 0) is None
    assert documents.percent(-1, 3) == "-33.33"
    assert documents.optional_time(None) is None


def halt_row(**changes: Any) -> dict[str, Any]:
    """A halt that was just asked for."""
    row: dict[str, Any] = dict.fromkeys(
        ("reason", "delivered_at", "confirmed_at", "release_requested_at", "released_at"), None
    )
    fields = {"id": "h", "requested_by": "asha", "requested_at": NOW, "entries_total": 2, "entries_cancelled": 1}
    return row | fields | changes


@pytest.mark.parametrize(
    ("changes", "seconds", "state"),
    [
        ({}, 4, "requested"),
        ({}, 6, "not_delivered"),
        ({"delivered_at": NOW}, 60, "delivered"),
        ({"delivered_at": NOW, "confirmed_at": NOW}, 60, "confirmed"),
    ],
)
def test_a_halt_says_how_far_it_is(changes: dict[str, Any], seconds: int, state: str) -> None:
    document = documents.halt_document(halt_row(**changes), NOW + timedelta(seconds=seconds))
    assert (document["state"], document["entries"]) == (state, {"total": 2, "cancelled": 1})


def beat(age: float, **feed: Any) -> Heartbeat:
    """A heartbeat of that age."""
    return Heartbeat(document={"feed": feed}, age=age)


@pytest.mark.parametrize(
    ("heartbeat", "state", "age_ms"),
    [
        (None, "down", None),
        (beat(0.5), "down", None),
        (beat(0.5, age_ms=100), "live", 100),
        (beat(2.0, age_ms=100), "live", 1100),
        (beat(0.1, age_ms=5000), "stale", 5000),
        (beat(4.0, age_ms=0), "stale", 3000),
    ],
)
def test_prices_are_as_old_as_the_feed_and_the_silence(heartbeat: Heartbeat | None, state: str, age_ms: int) -> None:
    assert documents.feed_state(heartbeat) == {"state": state, "age_ms": age_ms}


def test_strategies_and_sessions_come_from_the_heartbeat() -> None:
    heartbeat = Heartbeat(
        age=0.1,
        document={
            "feed": {"sessions": {"NSE_EQ": {"state": "open", "until": "x"}}},
            "strategies": [
                {"name": "a", "state": "running", "symbol": "S", "pnl_paise": -150, "orders": 3},
                {"name": "b", "state": "paused"},
            ],
        },
    )
    told = documents.strategies_document(heartbeat)
    assert (told["running"], told["paused"], told["items"][0]["pnl"], told["items"][1]["pnl"]) == (1, 1, "-1.50", None)
    assert documents.strategies_document(None)["items"] == []
    assert documents.sessions_document(heartbeat, ["NSE_EQ", "NSE_FO"], None) == [
        {"segment": "NSE_EQ", "state": "open", "until": "x"}
    ]


def test_while_the_feed_says_nothing_the_calendar_tells_the_session() -> None:
    tuesday = datetime(2026, 1, 6, 4, 30, tzinfo=UTC)
    told = documents.sessions_document(None, ["NSE_EQ", "NSE_FO"], tuesday)
    assert [(item["state"], item["until"]) for item in told] == [("open", "2026-01-06T10:00:00.000000Z")] * 2
    night = documents.sessions_document(None, ["NSE_FO"], tuesday.replace(hour=20))
    assert (night[0]["state"], night[0]["until"] is not None) == ("closed", True)
    # A tape's clock is known to the edge alone; another exchange's hours to nobody here.
    assert documents.sessions_document(None, ["NSE_EQ"], None)[0]["state"] == "unknown"
    assert documents.sessions_document(None, ["NYSE"], tuesday)[0]["state"] == "unknown"


@pytest.mark.parametrize(
    ("at", "left_ms", "age"),
    [
        ("2026-11-23T04:00:00Z", 15_000, 0.0),
        ("2026-11-23T04:00:00Z", 11_000, 4.0),
        ("2026-11-23T03:59:50Z", 15_000, 10.0),
        ("2026-11-23T04:00:09Z", 14_000, 1.0),
        ("2026-11-23T04:00:00Z", -1, 15.0),
    ],
)
def test_a_heartbeat_is_as_old_as_its_silence_or_its_way(at: str, left_ms: int, age: float) -> None:
    heartbeat = decode_heartbeat(dumps({"at": at}), left_ms, NOW)
    assert heartbeat is not None
    assert heartbeat.age == age
    assert heartbeat.fresh is (age <= 3)
    assert (heartbeat.run, heartbeat.market_time) == ("", None)


@pytest.mark.parametrize("text", [None, "", "junk", "[]", "{}", '{"at": "yesterday"}', '{"at": "2026-11-23T04:00:00"}'])
def test_what_is_no_heartbeat_is_none(text: str | None) -> None:
    assert decode_heartbeat(text, 15_000, NOW) is None


def test_times_are_utc_or_none() -> None:
    assert parse_time("2026-11-23T09:30:00+05:30") == datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
    assert parse_time("x") is None
