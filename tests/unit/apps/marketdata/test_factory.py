"""The configuration decides the feed, and what cannot be used is refused with field and mend."""

from pathlib import Path

import pytest
from tradingengine.config import MarketData, Replay, Simulator
from tradingengine.domain.calendar import Calendar
from tradingengine.errors import TradingEngineError
from tradingengine.marketdata.errors import DataFolderError, MarketDataConfigError
from tradingengine.marketdata.factory import make_feed
from tradingengine.marketdata.simulator.tape import SimulatorTape
from tradingengine.marketdata.simulator.universe import LISTINGS
from tradingengine.marketdata.tape_feed import TapeFeed

pytestmark = pytest.mark.unit


async def test_the_simulator_is_the_usual_source(calendar: Calendar, tmp_path: Path) -> None:
    feed = make_feed(MarketData(), None, tmp_path, calendar=calendar)
    assert (feed.source, feed.speed) == ("simulator", 1.0)
    await feed.start()
    assert (tmp_path / "feed" / "tape.json").exists()
    assert len(feed.instruments()) == 20
    # The first session starts at 10:00: the day before and 45 minutes of today are there.
    assert len(feed.history("NSE:NIFTY", "1m", 1_000)) == 375 + 45
    assert len(feed.history("NSE:RELIANCE", "15m", 3)) == 3
    assert feed.quote("NSE:RELIANCE") is not None


async def test_two_feeds_of_one_seed_agree(calendar: Calendar) -> None:
    few = [listing for listing in LISTINGS if listing.symbol in ("NSE:NIFTY", "NSE:TCS")]
    one, other = (TapeFeed(SimulatorTape(calendar, 42, few), calendar) for _ in range(2))
    await one.start()
    await other.start()
    assert one.run != other.run
    assert one.quote("NSE:TCS") == other.quote("NSE:TCS")
    assert one.history("NSE:TCS", "1m", 50) == other.history("NSE:TCS", "1m", 50)


async def test_replay_plays_a_folder_at_its_speed(calendar: Calendar, recordings: Path) -> None:
    config = MarketData(source="replay", replay=Replay(start="2021-05-11", speed=60))
    feed = make_feed(config, recordings, None, calendar=calendar)
    assert (feed.source, feed.speed) == ("replay", 60)
    await feed.start()
    assert {instrument.symbol for instrument in feed.instruments()} == {"NSE:ABC", "NSE:NIFTY"}


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (MarketData(source="broker"), "marketData.source"),
        (MarketData(source="replay"), "marketData.replay.claimName"),
        (MarketData(simulator=Simulator(seed=-1)), "marketData.simulator.seed"),
    ],
)
def test_what_cannot_be_used_names_field_and_mend(calendar: Calendar, config: MarketData, field: str) -> None:
    with pytest.raises(MarketDataConfigError) as refusal:
        make_feed(config, None, None, calendar=calendar)
    assert refusal.value.field == field
    assert refusal.value.mend
    assert isinstance(refusal.value, TradingEngineError)


@pytest.mark.parametrize(
    ("replay", "field"),
    [
        (Replay(start="10 May"), "marketData.replay.from"),
        (Replay(start="2020-01-01"), "marketData.replay.from"),
        (Replay(speed=0), "marketData.replay.speed"),
        (Replay(speed=1001), "marketData.replay.speed"),
    ],
)
def test_a_wrong_replay_names_its_field(calendar: Calendar, recordings: Path, replay: Replay, field: str) -> None:
    with pytest.raises(MarketDataConfigError) as refusal:
        make_feed(MarketData(source="replay", replay=replay), recordings, None, calendar=calendar)
    assert refusal.value.field == field


def test_a_corrupt_folder_never_becomes_a_feed(calendar: Calendar, recordings: Path) -> None:
    (recordings / "ticks_test.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataFolderError, match=r"ticks_test\.parquet"):
        make_feed(MarketData(source="replay"), recordings, None, calendar=calendar)
