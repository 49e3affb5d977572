"""Looking at the edge's own disk from this machine, which works while the edge is cut off from the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import msgspec
from tradingengine.execution.book import OrderBook
from tradingengine.execution.journal import Entry

JOURNAL = Path("journal") / "journal.sqlite"
PAPER_BOOK = Path("paper") / "book.sqlite"


@dataclass(frozen=True)
class EdgeOrder:
    """One order as the edge's journal has it."""

    id: str
    state: str
    source: str
    filled: int


class EdgeDisk:
    """One engine's journal volume; files are opened read-only, by a library that is safe beside a writer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _rows(self, file: Path, query: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        path = self.folder / file
        if not path.is_file():
            return []
        connection = apsw.Connection(f"file:{path}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            connection.set_busy_timeout(5000)
            return list(connection.execute(query, bindings))
        finally:
            connection.close()

    def sequence(self) -> int:
        """The last sequence number that is on disk."""
        rows = self._rows(JOURNAL, "SELECT coalesce(max(seq), 0) FROM entries")
        return int(rows[0][0]) if rows else 0

    def acknowledged(self) -> int:
        """How far the cloud has stored the journal, as the edge last heard."""
        rows = self._rows(JOURNAL, "SELECT value FROM meta WHERE key = 'acked'")
        return int(rows[0][0]) if rows else 0

    def orders(self) -> dict[str, EdgeOrder]:
        """All orders by id, with the states that the edge itself would show after a restart."""
        book = OrderBook()
        query = "SELECT seq, epoch, at, market_time, run, type, id, data FROM entries WHERE bulk = 0 ORDER BY seq"
        for *plain, data in self._rows(JOURNAL, query):
            seq, epoch, at, market_time, run, kind, entry_id = plain
            book.apply(
                Entry(
                    seq=seq,
                    epoch=epoch,
                    at=at,
                    market_time=market_time,
                    run=run,
                    type=kind,
                    id=entry_id,
                    data=msgspec.json.decode(data),
                )
            )
        return {
            order.id: EdgeOrder(order.id, str(order.state), str(order.source), order.filled_quantity)
            for order in book.orders.values()
        }

    def broker_tags(self) -> list[str]:
        """The tag of every order in the paper broker's book."""
        return [str(row[0]) for row in self._rows(PAPER_BOOK, "SELECT tag FROM orders")]
