"""The strategies of an engine, until they are configured by people.

One EMA cross on Reliance, or on the first share that is priced. Parameters depend on the source: simulated prices run
at the market's own pace, where one-minute bars would cross every half hour or so; there the bars are five seconds long,
so that somebody who watches sees orders.
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


def default_strategies(source: Source, instruments: Sequence[Instrument]) -> list[Strategy]:
    """The strategies that run on a source; none when nothing that it prices can be traded."""
    symbol = _symbol(instruments)
    if symbol is None:
        return []
    return [EmaCross(parameters_for(source, symbol))]


def parameters_for(source: Source, symbol: str) -> EmaCrossParameters:
    """Parameters of the EMA cross: 3/8 on 5-second bars for the simulator, 9/21 on 1-minute bars for all else."""
    if source == "simulator":
        return EmaCrossParameters(symbol=symbol, fast=3, slow=8, bar_seconds=5, limits=WATCHED)
    return EmaCrossParameters(symbol=symbol, limits=USUAL)


def _symbol(instruments: Sequence[Instrument]) -> str | None:
    tradable = sorted(instrument.symbol for instrument in instruments if instrument.tradable)
    if PREFERRED in tradable:
        return PREFERRED
    return tradable[0] if tradable else None
