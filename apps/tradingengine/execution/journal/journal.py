"""The journal: append-only, in sequence, durable before anybody sees an entry.

One SQLite file (WAL, synchronous FULL). Entries are appended in transactions; each gets the next sequence number.
Listeners hear entries in sequence, on the event loop, before the one who appended goes on. What is about orders,
commands and trading stays for ever; bars and marks are removed once they are old and stored in the cloud.
The column `digest` is the place of the hash chain; nothing writes it in format 1.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import apsw
import msgspec

from tradingengine.domain.clock import MarketClock, WallClock, rfc3339
from tradingengine.errors import TradingEngineError
from tradingengine.execution.journal.entry import BULK_TYPES, Draft, Entry
from tradingengine.storage.sqlite import SqliteFailedError, SqliteFile

log = logging.getLogger(__name__)

FORMAT: Final = 1
_TAIL: Final = 4096
_STRETCH: Final = 500
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, at TEXT NOT NULL, market_time TEXT, run TEXT NOT NULL,
  type TEXT NOT NULL, id TEXT, data BLOB NOT NULL, bulk INTEGER NOT NULL, digest BLOB);
CREATE INDEX IF NOT EXISTS entries_id ON entries (id) WHERE id IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_orders ON entries (seq) WHERE bulk = 0;
"""
_COLUMNS: Final = "seq, epoch, at, market_time, run, type, id, data"


class JournalError(TradingEngineError):
    """The journal's file cannot be used by this version, or is damaged."""

    code = "journal"
    title = "The journal cannot be used"


