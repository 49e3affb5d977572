"""Recordings as people have them in a folder, made by the tests themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NOREN = "Exchange,Token,LotSize,Symbol,TradingSymbol,Instrument,TickSize,\n"
"""First line of a Noren master."""

OPEN = 1_620_618_300  # 2021-05-10 09:15 IST, epoch seconds
DAY = 86_400


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], types: Mapping[str, Any] | None = None) -> None:
    """Write columns, with other types where `types` names them."""
    arrays = {name: pa.array(values, (types or {}).get(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path)


def swinging_price(second: int) -> float:
    """Rupees: up and down by two between 2000 and 2002, 20 s each way, so that short averages cross again and again."""
    return 2_000.0 + 0.1 * (20 - abs(second % 40 - 20))


def write_swinging_day(folder: Path, symbol: str, seconds: int) -> None:
    """A share with minutes of one day and `seconds` of ticks of the next, one each second."""
    bars = [(symbol, OPEN + 60 * minute, 2_000.0, 2_002.0, 2_000.0, 2_001.0, 1_000) for minute in range(30)]
    names = ("symbol", "ts", "open", "high", "low", "close", "volume")
    write_parquet(folder / "bars_1m_first_day.parquet", dict(zip(names, zip(*bars, strict=True), strict=True)))
    write_parquet(
        folder / "ticks_second_day.parquet",
        {
            "symbol": [symbol] * seconds,
            "ts": [OPEN + DAY + second for second in range(seconds)],
            "ltp": [swinging_price(second) for second in range(seconds)],
            "day_volume": [10 * second for second in range(seconds)],
        },
    )
    (folder / "instruments_noren_nse_day.csv").write_text(f"{NOREN}NSE,1,1,{symbol},{symbol}-EQ,EQ,0.1,\n")
