"""The playing of a tape: pace, runs, restarts. Wall time is the test's own."""

import itertools
from pathlib import Path

import msgspec
import pytest
from tradingengine.domain.calendar import Calendar
from tradingengine.domain.errors import DomainError
from tradingengine.domain.quotes import Quote
from tradingengine.marketdata import tape_feed
from tradingengine.marketdata.errors import UnknownSymbolError
from tradingengine.marketdata.port import Feed, FeedEvent, Prices, RunEnded, RunStarted, SessionChanged
from tradingengine.marketdata.tape_feed import TapeFeed

from tests.unit.apps.marketdata.conftest import OPEN_MS, FakeTime, SmallTape

pytestmark = pytest.mark.unit


def _feed(
    tape: SmallTape, calendar: Calendar, wall: FakeTime, *, speed: float = 1.0, state_file: Path | None = None
) -> TapeFeed:
    return TapeFeed(tape, calendar, speed=speed, state_file=state_file, monotonic=wall.monotonic, sleep=wall.sleep)


async def _started(feed: TapeFeed, *symbols: str) -> TapeFeed:
    await feed.start()
    feed.subscribe(symbols or ("NSE:ABC",))
    return feed


async def _until(feed: TapeFeed, kind: type[FeedEvent], times: int = 1) -> list[FeedEvent]:
    """All events up to the `times`-th of a kind, within a bound."""
    seen: list[FeedEvent] = []
    async for event in feed.events():
        seen.append(event)
        if sum(isinstance(one, kind) for one in seen) == times:
            return seen
        assert len(seen) < 100_000
    return seen


def _quotes(events: list[FeedEvent]) -> list[Quote]:
    return [quote for event in events if isinstance(event, Prices) for quote in event.quotes]


async def test_a_run_opens_plays_everything_closes_and_ends(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(), calendar, wall))
    port: Feed = feed
    assert port.source == "simulator"
    events = await _until(feed, RunEnded)
    assert isinstance(events[0], RunStarted)
    assert events[0].run == feed.run
    assert not events[0].resumed
    assert [event.state for event in events if isinstance(event, SessionChanged)] == ["open", "closed"]
    assert [quote.last for quote in _quotes(events)] == [10_000 + 5 * second for second in range(150)]
    closed = [candle for event in events if isinstance(event, Prices) for candle in event.closed]
    assert [(candle.time * 1000 - OPEN_MS, candle.volume) for candle in closed] == [
        (0, 600),
        (60_000, 600),
        (120_000, 300),
    ]
    assert events[-1] == RunEnded(run=feed.run, at_ms=OPEN_MS + 150_000)


@pytest.mark.parametrize("speed", [0.5, 7.0, 900.0])
async def test_the_prices_are_the_same_at_every_speed(calendar: Calendar, wall: FakeTime, speed: float) -> None:
    usual = await _until(await _started(_feed(SmallTape(seconds=61), calendar, FakeTime())), RunEnded)
    other = await _until(await _started(_feed(SmallTape(seconds=61), calendar, wall, speed=speed)), RunEnded)
    assert _quotes(usual) == _quotes(other)


async def test_market_time_goes_at_the_speed_and_never_ahead_of_prices(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(seconds=3_000), calendar, wall, speed=4.0))
    began = wall.now
    async for event in feed.events():
        if isinstance(event, Prices):
            assert abs((event.at_ms - OPEN_MS) - (wall.now - began) * 4_000) <= 1
            assert all(quote.at_ms <= event.at_ms for quote in event.quotes)
            assert feed.clock.now_ms() == event.at_ms
        if wall.now - began > 20:
            break


async def test_a_stalled_process_does_not_make_the_tape_leap(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(), calendar, wall))
    events = feed.events()
    await anext(events)
    await anext(events)
    wall.stall = 3_600.0
    price = await anext(events)
    assert isinstance(price, Prices)
    assert price.at_ms - OPEN_MS <= tape_feed.MOST_BEHIND_S * 1000