class Journal:
    """The journal of one edge."""

    def __init__(self, path: Path, *, wall: WallClock, market: MarketClock) -> None:
        """`market` gives the market time stored beside the wall time; nothing is opened before `open`."""
        self._file = SqliteFile(path, self._prepare)
        self._wall = wall
        self._market = market
        self._listeners: list[Callable[[Entry], None]] = []
        self._tail: deque[Entry] = deque(maxlen=_TAIL)
        self._next = 1
        self.run = ""
        self.uuid = ""
        self.epoch = 0
        self.sequence = 0
        self.acked = 0
        self.listener_errors = 0

    @property
    def failure(self) -> TradingEngineError | None:
        """Why nothing can be journalled any more, None while it works."""
        return self._file.failure

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Call `listener` with every entry from now on, in sequence, once it is durable."""
        self._listeners.append(listener)

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the file has failed, before whoever waits for it hears of that."""
        self._file.on_failure = listener

    async def open(self) -> None:
        """Open or make the file and begin a new epoch; JournalError or SqliteFileError when it cannot be used."""
        await self._file.open()

    def append(self, drafts: Iterable[Draft]) -> "asyncio.Future[list[Entry]]":
        """Journal `drafts` in one transaction. The order of calls is the order of sequence.

        The future gives the entries once they are durable and the listeners have heard them; it fails with
        SqliteFailedError when the disk refuses. Not awaiting it is allowed.
        """
        entries = [self._entry(draft, number) for number, draft in enumerate(drafts, start=self._next)]
        rows = [_row(entry) for entry in entries]  # a value that JSON cannot hold fails here, before it takes a number
        self._next += len(entries)
        future = self._file.submit(lambda connection: _insert(connection, rows, entries))
        future.add_done_callback(self._appended)
        return future

    def _entry(self, draft: Draft, seq: int) -> Entry:
        return Entry(
            seq=seq,
            epoch=self.epoch,
            at=rfc3339(self._wall.now()),
            market_time=rfc3339(self._market.now()),
            run=self.run,
            type=draft.type,
            id=draft.id,
            data=_storable(draft.data),
        )

    def unwritten(self, drafts: Iterable[Draft]) -> list[Entry]:
        """Entries of drafts that could not be journalled, under the last sequence that could."""
        return [self._entry(draft, self.sequence) for draft in drafts]

    async def record(self, *drafts: Draft) -> list[Entry]:
        """Append and wait until durable and heard; a cancelled caller does not undo it."""
        return await asyncio.shield(self.append(drafts))

    def _appended(self, future: "asyncio.Future[list[Entry]]") -> None:
        if future.cancelled() or future.exception() is not None:
            return
        for entry in future.result():
            self.sequence = entry.seq
            self._tail.append(entry)
            for listener in self._listeners:
                self._tell(listener, entry)

    def _tell(self, listener: Callable[[Entry], None], entry: Entry) -> None:
        try:
            listener(entry)
        except Exception:  # whoever stumbles over an entry keeps nobody else, and no later entry, from being heard
            self.listener_errors += 1
            log.exception("an entry could not be taken", extra={"seq": entry.seq, "type": entry.type})

    async def read(self, after: int, limit: int = 500) -> list[Entry]:
        """Entries with a sequence above `after`, oldest first; from memory when they are recent."""
        if after >= self.sequence:
            return []
        if self._tail and self._tail[0].seq <= after + 1:
            start = after + 1 - self._tail[0].seq
            return [self._tail[index] for index in range(start, min(len(self._tail), start + limit))]
        query = f"SELECT {_COLUMNS} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - constants only
        rows = await self._file.run(lambda connection: list(connection.execute(query, (after, limit))))
        return _without_gaps(after, (_entry(row) for row in rows), limit)

    async def replay(self, visit: Callable[[Entry], object], batch: int = 5000) -> int:
        """Give every entry that matters to orders to `visit`, oldest first; the number of them."""
        query = f"SELECT {_COLUMNS} FROM entries WHERE bulk = 0 AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - constants only
        count, after = 0, 0

        def page(connection: apsw.Connection) -> list[tuple[Any, ...]]:
            return list(connection.execute(query, (after, batch)))

        while True:
            rows = await self._file.run(page)
            for row in rows:
                entry = _entry(row)
                visit(entry)
                after = entry.seq
            count += len(rows)
            if len(rows) < batch:
                return count

    async def contains(self, entry_id: str) -> bool:
        """Whether anything was ever journalled about that order or command."""
        query = "SELECT 1 FROM entries WHERE id = ? LIMIT 1"
        return await self._file.run(lambda connection: connection.execute(query, (entry_id,)).fetchone() is not None)

    async def acknowledge(self, seq: int) -> None:
        """Keep how far the cloud has stored the journal; what goes back is for `take_back`."""
        if self.acked < seq <= self.sequence:
            await self._set_acked(seq)

    async def take_back(self, seq: int) -> None:
        """The cloud holds less than it once had (a new or restored database): its word counts."""
        if 0 <= seq < self.acked:
            await self._set_acked(seq)

    async def _set_acked(self, seq: int) -> None:
        self.acked = seq
        with suppress(SqliteFailedError):  # what is forgotten is shipped again after the next start, and dropped there
            await self._file.run(lambda connection: _put(connection, "acked", str(seq)))

    async def prune(self, before: datetime) -> bool:
        """Remove bars and marks from the next stretch of entries; whether it did.

        It does if all of the stretch is older than `before` and stored in the cloud. A stretch is short: no order
        waits for it.
        """
        try:
            return await self._file.run(lambda connection: _prune(connection, self.acked, rfc3339(before)))
        except SqliteFailedError:
            return False  # the journal has said so itself

    async def close(self) -> None:
        """Checkpoint and close."""
        await self._file.close()

    def abandon(self) -> None:
        """Drop the file as a killed process would."""
        self._file.abandon()

    def _prepare(self, connection: apsw.Connection) -> None:
        known = connection.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone() is not None
        meta = dict(connection.execute("SELECT key, value FROM meta")) if known else {}
        _check_format(meta, str(self._file.path))
        connection.execute(_SCHEMA)
        self.uuid = meta.get("uuid") or str(uuid4())
        self.epoch = int(meta.get("epoch", "0")) + 1
        self.acked = int(meta.get("acked", "0"))
        for key, value in (("format", str(FORMAT)), ("uuid", self.uuid), ("epoch", str(self.epoch))):
            _put(connection, key, value)
        last, count = connection.execute("SELECT coalesce(max(seq), 0), count(*) FROM entries").fetchone() or (0, 0)
        if last != count + int(meta.get("removed", "0")):
            raise JournalError(
                f"{self._file.path}: {count} entries up to sequence {last}: some are missing",
                mend="Keep the file for examination, restore the last good copy, and let recovery ask the broker.",
            )
        self.sequence = int(last)
        self._next = self.sequence + 1


