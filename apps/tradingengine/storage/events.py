"""Entries of the edge's journal: their form, and SQL of what was stored and applied of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from tradingengine.storage.heartbeat import parse_time
from tradingengine.storage.postgres import Connection


class EdgeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a journal (contract/events-v1.schema.json)."""

    journal: str
    seq: int
    type: str
    at: datetime
    epoch: int = 0
    market_time: datetime | None = None
    run: str = ""
    id: str | None = None
    data: dict[str, Any] = {}


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    journal: str
    seq: int
    type: str
    at: str
    v: int = 1
    epoch: int = 0
    market_time: str | None = None
    run: str | None = None
    id: str | None = None
    data: dict[str, Any] | None = None


class JournalState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a journal was read without a gap (`applied`), and the highest sequence that was seen at all."""

    applied: int
    seen: int
    stream_id: str


_DECODER = msgspec.json.Decoder(_Wire)


def decode_event(body: str) -> EdgeEvent:
    """The event of an entry's body; ValueError when it is none that could be stored."""
    try:
        wire = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    at = parse_time(wire.at)
    if at is None or wire.seq < 1 or wire.v != 1:
        raise ValueError(f"journal {wire.journal} sequence {wire.seq}: version, sequence or time is not valid")
    return EdgeEvent(
        journal=str(UUID(wire.journal)),
        seq=wire.seq,
        type=wire.type,
        at=at,
        epoch=wire.epoch,
        market_time=parse_time(wire.market_time) if wire.market_time else None,
        run=wire.run or "",
        id=wire.id,
        data=wire.data or {},
    )


async def ensure_journal(connection: Connection, journal: str) -> None:
    """Make the row of a journal that was never seen before."""
    await connection.execute("insert into edge_journals (journal) values ($1) on conflict do nothing", journal)


async def lock_journal(connection: Connection, journal: str) -> JournalState | None:
    """The journal's state, its row locked until the transaction ends; None while another pod holds it."""
    row = await connection.fetchrow(
        "select applied_seq, seen_seq, stream_id from edge_journals where journal = $1 for update skip locked", journal
    )
    if row is None:
        return None
    return JournalState(applied=row["applied_seq"], seen=row["seen_seq"], stream_id=row["stream_id"])


async def applied(connection: Connection) -> dict[str, int]:
    """Journal -> sequence up to which everything is stored and applied."""
    rows = await connection.fetch("select journal, applied_seq from edge_journals")
    return {row["journal"]: row["applied_seq"] for row in rows}


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod looks at each second: `applied` as in `applied`, `due` when a command or an order is past its time."""

    applied: dict[str, int]
    due: bool
    pending: int


async def upkeep(connection: Connection) -> Upkeep:
    """The look of each second in one round trip; an idle engine costs no more than this."""
    row = await connection.fetchrow(
        "select (select jsonb_object_agg(journal::text, applied_seq) from edge_journals) as applied, "
        "exists (select 1 from outbox where done_at is null and expires_at <= now()) "
        "or exists (select 1 from orders where state = 'INTENT' and delivery in ('pending', 'unknown') "
        "and expires_at < now()) as due, (select count(*) from outbox where done_at is null) as pending"
    )
    return Upkeep(applied=row["applied"] or {}, due=row["due"], pending=row["pending"])


async def store(connection: Connection, events: Sequence[EdgeEvent]) -> None:
    """Keep entries as they came; one that is there already is left alone."""
    await connection.executemany(
        "insert into edge_events (journal, seq, epoch, at, market_time, run, type, ref, data) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        [(e.journal, e.seq, e.epoch, e.at, e.market_time, e.run, e.type, e.id, e.data) for e in events],
    )


async def next_in_sequence(connection: Connection, journal: str, after: int, *, limit: int) -> list[EdgeEvent]:
    """Stored entries that follow `after` without a gap."""
    rows = await connection.fetch(
        "select journal, seq, epoch, at, market_time, run, type, ref, data from edge_events "
        "where journal = $1 and seq > $2 order by seq limit $3",
        journal,
        after,
        limit,
    )
    found: list[EdgeEvent] = []
    for row in rows:
        if row["seq"] != after + len(found) + 1:
            break
        found.append(
            EdgeEvent(
                journal=row["journal"],
                seq=row["seq"],
                type=row["type"],
                at=row["at"],
                epoch=row["epoch"],
                market_time=row["market_time"],
                run=row["run"],
                id=row["ref"],
                data=row["data"],
            )
        )
    return found


async def advance(
    connection: Connection,
    last: EdgeEvent,
    *,
    seen: int,
    stream_id: str,
    trading_state: str | None,
    commands: Sequence[str],
) -> None:
    """The journal was applied up to `last`; `commands` need not be sent again."""
    await connection.execute(
        "with done as (update outbox set done_at = now(), outcome = 'seen' "
        "where id = any($8::uuid[]) and done_at is null) "
        "update edge_journals set applied_seq = $2, seen_seq = greatest(seen_seq, $3), epoch = greatest(epoch, $4), "
        "read_until = greatest(read_until, $5), stream_id = $6, trading_state = coalesce($7, trading_state), "
        "updated_at = now() where journal = $1",
        last.journal,
        last.seq,
        seen,
        last.epoch,
        last.at,
        stream_id,
        trading_state,
        list(commands),
    )


async def note_seen(connection: Connection, journal: str, seen: int) -> None:
    """Entries beyond a gap were seen."""
    await connection.execute(
        "update edge_journals set seen_seq = greatest(seen_seq, $2), updated_at = now() where journal = $1",
        journal,
        seen,
    )


async def note_problems(connection: Connection, problems: Sequence[tuple[EdgeEvent, str]]) -> None:
    """Write beside entries why they changed nothing."""
    if problems:
        await connection.executemany(
            "update edge_events set problem = $3 where journal = $1 and seq = $2",
            [(event.journal, event.seq, text[:500]) for event, text in problems],
        )


async def read_until(connection: Connection) -> datetime | None:
    """Wall time of the edge up to which the newest journal was read, None before the first entry."""
    at: datetime | None = await connection.fetchval(
        "select read_until from edge_journals where read_until is not null order by updated_at desc limit 1"
    )
    return at.astimezone(UTC) if at is not None else None


async def start_stream_id(connection: Connection) -> str:
    """The stream id from which a new pod reads on; `0-0` when nothing was applied yet."""
    text = await connection.fetchval("select stream_id from edge_journals order by updated_at desc limit 1")
    return str(text or "0-0")