async def test_after_the_tape_it_starts_again_with_a_new_run(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(count=2), calendar, wall, speed=50))
    events = await _until(feed, RunStarted, times=3)
    starts = [event for event in events if isinstance(event, RunStarted)]
    assert len({event.run for event in starts}) == 3
    assert starts[1].open_ms > starts[0].open_ms
    assert starts[2].open_ms == starts[0].open_ms
    # The second session has the first one's candles; the tape that begins again has only those before it.
    assert feed.history("NSE:ABC", "1m", 100)[-1].time * 1000 < starts[0].open_ms
    assert feed.quote("NSE:ABC") is None


async def test_history_holds_the_day_before_and_grows(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(), calendar, wall))
    assert [candle.close for candle in feed.history("NSE:ABC", "1m", 10)] == [9_900, 9_900]
    async for event in feed.events():
        if isinstance(event, Prices) and event.at_ms >= OPEN_MS + 130_000:
            break
    assert [candle.close for candle in feed.history("NSE:ABC", "1m", 2)] == [10_295, 10_595]
    forming = feed.forming()
    assert [(candle.time * 1000 - OPEN_MS, candle.open) for candle in forming] == [(120_000, 10_600)]
    assert feed.sessions()["NSE_EQ"].state == "open"


async def test_only_subscribed_symbols_come(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(symbols=("NSE:ABC", "NSE:XYZ")), calendar, wall), "NSE:XYZ")
    with pytest.raises(UnknownSymbolError, match="NSE:NONE"):
        feed.subscribe(["NSE:NONE"])
    events = await _until(feed, RunEnded)
    assert {quote.symbol for quote in _quotes(events)} == {"NSE:XYZ"}
    assert feed.quote("NSE:ABC") is not None
    feed.unsubscribe(["NSE:XYZ", "NSE:NONE"])
    assert feed.forming() == []


async def test_a_restart_goes_on_in_the_same_run_and_never_back(
    calendar: Calendar, wall: FakeTime, tmp_path: Path
) -> None:
    state = tmp_path / "feed" / "tape.json"
    feed = await _started(_feed(SmallTape(), calendar, wall, state_file=state))
    async for event in feed.events():
        if isinstance(event, Prices) and event.at_ms >= OPEN_MS + 70_500:
            break
    # The process dies here: nothing is closed.
    again = await _started(_feed(SmallTape(), calendar, wall, state_file=state))
    assert again.run == feed.run
    assert again.clock.now_ms() >= feed.clock.now_ms()
    assert again.clock.now_ms() <= feed.clock.now_ms() + 2_000
    rest = await _until(again, RunEnded)
    assert isinstance(rest[0], RunStarted)
    assert rest[0].resumed
    closed = [candle for event in rest if isinstance(event, Prices) for candle in event.closed]
    # The minute in which it died is whole: the tape can be read again.
    assert [(candle.time * 1000 - OPEN_MS, candle.volume) for candle in closed] == [(60_000, 600), (120_000, 300)]
    assert min(quote.at_ms for quote in _quotes(rest)) > feed.clock.now_ms()


@pytest.mark.parametrize("text", ["{", '{"fingerprint": "other", "run": "r", "session": 0, "at_ms": 0}', "[]"])
async def test_a_position_of_another_tape_or_no_position_is_left_alone(
    calendar: Calendar, wall: FakeTime, tmp_path: Path, text: str
) -> None:
    state = tmp_path / "tape.json"
    state.write_text(text)
    feed = await _started(_feed(SmallTape(), calendar, wall, state_file=state))
    assert feed.clock.now_ms() == OPEN_MS
    kept = msgspec.json.decode(state.read_bytes(), type=tape_feed.Position)
    assert kept.fingerprint == "small"


