"""Rows of a recording as the product reads them: tickers, epoch seconds, whole paise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tradingengine.marketdata.errors import DataFolderError, Defect
from tradingengine.marketdata.replay import columns as read
from tradingengine.marketdata.replay.checks import BATCH_ROWS, MEND_COPY, first_line, open_layout
from tradingengine.marketdata.replay.columns import Layout


def read_rows(path: Path, wanted: Callable[[Any], Any], names: Mapping[str, str], *, bars: bool) -> Iterator[Any]:
    """Tables of the rows that `wanted` picks of a table with `symbol` and `ts`; `names` are tickers by spelling.

    Columns: `symbol`, `ts`, the prices in paise, the volume (0 where none was recorded) and `row` (from 1).
    DataFolderError when the file changed or vanished since it was checked.
    """
    try:
        with pq.ParquetFile(path) as file:
            layout = open_layout(file, bars=bars)
            if not isinstance(layout, Layout):
                raise DataFolderError([Defect(path.name, "", slip.what, slip.mend) for slip in layout])
            offset = 1
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(layout.names.values())):
                table = _named(batch, layout, names, offset)
                offset += batch.num_rows
                chosen = table.filter(wanted(table))
                if chosen.num_rows:
                    yield _converted(chosen, layout)
    except (pa.ArrowException, OSError) as error:
        what = f"the file cannot be read any more ({first_line(error)})"
        raise DataFolderError([Defect(path.name, "", what, MEND_COPY)]) from error


def _named(batch: Any, layout: Layout, names: Mapping[str, str], offset: int) -> Any:
    held = {name: batch[column] for name, column in layout.names.items()}
    held["symbol"] = read.rename(read.plain_text(held["symbol"]), lambda text: names.get(text, text))
    held["ts"] = read.seconds(read.raw_times(held["ts"]), layout)
    held["row"] = pa.array(range(offset, offset + batch.num_rows), pa.int64())
    return pa.table(held)


def _converted(table: Any, layout: Layout) -> Any:
    values = {"symbol": table["symbol"], "ts": table["ts"]}
    for name in layout.prices:
        values[name] = read.paise(read.rupees(table[name]))
    volume = layout.volume
    known = volume in layout.names
    values[volume] = read.units(table[volume]) if known else pa.array([0] * table.num_rows, pa.int64())
    return pa.table({**values, "row": table["row"]})
