"""What can be traded or looked at."""

from enum import StrEnum

import msgspec

from tradingengine.domain.money import Paise


class Segment(StrEnum):
    """Exchange segment; trading hours, lots and order rates belong to it."""

    NSE_EQ = "NSE_EQ"
    NSE_FO = "NSE_FO"
    NSE_INDEX = "NSE_INDEX"
    BSE_INDEX = "BSE_INDEX"
    MCX = "MCX"

    @property
    def calendar(self) -> "Segment":
        """The segment whose sessions apply: an index (of BSE too) is priced while NSE's cash market trades."""
        return Segment.NSE_EQ if self in (Segment.NSE_INDEX, Segment.BSE_INDEX) else self


class InstrumentKind(StrEnum):
    """What an instrument is."""

    EQUITY = "equity"
    INDEX = "index"
    FUTURE = "future"
    OPTION = "option"


class Instrument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One tradable or viewable instrument.

    `symbol` is `EXCHANGE:NAME`, e.g. `NSE:RELIANCE`. `lot_size` and `freeze_quantity` are units; 0 as freeze quantity
    means none is known. Bands are paise, None when the exchange sets none. An index is not tradable.
    """

    symbol: str
    exchange: str
    segment: Segment
    name: str
    kind: InstrumentKind
    lot_size: int = 1
    tick_paise: Paise = 5
    freeze_quantity: int = 0
    tradable: bool = True
    lower_band_paise: Paise | None = None
    upper_band_paise: Paise | None = None
