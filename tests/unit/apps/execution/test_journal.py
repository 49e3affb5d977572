"""The journal: durable before heard, in sequence, one executor, and clear refusals."""

import asyncio
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from tradingengine.execution.journal import (
    Draft,
    Entry,
    Journal,
    JournalError,
    StateLock,
    StateLockedError,
    keep_short,
)
from tradingengine.storage.sqlite import SqliteFailedError, SqliteFile, SqliteFileError, check_version

from tests.unit.apps.execution.kit import NOW, FakeMarket, FakeWall, until

pytestmark = pytest.mark.unit


def journal(folder: Path) -> Journal:
    return Journal(folder / "journal.sqlite", wall=FakeWall(), market=FakeMarket())


async def opened(folder: Path) -> Journal:
    made = journal(folder)
    await made.open()
    return made


async def test_entries_are_numbered_without_gaps_and_heard_in_order_before_the_writer_goes_on(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    heard: list[int] = []
    made.listen(lambda entry: heard.append(entry.seq))
    for number in range(20):
        made.append([Draft("mark", {"n": number})] * 2)
    last = await made.record(Draft("mark", {}))
    assert heard == list(range(1, 42))
    assert (last[0].seq, made.sequence) == (41, 41)
    assert [entry.seq for entry in await made.read(38)] == [39, 40, 41]
    assert await made.read(41) == []
    await made.close()


async def test_a_commit_is_on_the_disk_before_anybody_hears_of_it(tmp_path: Path) -> None:
    """With NORMAL, or a rollback journal, a loss of power could take back an order that went to the broker."""
    made = await opened(tmp_path)

    def durability(connection: apsw.Connection) -> tuple[object, object]:
        return connection.pragma("journal_mode"), connection.pragma("synchronous")

    full = 2
    assert await made._file.run(durability) == ("wal", full)
    await made.close()


async def test_a_reopened_journal_goes_on_in_a_new_epoch(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    made.run = "r1"
    (first,) = await made.record(Draft("order.sent", {"tag": "x"}, "id-1"))
    uuid, epoch = made.uuid, made.epoch
    await made.close()
    again = await opened(tmp_path)
    assert (again.uuid, again.epoch, again.sequence) == (uuid, epoch + 1, 1)
    (second,) = await again.record(Draft("mark", {}))
    assert second.seq == 2
    assert await again.read(0) == [first, second]
    assert (first.run, first.id, first.market_time) == ("r1", "id-1", "2026-01-05T05:00:00.000000Z")
    assert await again.contains("id-1")
    assert not await again.contains("id-2")
    await again.close()


async def test_reading_reaches_behind_what_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._TAIL", 5)
    made = await opened(tmp_path)
    await made.record(*(Draft("mark", {"n": n}) for n in range(20)))
    assert [entry.seq for entry in await made.read(2, limit=4)] == [3, 4, 5, 6]
    assert [entry.seq for entry in await made.read(17)] == [18, 19, 20]
    await made.close()


async def test_replay_skips_what_says_nothing_of_orders_and_pages_through_the_rest(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    for number in range(7):
        await made.record(Draft("order.sent", {"n": number}, "a"), Draft("candles.closed", {}), Draft("mark", {}))
    seen: list[Entry] = []
    assert await made.replay(seen.append, batch=3) == 7
    assert [entry.data["n"] for entry in seen] == list(range(7))
    await made.close()


async def test_the_acknowledgement_is_kept_and_never_goes_back_or_beyond(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    await made.record(Draft("mark", {}), Draft("mark", {}))
    for seq in (1, 9, 2, 1):
        await made.acknowledge(seq)
    assert made.acked == 2
    await made.close()
    again = await opened(tmp_path)
    assert again.acked == 2
    await again.close()


async def test_a_value_that_json_cannot_hold_takes_no_number(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    with pytest.raises(TypeError):
        made.append([Draft("mark", {"x": object()})])
    (entry,) = await made.record(Draft("mark", {}))
    assert entry.seq == 1
    await made.close()


async def test_the_wire_form(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    (entry,) = await made.record(Draft("mark", {"shipped": 3}))
    assert entry.body("u-1") == (
        b'{"v":1,"journal":"u-1","epoch":1,"seq":1,"at":"2026-01-05T05:00:00.000000Z",'
        b'"market_time":"2026-01-05T05:00:00.000000Z","run":"","type":"mark","id":null,"data":{"shipped":3}}'
    )
    await made.close()


async def test_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    await (await opened(tmp_path)).close()
    file = tmp_path / "journal.sqlite"
    connection = apsw.Connection(str(file))
    connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(JournalError, match="format 2") as caught:
        await opened(tmp_path)
    assert "never delete" in str(caught.value.mend)
    assert file.read_bytes() == before


async def test_missing_entries_are_refused(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    await made.record(*(Draft("mark", {}) for _ in range(3)))
    await made.close()
    connection = apsw.Connection(str(tmp_path / "journal.sqlite"))
    connection.execute("DELETE FROM entries WHERE seq = 2")
    connection.close()
    with pytest.raises(JournalError, match="some are missing"):
        await opened(tmp_path)


async def with_history(folder: Path) -> tuple[Journal, FakeWall]:
    """Ten entries about an order, each before four of prices, and a mark; forty days later another one."""
    wall = FakeWall()
    made = Journal(folder / "journal.sqlite", wall=wall, market=FakeMarket())
    await made.open()
    for number in range(10):
        await made.record(Draft("order.sent", {"n": number}, "id-1"), *[Draft("candles.closed", {})] * 4)
    await made.record(Draft("mark", {}))
    wall.move(40 * 86_400)
    await made.record(Draft("mark", {}))
    return made, wall


async def test_old_prices_go_once_they_are_stored_and_orders_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._STRETCH", 10)
    monkeypatch.setattr("tradingengine.execution.journal.journal._TAIL", 1)
    made, wall = await with_history(tmp_path)
    month = timedelta(days=30)
    assert not await made.prune(wall.now() - month), "nothing is stored in the cloud"
    await made.acknowledge(25)
    assert not await made.prune(wall.now() - 2 * month), "nothing is so old"
    assert [await made.prune(wall.now() - month) for _ in range(3)] == [True, True, False], "two stretches are stored"
    await made.acknowledge(51)
    assert [await made.prune(wall.now() - month) for _ in range(4)] == [True, True, True, False]
    rows = await made._file.run(lambda connection: list(connection.execute("SELECT seq FROM entries")))
    assert [seq for (seq,) in rows] == [*range(1, 51, 5), 51, 52]
    seen: list[Entry] = []
    assert await made.replay(seen.append) == 10
    await made.close()
    again = await opened(tmp_path)
    assert (again.sequence, again.epoch) == (52, 2)
    (entry,) = await again.record(Draft("mark", {}))
    assert entry.seq == 53
    await again.close()


async def test_the_newest_entry_is_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._STRETCH", 3)
    made = await opened(tmp_path)
    await made.record(*[Draft("mark", {})] * 3)
    await made.acknowledge(3)
    later = NOW + timedelta(days=1)
    assert not await made.prune(later), "no number may be given twice"
    await made.record(Draft("mark", {}))
    assert await made.prune(later)
    await made.close()
    again = await opened(tmp_path)
    assert again.sequence == 4
    await again.close()


async def test_what_a_new_database_cannot_do_without_stays_however_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._STRETCH", 4)
    made = await opened(tmp_path)
    needed = Draft("instruments.snapshot", {"instruments": []}), Draft("strategy.state", {"state": "paused"})
    await made.record(Draft("mark", {}), *needed, Draft("candles.closed", {}), Draft("mark", {}))
    await made.acknowledge(5)
    assert await made.prune(NOW + timedelta(days=1))
    rows = await made._file.run(lambda connection: list(connection.execute("SELECT type FROM entries ORDER BY seq")))
    assert [kind for (kind,) in rows] == ["instruments.snapshot", "strategy.state", "mark"]
    await made.close()
    await (await opened(tmp_path)).close()


async def test_a_new_database_gets_a_sequence_without_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._STRETCH", 50)
    monkeypatch.setattr("tradingengine.execution.journal.journal._TAIL", 1)
    made, wall = await with_history(tmp_path)
    await made.acknowledge(51)
    assert await made.prune(wall.now() - timedelta(days=30))
    await made.take_back(0)
    shipped: list[Entry] = []
    while batch := await made.read(len(shipped), limit=7):
        assert len(batch) <= 7
        shipped += batch
    assert [entry.seq for entry in shipped] == list(range(1, 53))
    assert [entry.data["n"] for entry in shipped if entry.type == "order.sent"] == list(range(10))
    removed = [entry for entry in shipped if entry.data == {"removed": True}]
    assert {(entry.type, entry.id) for entry in removed} == {("mark", None)}
    assert len(removed) == 40
    await made.close()


async def test_entries_that_are_missing_beside_the_removed_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._STRETCH", 50)
    made, wall = await with_history(tmp_path)
    await made.acknowledge(51)
    assert await made.prune(wall.now() - timedelta(days=30))
    await made.close()
    connection = apsw.Connection(str(tmp_path / "journal.sqlite"))
    connection.execute("DELETE FROM entries WHERE seq = 6")
    connection.close()
    with pytest.raises(JournalError, match="some are missing"):
        await opened(tmp_path)


async def test_retention_goes_on_until_nothing_is_old_and_outlives_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.execution.journal.journal._STRETCH", 10)
    made, wall = await with_history(tmp_path)
    await made.acknowledge(51)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            await made.close()  # whatever is asked of it from now on fails
        if len(pauses) == 7:
            raise asyncio.CancelledError

    monkeypatch.setattr("tradingengine.execution.journal.retention.asyncio.sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await keep_short(made, wall)
    assert pauses == [1.0] * 5 + [60.0] * 2


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(SqliteFileError, match="cannot be opened"):
        await opened(tmp_path)


async def test_a_full_disk_stops_the_journal_for_good(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    await made._file.run(lambda connection: connection.pragma("max_page_count", 1))
    heard: list[Entry] = []
    made.listen(heard.append)

    async def fill_the_disk() -> None:
        for _ in range(500):
            await made.record(Draft("mark", {"text": "x" * 1000}))

    with pytest.raises(SqliteFailedError, match="cannot be written"):
        await fill_the_disk()
    count = len(heard)
    assert made.sequence == count
    assert made.failure is not None
    with pytest.raises(SqliteFailedError):
        await made.record(Draft("mark", {}))
    assert len(heard) == count
    await made.close()
    again = await opened(tmp_path)
    assert again.sequence == count, "what was heard is on disk, and nothing else"
    await again.close()


async def test_a_file_that_another_program_locks_leaves_no_gap_in_the_sequence(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    told: list[bool] = []
    made.on_failure(lambda: told.append(made.failure is not None))
    await made._file.run(lambda connection: connection.set_busy_timeout(1))
    other = apsw.Connection(str(tmp_path / "journal.sqlite"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SqliteFailedError, match="BusyError"):
        await made.record(Draft("mark", {}))
    assert told == [True]
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(SqliteFailedError):
        await made.record(Draft("mark", {}))  # after the entry that is missing nothing may follow
    await made.close()
    again = await opened(tmp_path)
    assert again.sequence == 0
    await again.close()


async def test_an_entry_that_cannot_be_written_at_all_leaves_no_gap_in_the_sequence(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    await made.record(Draft("mark", {}))
    with pytest.raises(SqliteFailedError, match="UnicodeEncodeError"):
        await made.record(Draft("mark", {}, id="\ud800"))
    with pytest.raises(SqliteFailedError):
        await made.record(Draft("mark", {}))
    await made.close()
    again = await opened(tmp_path)
    assert again.sequence == 1
    await again.close()


async def test_what_was_heard_survives_a_kill(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    await made.record(*(Draft("mark", {}) for _ in range(10)))
    made.abandon()
    with pytest.raises(SqliteFailedError):
        await made.record(Draft("mark", {}))
    again = await opened(tmp_path)
    assert again.sequence == 10
    await again.close()


async def test_a_cancelled_writer_does_not_undo_its_entry(tmp_path: Path) -> None:
    made = await opened(tmp_path)
    task = asyncio.create_task(made.record(Draft("mark", {})))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (entry,) = await made.record(Draft("mark", {}))
    assert entry.seq == 2
    await made.close()


async def test_the_log_is_checkpointed_between_bursts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.storage.sqlite._CHECKPOINT_PAGES", 10)
    made = await opened(tmp_path)
    for _ in range(30):
        await made.record(Draft("mark", {"text": "x" * 2000}))
        await until(lambda: made._file._wal_pages < 10)  # the next one in a moment of quiet, not behind this one
    wal = tmp_path / "journal.sqlite-wal"
    assert wal.stat().st_size < 30 * 4096
    await made.close()
    assert not wal.exists() or wal.stat().st_size == 0


async def test_the_work_s_own_error_reaches_whoever_asked_and_nothing_is_kept_of_it(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "x.sqlite", lambda connection: None)
    await file.open()

    def fail(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE t (x)")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await file.run(fail)
    tables = "SELECT count(*) FROM sqlite_master"
    assert await file.run(lambda connection: connection.execute(tables).fetchone()) == (0,)
    assert file.failure is None
    await file.close()
    await file.close()
    with pytest.raises(SqliteFailedError, match="not open"):
        await file.run(fail)


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 50, 4), (3, 51, 2), (3, 44, 5), (3, 45, 0)])
def test_libraries_that_can_corrupt_a_wal_are_refused(version: tuple[int, int, int]) -> None:
    with pytest.raises(SqliteFileError, match="can corrupt"):
        check_version(version)


@pytest.mark.parametrize("version", [(3, 51, 3), (3, 54, 1), (3, 50, 7), (3, 44, 6), None])
def test_sound_libraries_are_taken(version: tuple[int, int, int] | None) -> None:
    check_version(version)


async def test_two_executors_never_share_a_folder(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    await first.acquire()
    with pytest.raises(StateLockedError, match="in use by process"):
        await second.acquire(timeout=0)
    waiting = asyncio.create_task(second.acquire(timeout=10))
    await asyncio.sleep(0)
    first.release()
    first.release()
    await asyncio.wait_for(waiting, 10)
    second.release()
