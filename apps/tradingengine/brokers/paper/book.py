"""The paper exchange's own book in its own file; a tag can be in it only once."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from tradingengine.brokers.port import BookRow, RowState
from tradingengine.domain.clock import IST
from tradingengine.storage.sqlite import SqliteFile, SqliteFileError

FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
  broker_order_id TEXT PRIMARY KEY, tag TEXT NOT NULL UNIQUE, day TEXT NOT NULL, open INTEGER NOT NULL,
  limit_paise INTEGER, triggered INTEGER NOT NULL, row BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS orders_open ON orders (open) WHERE open = 1;
CREATE INDEX IF NOT EXISTS orders_day ON orders (day);
"""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BookRow).decode


class Resting(msgspec.Struct, frozen=True):
    """One order of the exchange while it works on it; a change makes a new one.

    `limit` is the price that it may trade at, None before that is known (a stop-market order before its trigger, an
    order at market before the first quote); `triggered` is True for orders without a trigger.
    """

    row: BookRow
    limit: int | None
    triggered: bool
    day: str


class PaperBook:
    """Rows on disk. Every change is durable before anybody hears of it."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before `open`."""
        self._file = SqliteFile(path, self._prepare)

    @property
    def failed(self) -> bool:
        """Whether the file can no longer be written."""
        return self._file.failure is not None

    async def open(self) -> list[Resting]:
        """Open or make the file; the orders that are open in it."""
        await self._file.open()
        query = "SELECT row, limit_paise, triggered, day FROM orders WHERE open = 1 ORDER BY broker_order_id"
        rows = await self._file.run(lambda connection: list(connection.execute(query)))
        return [
            Resting(row=_decode(_bytes(row)), limit=limit, triggered=bool(triggered), day=str(day))
            for row, limit, triggered, day in rows
        ]

    async def insert(self, resting: Resting) -> bool:
        """Write a new order; False when the tag is there already."""
        try:
            await self._file.run(lambda connection: _insert(connection, resting))
        except apsw.ConstraintError:
            return False
        return True

    async def save(self, changed: list[Resting]) -> None:
        """Write changed orders in one transaction."""
        if changed:
            await self._file.run(lambda connection: _save(connection, changed))

    async def next_number(self) -> int:
        """A number for a new broker order id; never given twice, not even after a crash."""
        return await self._file.run(_next_number)

    async def by_tag(self, tag: str) -> BookRow | None:
        """The row of a tag."""
        query = "SELECT row FROM orders WHERE tag = ?"
        found = await self._file.run(lambda connection: connection.execute(query, (tag,)).fetchone())
        return None if found is None else _decode(_bytes(found[0]))

    async def rows(self, day: str) -> list[BookRow]:
        """All rows of a trading day, and all that are open."""
        query = "SELECT row FROM orders WHERE day = ? OR open = 1 ORDER BY broker_order_id"
        found = await self._file.run(lambda connection: list(connection.execute(query, (day,))))
        return [_decode(_bytes(row[0])) for row in found]

    async def count(self) -> int:
        """Number of rows, and with it of different tags."""
        found = await self._file.run(lambda connection: connection.execute("SELECT count(*) FROM orders").fetchone())
        return int(str(found[0])) if found else 0

    async def close(self) -> None:
        """Checkpoint and close."""
        await self._file.close()

    def abandon(self) -> None:
        """Drop the file as a killed process would."""
        self._file.abandon()

    def _prepare(self, connection: apsw.Connection) -> None:
        connection.execute(_SCHEMA)
        row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        if row is not None and int(str(row[0])) > FORMAT:
            raise SqliteFileError(
                f"{self._file.path} has format {row[0]}; this version knows formats up to {FORMAT}",
                mend="Start the version that wrote it, or a newer one.",
            )
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('number', '0')")


def trading_day(at: datetime) -> str:
    """The IST date of a market time, as the book's rows carry it."""
    return at.astimezone(IST).date().isoformat()


def _bytes(value: Any) -> bytes:
    return bytes(value)


def _is_open(state: RowState) -> int:
    return 0 if state.terminal else 1


def _insert(connection: apsw.Connection, resting: Resting) -> None:
    row = resting.row
    connection.execute(
        "INSERT INTO orders (broker_order_id, tag, day, open, limit_paise, triggered, row) VALUES (?,?,?,?,?,?,?)",
        (
            row.broker_order_id,
            row.tag,
            resting.day,
            _is_open(row.state),
            resting.limit,
            int(resting.triggered),
            _encode(row),
        ),
    )


def _save(connection: apsw.Connection, changed: list[Resting]) -> None:
    connection.executemany(
        "UPDATE orders SET open = ?, limit_paise = ?, triggered = ?, row = ? WHERE tag = ?",
        [
            (_is_open(item.row.state), item.limit, int(item.triggered), _encode(item.row), item.row.tag)
            for item in changed
        ],
    )


def _next_number(connection: apsw.Connection) -> int:
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'number'")
    found = connection.execute("SELECT value FROM meta WHERE key = 'number'").fetchone()
    return int(str(found[0])) if found else 0
