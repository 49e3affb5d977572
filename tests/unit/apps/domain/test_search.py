"""Search over indices and shares as people type."""

import pytest
from tradingengine.domain.calendar import load_calendar
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
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


def _made(symbol: str, name: str, kind: InstrumentKind = InstrumentKind.EQUITY) -> Instrument:
    segment = Segment.NSE_INDEX if kind is InstrumentKind.INDEX else Segment.NSE_EQ
    return Instrument(symbol=symbol, exchange="NSE", segment=segment, name=name, kind=kind)


WITH_SIGNS = [
    _made("NSE:M&M", "Mahindra & Mahindra"),
    _made("NSE:M&MFIN", "M&M Financial Services"),
    _made("NSE:BAJAJ-AUTO", "Bajaj Auto"),
    _made("NSE:BAJFINANCE", "Bajaj Finance"),
    _made("NSE:J&KBANK", "Jammu & Kashmir Bank"),
    _made("NSE:LT", "Larsen & Toubro"),
    _made("NSE:NIFTY", "NIFTY 50", InstrumentKind.INDEX),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("m&m", ["M&M", "M&MFIN"]),
        ("M & M", ["M&M", "M&MFIN"]),
        ("mm", ["M&M", "M&MFIN"]),
        ("nse:m&m", ["M&M"]),
        ("m and m", ["M&M", "M&MFIN"]),
        ("mahindra and mahindra", ["M&M"]),
        ("m&m fin", ["M&MFIN"]),
        ("bajaj-auto", ["BAJAJ-AUTO"]),
        ("Bajaj Auto", ["BAJAJ-AUTO"]),
        ("nse:bajaj-auto", ["BAJAJ-AUTO"]),
        ("bajajauto", ["BAJAJ-AUTO"]),
        ("bajaj", ["BAJAJ-AUTO", "BAJFINANCE"]),
        ("jk bank", ["J&KBANK"]),
        ("j&k", ["J&KBANK"]),
        ("larsen and toubro", ["LT"]),
        ("nifty-50", ["NIFTY"]),
        ("NIFTY 50", ["NIFTY"]),
    ],
)
def test_signs_in_names_are_no_hindrance(query: str, found: list[str]) -> None:
    assert [instrument.symbol[4:] for instrument in search(WITH_SIGNS, query)] == found