async def test_a_position_that_cannot_be_kept_is_counted_and_prices_go_on(
    calendar: Calendar, wall: FakeTime, tmp_path: Path
) -> None:
    (tmp_path / "feed").write_text("a file where the folder should be")
    feed = await _started(_feed(SmallTape(), calendar, wall, state_file=tmp_path / "feed" / "tape.json"))
    events = await _until(feed, RunEnded)
    assert len(_quotes(events)) == 150
    assert feed.save_failures > 100


async def test_closing_ends_the_stream_and_keeps_the_exact_position(
    calendar: Calendar, wall: FakeTime, tmp_path: Path
) -> None:
    state = tmp_path / "tape.json"
    feed = await _started(_feed(SmallTape(), calendar, wall, state_file=state))
    seen = []
    async for event in feed.events():
        seen.append(event)
        if len(seen) == 30:
            await feed.aclose()
    assert len(seen) == 30
    kept = msgspec.json.decode(state.read_bytes(), type=tape_feed.Position)
    assert kept.at_ms == feed.clock.now_ms()


async def test_age_grows_while_nobody_reads(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(), calendar, wall))
    events = feed.events()
    for _ in range(3):
        await anext(events)
    assert feed.age_ms() == 0
    wall.now += 2.5
    assert feed.age_ms() == 2_500


async def test_a_burst_comes_in_events_of_bounded_size(
    calendar: Calendar, wall: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_feed, "PRICES_PER_EVENT", 7)
    feed = await _started(_feed(SmallTape(), calendar, wall, speed=500))
    events = await _until(feed, RunEnded)
    sizes = [len(event.quotes) for event in events if isinstance(event, Prices)]
    assert max(sizes) == 7
    assert [quote.last for quote in _quotes(events)] == [10_000 + 5 * second for second in range(150)]
    times = [event.at_ms for event in events if isinstance(event, Prices)]
    assert all(later >= earlier for earlier, later in itertools.pairwise(times))


async def test_a_reader_that_comes_again_goes_on_in_the_run(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(), calendar, wall))
    async for event in feed.events():
        if isinstance(event, Prices) and event.at_ms >= OPEN_MS + 20_000:
            break
    rest = await _until(feed, RunEnded)
    assert isinstance(rest[0], RunStarted)
    assert rest[0].resumed
    assert [quote.last for quote in _quotes(rest)] == [10_000 + 5 * second for second in range(21, 150)]


async def test_short_bars_come_from_the_latest_trades(calendar: Calendar, wall: FakeTime) -> None:
    feed = await _started(_feed(SmallTape(), calendar, wall))
    async for event in feed.events():
        if isinstance(event, Prices) and event.at_ms >= OPEN_MS + 20_000:
            break
    bars = feed.history("NSE:ABC", "5s", 10)
    # The first bar may be a part of one, the last one is not over: neither is shown.
    assert [(bar.time * 1000 - OPEN_MS, bar.open, bar.close, bar.volume) for bar in bars] == [
        (5_000, 10_025, 10_045, 50),
        (10_000, 10_050, 10_070, 50),
        (15_000, 10_075, 10_095, 50),
    ]
    assert feed.history("NSE:ABC", "5s", 1) == bars[-1:]
    assert feed.history("NSE:NONE", "5s", 1) == []
    assert feed.history("NSE:ABC", "5s", 0) == []
    with pytest.raises(DomainError, match="not an interval"):
        feed.history("NSE:ABC", "7s", 1)


@pytest.mark.parametrize("stall", [0.0, 4.0])
async def test_no_event_spans_more_than_a_minute_of_the_market(
    calendar: Calendar, wall: FakeTime, stall: float
) -> None:
    feed = await _started(_feed(SmallTape(seconds=3_000), calendar, wall, speed=1_000))
    wall.stall = stall
    events = await _until(feed, RunEnded)
    times = [OPEN_MS, *(event.at_ms for event in events if isinstance(event, Prices))]
    assert times[-1] == OPEN_MS + 3_000_000
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 60_000
    assert [quote.last for quote in _quotes(events)] == [10_000 + 5 * second for second in range(3_000)]
