"""The simulator: the same seed, the same prices; figures that a market could show."""

import hashlib
import itertools
from collections.abc import Iterable

import pytest
from tradingengine.domain.calendar import Calendar
from tradingengine.domain.clock import IST, from_epoch_ms
from tradingengine.domain.instruments import InstrumentKind
from tradingengine.marketdata.simulator.tape import FIRST_DAY, SimulatorTape
from tradingengine.marketdata.simulator.universe import LISTINGS
from tradingengine.marketdata.simulator.walk import activity, closes, trades
from tradingengine.marketdata.tape import TapePrice

pytestmark = pytest.mark.unit

FEW = tuple(listing for listing in LISTINGS if listing.symbol in ("NSE:NIFTY", "NSE:RELIANCE", "NSE:TCS"))
KNOWN_HEAD = [("NSE:NIFTY", 2615345, 0), ("NSE:TATASTEEL", 17365, 2546), ("NSE:TCS", 314720, 146)]
OPEN_MS, CLOSE_MS = 1_767_584_700_000, 1_767_584_700_000 + 3_600_000


def _digest(prices: Iterable[TapePrice]) -> str:
    digest = hashlib.sha256()
    for price in prices:
        digest.update(repr(tuple(price)).encode())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_prices_and_another_one_does_not() -> None:
    first = _digest(trades(FEW, 7, 1, OPEN_MS, CLOSE_MS))
    assert first == _digest(trades(FEW, 7, 1, OPEN_MS, CLOSE_MS))
    assert first != _digest(trades(FEW, 8, 1, OPEN_MS, CLOSE_MS))
    assert first != _digest(trades(FEW, 7, 2, OPEN_MS, CLOSE_MS))


def test_the_prices_of_seed_one_are_known() -> None:
    # A change here changes every kept position: raise VERSION in simulator/tape.py with it.
    head = [tuple(price)[1:4] for price in itertools.islice(trades(LISTINGS, 1, 1, OPEN_MS, CLOSE_MS), 3)]
    assert head == KNOWN_HEAD


def test_a_name_keeps_its_prices_when_others_are_added() -> None:
    alone = list(trades(FEW[:1], 3, 2, OPEN_MS, OPEN_MS + 60_000))
    assert len(alone) == 60
    assert alone == [p for p in trades(FEW, 3, 2, OPEN_MS, OPEN_MS + 60_000) if p.symbol == FEW[0].symbol]


def test_prices_come_in_time_order_on_the_tick_inside_the_bands() -> None:
    previous = {listing.symbol: last for listing, (last, _) in zip(FEW, closes(FEW, 5, 1), strict=True)}
    ticks = {listing.symbol: listing.tick for listing in FEW}
    at_ms, volumes = 0, dict.fromkeys(previous, 0)
    count = 0
    for price in trades(FEW, 5, 1, OPEN_MS, CLOSE_MS):
        count += 1
        assert price.at_ms >= at_ms
        at_ms = price.at_ms
        assert OPEN_MS <= at_ms < CLOSE_MS
        assert price.price % ticks[price.symbol] == 0
        assert abs(price.price - previous[price.symbol]) <= previous[price.symbol] * 0.1
        if price.symbol == "NSE:NIFTY":
            assert price[3:] == (0, 0, 0, 0, 0)
            continue
        assert 0 < price.bid < price.ask
        assert price.price in (price.bid, price.ask)
        assert min(price.bid_quantity, price.ask_quantity) >= 1
        assert price.day_volume > volumes[price.symbol]
        volumes[price.symbol] = price.day_volume
    assert count > 3_600 * 2


def test_a_session_ends_where_the_next_one_says_it_closed() -> None:
    for session in (0, 3):
        (_, target), (after, _) = closes(FEW, 2, session)[1], closes(FEW, 2, session + 1)[1]
        assert abs(after - target) <= 5
        last = [price for price in trades(FEW, 2, session, OPEN_MS, CLOSE_MS) if price.symbol == FEW[1].symbol][-1]
        assert abs(last.price - target) <= target * 0.002


def test_levels_stay_plausible_for_a_year() -> None:
    for listing, (last, target) in zip(LISTINGS, closes(LISTINGS, 1, 239), strict=True):
        assert 0.4 * listing.price < min(last, target)
        assert max(last, target) < 2.0 * listing.price


def test_the_market_is_livelier_at_open_and_close_than_at_noon() -> None:
    assert activity(0, 100) > activity(99, 100) > activity(50, 100)


def test_sessions_are_dated_trading_days(calendar: Calendar) -> None:
    tape = SimulatorTape(calendar, 1, FEW)
    session = tape.session(0)
    opened = from_epoch_ms(session.open_ms).astimezone(IST)
    assert opened.date() > FIRST_DAY
    assert (opened.hour, opened.minute) == (9, 15)
    assert (session.close_ms - session.open_ms) == (6 * 60 + 15) * 60_000
    opens = [tape.session(index).open_ms for index in range(30)]
    assert opens == sorted(set(opens))
    for open_ms in opens:
        assert calendar.is_trading_day(tape.session(0).instruments[1].segment, from_epoch_ms(open_ms).date())


def test_there_are_indices_to_look_at_and_shares_to_trade(calendar: Calendar) -> None:
    instruments = SimulatorTape(calendar, 1).session(0).instruments
    names = {instrument.name for instrument in instruments if instrument.kind is InstrumentKind.INDEX}
    assert names == {"NIFTY 50", "BANK NIFTY", "SENSEX", "INDIA VIX"}
    shares = [instrument for instrument in instruments if instrument.tradable]
    assert len(shares) == 16
    for instrument in shares:
        assert instrument.tick_paise == 5
        assert instrument.lower_band_paise is not None
        assert instrument.upper_band_paise is not None
        assert instrument.lower_band_paise % 5 == instrument.upper_band_paise % 5 == 0
        assert instrument.lower_band_paise < instrument.upper_band_paise


def test_the_first_session_has_the_candles_of_the_day_before(calendar: Calendar) -> None:
    session = SimulatorTape(calendar, 1, FEW[:1]).session(0)
    candles = list(session.earlier())
    assert len(candles) == 375
    assert candles[0].time * 1000 < session.open_ms - 12 * 3_600_000
    assert abs(candles[-1].close - session.previous_close["NSE:NIFTY"]) <= session.previous_close["NSE:NIFTY"] * 0.002
