"""`contract/probes.json`: what is asked, and what must be answered."""

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tradingengine.domain.calendar import contract_folder
from tradingengine.domain.money import format_rupees, parse_rupees
from tradingengine.errors import ConfigError

Component = Literal["api", "dashboard"]
ACCEPTED: Final = "accepted"


class PageProbe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request: 200 is expected, and a JSON document with these keys, or a page with these words."""

    path: str
    keys: tuple[str, ...] = ()
    words: str = ""


class Tradable(msgspec.Struct, frozen=True):
    """An instrument as `/v1/instruments` shows it, and its last price in paise where there is one."""

    symbol: str
    lot_size: int
    tick_size: str
    freeze_quantity: int | None = None
    last_paise: int | None = None

    @property
    def tick_paise(self) -> int:
        """The tick in paise."""
        return parse_rupees(self.tick_size)


class OrderProbe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dry run; `price` and `trigger` are ticks from the last price, `verdict` is accepted or a code."""

    name: str
    side: str
    type: str
    verdict: str
    symbol: str = ""
    product: str = "MIS"
    validity: str = "DAY"
    lots: int = 1
    extra_units: int = 0
    above_freeze: bool = False
    price: int | None = None
    trigger: int | None = None
    off_tick: bool = False

    def fits(self, instrument: Tradable) -> bool:
        """Whether the instrument can show what this row is about."""
        priced = self.price is not None or self.trigger is not None
        return not (
            (self.extra_units and instrument.lot_size == 1)
            or (self.above_freeze and not instrument.freeze_quantity)
            or (priced and instrument.last_paise is None)
            or (self.off_tick and instrument.tick_paise == 1)
        )

    def body(self, instrument: Tradable) -> dict[str, Any]:
        """The body of `POST /v1/orders`."""
        body: dict[str, Any] = {
            "symbol": self.symbol or instrument.symbol,
            "side": self.side,
            "type": self.type,
            "product": self.product,
            "validity": self.validity,
            "quantity": self._quantity(instrument),
            "dry_run": True,
        }
        for name, ticks in (("price", self.price), ("trigger_price", self.trigger)):
            if ticks is not None:
                body[name] = format_rupees(self._paise(ticks, instrument))
        return body

    def arrived(self, instrument: Tradable) -> dict[str, Any]:
        """The same order as the edge must have understood it."""
        body = self.body(instrument)
        prices = {
            f"{name}_paise": None if ticks is None else self._paise(ticks, instrument)
            for name, ticks in (("price", self.price), ("trigger_price", self.trigger))
        }
        same = {name: body[name] for name in ("symbol", "side", "type", "product", "validity", "quantity")}
        return {**same, **prices, "purpose": "ENTRY"}

    def _quantity(self, instrument: Tradable) -> int:
        lot = instrument.lot_size
        if self.above_freeze and instrument.freeze_quantity:
            return (instrument.freeze_quantity // lot + 1) * lot
        return self.lots * lot + self.extra_units

    def _paise(self, ticks: int, instrument: Tradable) -> int:
        tick = instrument.tick_paise
        return (max(2, (instrument.last_paise or 0) // tick) + ticks) * tick + (1 if self.off_tick else 0)


class Table(msgspec.Struct, frozen=True):
    """The whole table."""

    requests: dict[Component, tuple[PageProbe, ...]]
    orders: tuple[OrderProbe, ...]


def load_table(file: Path | None = None) -> Table:
    """The table; ConfigError when the file is not what it should be."""
    file = file or contract_folder() / "probes.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Table)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file.name}: {error}", mend="Use the file of this version.") from None
