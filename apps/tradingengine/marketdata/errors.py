"""Errors of market data: one root, so that a caller can catch all of them by one name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tradingengine.errors import TradingEngineError


class MarketDataError(TradingEngineError):
    """Root of every error that this package raises on purpose."""

    code = "market_data"
    title = "Prices cannot be had from there"


class MarketDataConfigError(MarketDataError):
    """The `marketData` part of the configuration cannot be used; `field` names the part, `mend` the way out."""

    code = "config"
    title = "A setting is wrong"

    def __init__(self, field: str, what: str, mend: str) -> None:
        super().__init__(f"{field}: {what}", field=field, mend=mend)


class UnknownSymbolError(MarketDataError):
    """A symbol that the feed does not carry."""

    code = "unknown_symbol"
    title = "The symbol is not known here"


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing wrong with one file of a data folder.

    `where` is "row N" (data rows of a Parquet file, the first is 1), "line N" (text files) or "" for the whole file.
    """

    file: str
    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        place = f"{self.file}, {self.where}" if self.where else self.file
        return f"{place}: {self.what}. {self.mend}"


class DataFolderError(MarketDataError):
    """A data folder is missing, partial or corrupt; `defects` has every finding, the text the first few of them."""

    code = "data_folder"
    title = "The data folder cannot be used"
    SHOWN = 5

    def __init__(self, defects: Sequence[Defect]) -> None:
        self.defects = tuple(defects)
        lines = [str(defect) for defect in self.defects[: self.SHOWN]]
        if len(self.defects) > self.SHOWN:
            lines.append(f"and {len(self.defects) - self.SHOWN} more")
        super().__init__(
            "the data folder is refused:\n  " + "\n  ".join(lines),
            mend="Mend or copy the files again; `te data check FOLDER` tells the state of each.",
        )
