"""Ids, money, clocks, candles and quotes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.candles import INTERVALS, Candle, bar_start, next_bar_start, resample
from tradingengine.domain.clock import SystemClock, epoch_ms, from_epoch_ms, parse_rfc3339, rfc3339
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import broker_tag, id_of_tag, is_id, new_id, parse_id, time_of
from tradingengine.domain.instruments import Segment
from tradingengine.domain.money import (
    divide_half_even,
    format_rupees,
    is_on_tick,
    parse_rupees,
    round_to_tick,
)
from tradingengine.domain.quotes import Quote

pytestmark = pytest.mark.unit


def test_ids_rise_and_carry_their_time() -> None:
    before = epoch_ms(datetime.now(UTC))
    made = [new_id() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert all(before <= time_of(one) <= before + 60_000 for one in made)
    assert all(UUID(one).version == 7 and UUID(one).variant == "specified in RFC 4122" for one in made)


@given(st.integers(0, 2**42 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**62 - 1))
def test_a_tag_is_one_to_one_with_its_id(milliseconds: int, high: int, low: int) -> None:
    order_id = str(UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low))
    tag = broker_tag(order_id)
    assert len(tag) == 20
    assert tag.isalnum()
    assert tag.isascii()
    assert id_of_tag(tag) == order_id


UUID_4 = "5bf9d73b-e908-4b2c-a5b7-163537be10f6"
UUID_7 = "01a1ff91-caca-7323-a2e4-6efca80b14c6"


@pytest.mark.parametrize("text", ["", "x", UUID_4, UUID_7.upper(), None, 7])
def test_what_is_no_id_is_refused(text: Any) -> None:
    assert not is_id(text)
    with pytest.raises(DomainError, match="not an order id"):
        parse_id(text)


@pytest.mark.parametrize("tag", ["", "short", "0" * 19 + "-", "0" * 21, "z" * 20])
def test_foreign_tags_are_told_apart(tag: str) -> None:
    with pytest.raises(DomainError, match="not a tag of this engine"):
        id_of_tag(tag)


def test_an_id_beyond_the_year_2109_has_no_tag() -> None:
    with pytest.raises(DomainError, match="2109"):
        broker_tag(str(UUID(int=(2**42) << 80 | 7 << 76 | 2 << 62)))


@given(st.integers(-(10**14), 10**14))
def test_money_survives_its_text(paise: int) -> None:
    assert parse_rupees(format_rupees(paise)) == paise


@pytest.mark.parametrize(
    ("text", "paise"), [("12.35", 1235), ("12.3", 1230), ("0", 0), ("-0.05", -5), (7, 700), (Decimal("1.50"), 150)]
)
def test_rupees_become_paise(text: Any, paise: int) -> None:
    assert parse_rupees(text) == paise


@pytest.mark.parametrize("text", ["", "1.234", "1e3", "1,000", " 1", "1.", ".5", "NaN", 1.5, True, None, "9" * 20])
def test_what_is_no_amount_is_refused(text: Any) -> None:
    with pytest.raises(DomainError):
        parse_rupees(text)


def test_an_amount_beyond_the_largest_is_refused() -> None:
    with pytest.raises(DomainError, match="too large"):
        parse_rupees("99999999999999")


@given(st.integers(1, 10**9), st.integers(1, 1000))
def test_ticks(price: int, tick: int) -> None:
    down, up = round_to_tick(price, tick, up=False), round_to_tick(price, tick, up=True)
    assert down <= price <= up
    assert is_on_tick(down, tick)
    assert is_on_tick(up, tick)
    assert up - down in (0, tick)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_division_rounds_half_to_even(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == int(
        (Decimal(numerator) / Decimal(denominator)).quantize(Decimal(1), rounding="ROUND_HALF_EVEN")
    )


def test_times_survive_their_text_and_sort_like_it() -> None:
    whole, part = datetime(2026, 1, 5, 4, tzinfo=UTC), datetime(2026, 1, 5, 4, 0, 0, 5, tzinfo=UTC)
    assert rfc3339(whole) == "2026-01-05T04:00:00.000000Z"
    assert rfc3339(whole) < rfc3339(part)
    assert parse_rfc3339(rfc3339(part)) == part
    assert from_epoch_ms(epoch_ms(whole)) == whole
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


@pytest.mark.parametrize("text", ["yesterday", "2026-01-05T04:00:00", None])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(DomainError):
        parse_rfc3339(text)


def test_bars_start_where_the_market_counts_from() -> None:
    at = int(datetime(2026, 1, 5, 5, 1, 30, tzinfo=UTC).timestamp())  # 10:31:30 IST
    starts = {
        name: datetime.fromtimestamp(bar_start(at, name), UTC).strftime("%d %H:%M") for name in ("1m", "15m", "1h")
    }
    assert starts == {"1m": "05 05:01", "15m": "05 05:00", "1h": "05 04:45"}
    assert datetime.fromtimestamp(bar_start(at, "1d"), UTC).strftime("%d %H:%M") == "04 18:30"
    with pytest.raises(DomainError, match="not an interval"):
        bar_start(at, "2m")


def test_a_bar_that_began_before_a_time_starts_before_the_next_bar_of_that_time() -> None:
    at = int(datetime(2026, 1, 5, 10, 3, tzinfo=UTC).timestamp())
    ends = {name: datetime.fromtimestamp(next_bar_start(at, name), UTC).strftime("%H:%M") for name in INTERVALS}
    assert ends == {"1m": "10:03", "5m": "10:05", "15m": "10:15", "1h": "10:45", "1d": "18:30"}
    for name in INTERVALS:
        assert next_bar_start(bar_start(at, name), name) == bar_start(at, name)


def test_longer_bars_hold_all_that_the_shorter_ones_held() -> None:
    minutes = [
        Candle(symbol="A", interval="1m", time=60 * n, open=100 + n, high=110 + n, low=90 - n, close=101 + n, volume=n)
        for n in range(7)
    ]
    first, second = resample(minutes, "5m")
    assert first.row() == [0, 100, 114, 86, 105, 10]
    assert second.row() == [300, 105, 116, 84, 107, 11]
    assert resample([], "5m") == []


def test_a_quote_survives_the_wire() -> None:
    quote = Quote(
        symbol="NSE:A",
        last=1,
        previous_close=2,
        open=3,
        high=4,
        low=5,
        volume=6,
        bid=7,
        ask=8,
        bid_quantity=9,
        ask_quantity=10,
        at_ms=11,
    )
    assert Quote.from_wire(quote.wire()) == quote
    with pytest.raises(KeyError):
        Quote.from_wire({"s": "NSE:A"})


def test_an_index_keeps_the_hours_of_shares() -> None:
    assert Segment.NSE_INDEX.calendar is Segment.NSE_EQ
    assert Segment.NSE_FO.calendar is Segment.NSE_FO
