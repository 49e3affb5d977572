"""One SQLite file with one connection on one thread, durable at every commit.

The edge's journal and the paper broker's book live in such files. One connection alone keeps clear of SQLite's
WAL-reset defect (3.7.0 to 3.51.2), and old libraries are refused besides.
"""

import asyncio
import contextlib
import logging
import queue
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from tradingengine.errors import TradingEngineError

T = TypeVar("T")
log = logging.getLogger(__name__)

_CHECKPOINT_PAGES: Final = 1000
LEAST_FREE_BYTES: Final = 16 * 2**20
"""A file is opened only with so much room: one that opens and then fails at once would stay closed until a restart."""


_MEND: Final = "Check the volume: its owner and its free space."


class SqliteFileError(TradingEngineError):
    """A file cannot be opened or used; the text names the file and what to do."""

    code = "sqlite"
    title = "A file of the edge cannot be used"


class SqliteFailedError(SqliteFileError):
    """Writing failed (disk full, I/O error): what is on disk is unknown, so the file is closed until a restart."""

    code = "sqlite_failed"


def check_version(version: tuple[int, int, int] | None = None) -> None:
    """Refuse SQLite libraries with the WAL-reset defect: fixed in 3.51.3, and in 3.50.7 and 3.44.6 of their lines."""
    parts = version or _parse(apsw.sqlite_lib_version())
    if parts >= (3, 51, 3) or (parts[:2] == (3, 50) and parts[2] >= 7) or (parts[:2] == (3, 44) and parts[2] >= 6):
        return
    raise SqliteFileError(
        f"SQLite {'.'.join(map(str, parts))} can corrupt a WAL file",
        mend="Install the apsw wheel of the lock, which bundles 3.51.3 or newer.",
    )


def _parse(text: str) -> tuple[int, int, int]:
    major, minor, patch = (int(part) for part in text.split(".")[:3])
    return major, minor, patch


class SqliteFile:
    """Runs functions on the file's own thread, in the order they were given, each in one transaction.

    `setup` runs once on the fresh connection, inside a transaction, to make or check the tables.
    """

    def __init__(self, path: Path, setup: Callable[[apsw.Connection], None]) -> None:
        """Nothing is opened before `open`."""
        self.path = path
        self._setup = setup
        self._jobs: queue.SimpleQueue[tuple[Callable[[apsw.Connection], Any], asyncio.Future[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._failure: SqliteFailedError | None = None
        self._closed = False
        self._wal_pages = 0
        self.on_failure: Callable[[], None] = lambda: None

    @property
    def failure(self) -> SqliteFailedError | None:
        """Why the file is out of use, None while it works."""
        return self._failure

    async def open(self) -> None:
        """Open or make the file; SqliteFileError when that is impossible. May be tried again, also after a failure."""
        check_version()
        await self.close()
        self._check_room()
        self._jobs = queue.SimpleQueue()
        self._failure, self._closed = None, False
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, args=(ready,), name=f"sqlite-{self.path.stem}", daemon=True)
        self._thread.start()
        await ready

    def _check_room(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise SqliteFileError(f"{self.path} cannot be opened: {error}", mend=_MEND) from error
        if free < LEAST_FREE_BYTES:
            found, least = free // 2**20, LEAST_FREE_BYTES // 2**20
            raise SqliteFileError(
                f"{self.path} is not opened: its disk has {found} MiB left, {least} are needed", mend=_MEND
            )

    def submit(self, work: Callable[[apsw.Connection], T]) -> "asyncio.Future[T]":
        """Queue `work`; the future resolves in order of submission, after the commit is durable.

        Work runs even if the awaiting task is cancelled. Fails with SqliteFailedError once writing has failed.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._loop is None or self._closed or self._failure is not None:
            future.set_exception(self._failure or SqliteFailedError(f"{self.path} is not open"))
            future.exception()  # the caller may not look; it is not an error of the loop
            return future
        self._jobs.put((work, future))
        return future

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Queue `work` and wait for its result; a cancelled caller does not cancel the work."""
        return await asyncio.shield(self.submit(work))

    async def close(self) -> None:
        """Finish what is queued, checkpoint, close the file."""
        if self._thread is None or self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def abandon(self) -> None:
        """Let go of the file as a killed process would: no checkpoint, and what is queued is lost. For crash tests."""
        self._closed = True
        self._failure = self._failure or SqliteFailedError(f"{self.path} was abandoned")
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _work(self, ready: "asyncio.Future[None]") -> None:
        try:
            connection = self._connect()
        except TradingEngineError as error:
            self._deliver(ready, None, error)
            return
        except Exception as error:  # noqa: BLE001 - a thread that ends without a word would be waited for for ever
            reason = f"{self.path} cannot be opened: {type(error).__name__}: {error}"
            self._deliver(ready, None, SqliteFileError(reason, mend=_MEND))
            return
        self._deliver(ready, None, None)
        while (job := self._jobs.get()) is not None:
            self._one(connection, *job)
            if self._wal_pages >= _CHECKPOINT_PAGES and self._jobs.empty():
                # Passive: somebody who reads the file meanwhile never makes the next order wait.
                self._checkpoint(connection, apsw.SQLITE_CHECKPOINT_PASSIVE)
        if self._failure is None:
            self._checkpoint(connection, apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with contextlib.suppress(apsw.Error):
            connection.close()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        try:
            connection.set_busy_timeout(2000)
            connection.pragma("journal_mode", "WAL")
            connection.pragma("synchronous", "FULL")
            connection.wal_autocheckpoint(0)
            connection.set_wal_hook(self._on_wal)
            _in_transaction(connection, self._setup)
        except BaseException:
            connection.close()
            raise
        return connection

    def _on_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return 0

    def _checkpoint(self, connection: apsw.Connection, mode: int) -> None:
        self._wal_pages = 0
        try:
            connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return  # a reader holds the log; the next burst tries again
        except apsw.Error as error:
            self._fail(error)

    def _one(
        self, connection: apsw.Connection, work: Callable[[apsw.Connection], Any], future: "asyncio.Future[Any]"
    ) -> None:
        if self._failure is not None:
            self._deliver(future, None, self._failure)
            return
        try:
            result = _in_transaction(connection, work)
        except apsw.ConstraintError as error:
            self._deliver(future, None, error)
        except apsw.Error as error:
            self._deliver(future, None, self._fail(error))
        except Exception as error:  # noqa: BLE001 - the work's own error belongs to whoever asked for it
            self._deliver(future, None, error)
        else:
            self._deliver(future, result, None)

    def _fail(self, error: Exception) -> SqliteFailedError:
        failure = SqliteFailedError(
            f"{self.path} cannot be written: {type(error).__name__}: {error}",
            mend="Free or replace the disk, then restart the pod; what was sent is found again at the broker.",
        )
        log.critical("a file of the edge failed: closed until a restart", extra={"problem": failure.detail})
        self._failure = failure
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody listens any more
                self._loop.call_soon_threadsafe(self.on_failure)
        return failure

    def _deliver(self, future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
        def settle() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        loop = future.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(settle)


def _in_transaction(connection: apsw.Connection, work: Callable[[apsw.Connection], T]) -> T:
    """All of `work` or nothing of it, durable on return. On a full disk SQLite may have rolled back by itself."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
