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


def write_days(folder: Path, symbols: Mapping[str, float], opens: Sequence[int], *, name: str = "made") -> None:
    """Whole days of 375 rising minutes for each symbol (with its price in rupees), and a Noren master of shares."""
    rows = [
        (symbol, start + 60 * minute, base + 0.05 * minute, base + 0.05 * minute + 0.5, base + 0.05 * minute - 0.5,
         base + 0.05 * (minute + 1), 1_900 + minute)
        for symbol, base in symbols.items()
        for start in opens
        for minute in range(375)
    ]  # fmt: skip
    names = ("symbol", "ts", "open", "high", "low", "close", "volume")
    columns = [
        [round(value, 2) if isinstance(value, float) else value for value in column]
        for column in zip(*rows, strict=True)
    ]
    write_parquet(folder / f"bars_1m_{name}.parquet", dict(zip(names, columns, strict=True)))
    lines = "".join(f"NSE,{number},1,{symbol},{symbol}-EQ,EQ,0.05,\n" for number, symbol in enumerate(symbols, 1))
    (folder / f"instruments_noren_nse_{name}.csv").write_text(NOREN + lines)
