"""The strategies of an engine, until they are configured by people.

One EMA cross on Reliance, or on the first share that is priced. On a tape at a slow pace one-minute bars would cross
every ten minutes or more; there the bars are shorter, so that somebody who watches sees orders.
"""

from __future__ import annotations

from collections.abc import Sequence

from tradingengine.domain.instruments import Instrument
from tradingengine.marketdata.port import Source
from tradingengine.strategies.ema_cross import EmaCross, EmaCrossParameters
from tradingengine.strategies.interface import OrderLimits, Strategy

PREFERRED = "NSE:RELIANCE"
WATCHED = OrderLimits(per_bar=1, per_minute=12, per_session=1_000)
USUAL = OrderLimits(per_bar=1, per_minute=6, per_session=20)
WATCHED_BARS = (5, 10, 15, 30, 60)
WATCHED_PACE_S = 5  # wall time that a bar should last at least


def default_strategies(source: Source, instruments: Sequence[Instrument], speed: float = 1.0) -> list[Strategy]:
    """The strategies that run on a source at a speed; none when nothing that it prices can be traded."""
    symbol = _symbol(instruments)
    if symbol is None:
        return []
    return [EmaCross(parameters_for(source, symbol, speed))]


def parameters_for(source: Source, symbol: str, speed: float = 1.0) -> EmaCrossParameters:
    """Parameters of the EMA cross: 9/21 on 1-minute bars and at most 20 orders a session for a broker's prices.

    On a tape 2/5 on the shortest bars, of 5 to 60 s of market time, that last 5 s of wall time at its speed (60 s for
    a faster tape), with limits that let somebody watch it.
    """
    if source == "broker":
        return EmaCrossParameters(symbol=symbol, limits=USUAL)
    long_enough = (seconds for seconds in WATCHED_BARS if seconds >= WATCHED_PACE_S * speed)
    bar_seconds = next(long_enough, WATCHED_BARS[-1])
    return EmaCrossParameters(symbol=symbol, fast=2, slow=5, bar_seconds=bar_seconds, limits=WATCHED)


def _symbol(instruments: Sequence[Instrument]) -> str | None:
    tradable = sorted(instrument.symbol for instrument in instruments if instrument.tradable)
    if PREFERRED in tradable:
        return PREFERRED
    return tradable[0] if tradable else None