def _check_format(meta: dict[str, str], path: str) -> None:
    text = meta.get("format", str(FORMAT))
    if not text.isdigit() or int(text) > FORMAT:
        raise JournalError(
            f"{path} has format {text}; this version knows formats up to {FORMAT}",
            mend="Start the version that wrote it, or a newer one; never delete the journal for this.",
        )


def _storable(data: dict[str, Any]) -> dict[str, Any]:
    """`data` without NUL characters, which JSON can carry and Postgres cannot store; U+FFFD stands in their place."""
    text = msgspec.json.encode(data)
    if b"\\u0000" not in text:
        return data
    cleaned: dict[str, Any] = msgspec.json.decode(text.replace(b"\\u0000", b"\\ufffd"))
    return cleaned


def _row(entry: Entry) -> tuple[int, int, str, str | None, str, str, str | None, bytes, bool]:
    data = msgspec.json.encode(entry.data)
    bulk = entry.type in BULK_TYPES
    return (entry.seq, entry.epoch, entry.at, entry.market_time, entry.run, entry.type, entry.id, data, bulk)


def _insert(connection: apsw.Connection, rows: list[tuple[Any, ...]], entries: list[Entry]) -> list[Entry]:
    try:
        connection.executemany(f"INSERT INTO entries ({_COLUMNS}, bulk) VALUES (?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608
    except Exception as error:
        # Whatever it is, it closes the file: the numbers are given, and after a gap no start would take the journal.
        raise apsw.Error(f"{type(error).__name__}: {error}") from error
    return entries


def _prune(connection: apsw.Connection, acked: int, before: str) -> bool:
    meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('pruned', 'removed')"))
    start = int(meta.get("pruned", "0"))
    end = start + _STRETCH
    # The entry behind the stretch stays: the newest one is never removed, so that no number is given twice.
    behind = connection.execute("SELECT at FROM entries WHERE seq = ?", (end + 1,)).fetchone()
    if end > acked or behind is None or str(behind[0]) >= before:
        return False
    # Not all that is bulk: without the instruments, which a run tells once, a new database could take no order.
    passing = "DELETE FROM entries WHERE seq > ? AND seq <= ? AND type IN ('candles.closed', 'mark')"
    connection.execute(passing, (start, end))
    removed = int(meta.get("removed", "0")) + connection.changes()
    _put(connection, "pruned", str(end))
    _put(connection, "removed", str(removed))
    return True


def _without_gaps(after: int, entries: Iterable[Entry], limit: int) -> list[Entry]:
    """At most `limit` entries, with marks in the places of what was removed: a new database may ask from the start."""
    found: list[Entry] = []
    for entry in entries:
        while after + 1 < entry.seq and len(found) < limit:
            after += 1
            found.append(msgspec.structs.replace(entry, seq=after, type="mark", id=None, data={"removed": True}))
        if len(found) == limit:
            break
        found.append(entry)
        after = entry.seq
    return found


def _put(connection: apsw.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, epoch, at, market_time, run, type_, entry_id, data = row
    return Entry(
        seq=seq,
        epoch=epoch,
        at=at,
        market_time=market_time,
        run=run,
        type=type_,
        id=entry_id,
        data=msgspec.json.decode(data),
    )
