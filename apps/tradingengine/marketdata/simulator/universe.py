"""What the simulator prices: four indices and sixteen large NSE shares.

Prices are round figures near the level at which these names traded; they are a start for a random walk, not data.
"""

from __future__ import annotations

from dataclasses import dataclass

from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment


@dataclass(frozen=True, slots=True)
class Listing:
    """One name with what shapes its walk.

    `price` and `tick` are paise. `daily` is the usual range of a day as a share of the price, of which `beta` comes
    with the market and `bank` with the banks. `pace` is the chance of a trade in a second, `size` a usual trade in
    units (0 for an index, which has no volume).
    """

    symbol: str
    name: str
    price: int
    daily: float
    beta: float = 1.0
    bank: float = 0.0
    pace: float = 0.7
    size: int = 0
    tick: int = 5
    exchange: str = "NSE"
    segment: Segment = Segment.NSE_EQ

    @property
    def is_index(self) -> bool:
        """Whether it can only be looked at."""
        return self.segment is not Segment.NSE_EQ

    def instrument(self, previous_close: int) -> Instrument:
        """The instrument with bands of 10 % around the close before (paise); an index has none."""
        if self.is_index:
            return Instrument(
                symbol=self.symbol,
                exchange=self.exchange,
                segment=self.segment,
                name=self.name,
                kind=InstrumentKind.INDEX,
                tick_paise=self.tick,
                tradable=False,
            )
        return Instrument(
            symbol=self.symbol,
            exchange=self.exchange,
            segment=self.segment,
            name=self.name,
            kind=InstrumentKind.EQUITY,
            tick_paise=self.tick,
            freeze_quantity=100_000,
            lower_band_paise=-(-previous_close * 9 // 10 // self.tick) * self.tick,
            upper_band_paise=previous_close * 11 // 10 // self.tick * self.tick,
        )


def _index(symbol: str, name: str, price: int, daily: float, **shape: float) -> Listing:
    exchange = symbol.partition(":")[0]
    segment = Segment.BSE_INDEX if exchange == "BSE" else Segment.NSE_INDEX
    return Listing(
        symbol,
        name,
        price,
        daily,
        beta=shape.get("beta", 1.0),
        bank=shape.get("bank", 0.0),
        pace=1.0,
        tick=int(shape.get("tick", 5)),
        exchange=exchange,
        segment=segment,
    )


LISTINGS: tuple[Listing, ...] = (
    _index("NSE:NIFTY", "NIFTY 50", 2_605_000, 0.0020),
    _index("NSE:BANKNIFTY", "BANK NIFTY", 5_910_000, 0.0022, bank=0.8),
    _index("BSE:SENSEX", "SENSEX", 8_520_000, 0.0021),
    _index("NSE:INDIAVIX", "INDIA VIX", 1_320, 0.0300, beta=-4.0, tick=1),
    Listing("NSE:RELIANCE", "Reliance Industries", 154_500, 0.0095, pace=0.9, size=90),
    Listing("NSE:HDFCBANK", "HDFC Bank", 100_500, 0.0080, bank=0.9, pace=0.9, size=120),
    Listing("NSE:ICICIBANK", "ICICI Bank", 137_500, 0.0085, bank=0.9, pace=0.9, size=80),
    Listing("NSE:INFY", "Infosys", 153_500, 0.0105, beta=0.8, pace=0.8, size=70),
    Listing("NSE:TCS", "Tata Consultancy Services", 310_500, 0.0090, beta=0.7, pace=0.7, size=30),
    Listing("NSE:SBIN", "State Bank of India", 98_500, 0.0100, bank=1.0, pace=0.9, size=130),
    Listing("NSE:BHARTIARTL", "Bharti Airtel", 216_000, 0.0100, beta=0.8, pace=0.7, size=45),
    Listing("NSE:ITC", "ITC", 40_500, 0.0075, beta=0.6, pace=0.8, size=260),
    Listing("NSE:LT", "Larsen & Toubro", 401_000, 0.0100, pace=0.6, size=20),
    Listing("NSE:KOTAKBANK", "Kotak Mahindra Bank", 208_500, 0.0095, bank=0.9, pace=0.7, size=40),
    Listing("NSE:AXISBANK", "Axis Bank", 127_000, 0.0110, bank=1.0, pace=0.8, size=80),
    Listing("NSE:HINDUNILVR", "Hindustan Unilever", 243_000, 0.0085, beta=0.5, pace=0.6, size=25),
    Listing("NSE:BAJFINANCE", "Bajaj Finance", 100_500, 0.0120, bank=0.6, pace=0.7, size=90),
    Listing("NSE:MARUTI", "Maruti Suzuki", 1_580_000, 0.0105, pace=0.4, size=5),
    Listing("NSE:SUNPHARMA", "Sun Pharmaceutical", 177_500, 0.0095, beta=0.5, pace=0.6, size=40),
    Listing("NSE:TATASTEEL", "Tata Steel", 17_200, 0.0140, beta=1.2, pace=0.9, size=900),
)
