"""Search over indices and shares as people type."""

import pytest
from tradingengine.domain.calendar import load_calendar
from tradingengine.domain.instruments import Instrument
from tradingengine.domain.search import search
from tradingengine.marketdata.simulator.tape import SimulatorTape

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def instruments() -> list[Instrument]:
    """What the simulator prices."""
    return list(SimulatorTape(load_calendar(), 1).session(0).instruments)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("rel", "NSE:RELIANCE"),
        ("RELIANCE", "NSE:RELIANCE"),
        ("nse:reliance", "NSE:RELIANCE"),
        ("nifty", "NSE:NIFTY"),
        ("nifty 50", "NSE:NIFTY"),
        ("nifty50", "NSE:NIFTY"),
        ("bank nifty", "NSE:BANKNIFTY"),
        ("nifty bank", "NSE:BANKNIFTY"),
        ("banknifty", "NSE:BANKNIFTY"),
        ("bn", "NSE:BANKNIFTY"),
        ("sensex", "BSE:SENSEX"),
        ("vix", "NSE:INDIAVIX"),
        ("hdfc", "NSE:HDFCBANK"),
        ("state bank", "NSE:SBIN"),
        ("bank of india", "NSE:SBIN"),
        ("tata steel", "NSE:TATASTEEL"),
        ("steel", "NSE:TATASTEEL"),
        ("l&t", "NSE:LT"),
        ("larsen", "NSE:LT"),
        ("hul", "NSE:HINDUNILVR"),
        ("unilvr", "NSE:HINDUNILVR"),
        ("  Tata   CONSULTANCY ", "NSE:TCS"),
    ],
)
def test_the_best_match_comes_first(instruments: list[Instrument], query: str, first: str) -> None:
    assert search(instruments, query)[0].symbol == first


def test_bank_finds_the_index_and_the_banks(instruments: list[Instrument]) -> None:
    found = [instrument.symbol for instrument in search(instruments, "bank")]
    assert found[0] == "NSE:BANKNIFTY"
    assert {"NSE:HDFCBANK", "NSE:ICICIBANK", "NSE:KOTAKBANK", "NSE:AXISBANK", "NSE:SBIN"} <= set(found)
    assert "NSE:TCS" not in found


@pytest.mark.parametrize("query", ["zzz", "reliance zzz", "%", "x" * 500, "fty"[:2]])
def test_nothing_is_found_for_what_is_not_there(instruments: list[Instrument], query: str) -> None:
    found = search(instruments, query)
    assert found == ([] if any(char.isalnum() for char in query) else search(instruments, ""))


def test_an_empty_query_lists_indices_first_and_the_limit_holds(instruments: list[Instrument]) -> None:
    everything = search(instruments, "", limit=100)
    assert len(everything) == 20
    assert [one.tradable for one in everything] == [False] * 4 + [True] * 16
    assert search(instruments, "", limit=3) == everything[:3]
    assert search(instruments, "rel", limit=0) == []
