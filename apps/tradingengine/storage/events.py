"""Entries of the edge's journal: their form, and SQL of what was stored and applied of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from tradingengine.storage.heartbeat import parse_time
from tradingengine.storage.postgres import CONNECTION_ERRORS, Connection


class EdgeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a journal (contract/events-v1.schema.json); `problem` is what was wrong with it on arrival."""

    journal: str
    seq: int
    type: str
    at: datetime
    epoch: int = 0
    market_time: datetime | None = None
    run: str = ""
    id: str | None = None
    data: dict[str, Any] = {}
    problem: str | None = None


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


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """The least that an entry must tell for the sequence to go on without it."""

    journal: str
    seq: int
    v: int = 1
    at: Any = None


UNREADABLE: Final = "unreadable"
"""Type of an entry that is kept for its place in the sequence alone; like every unknown type it changes nothing."""
_MOST: Final = 2**63 - 1
_KEPT: Final = 2000
_DECODER = msgspec.json.Decoder(_Wire)
_PLACES = msgspec.json.Decoder(_Place)


def decode_event(body: str) -> EdgeEvent:
    r"""The event of an entry's body; ValueError when not even its place in a journal can be told.

    Postgres keeps no NUL in text: there it is written as `\u0000`. An entry that is no event at all becomes one of
    type `unreadable`, so that what follows it does not wait for ever.
    """
    try:
        event = _event(_DECODER.decode(body))
    except (msgspec.DecodeError, ValueError) as error:
        return _unreadable(body, str(error))
    if "\\u0000" not in body:
        return event
    return msgspec.structs.replace(
        event,
        type=_escaped(event.type),
        run=_escaped(event.run),
        id=_escaped(event.id),
        data=_escaped(event.data),
        problem="NUL in its text, written as \\u0000",
    )


def _event(wire: _Wire) -> EdgeEvent:
    at = parse_time(wire.at)
    if at is None or not 1 <= wire.seq <= _MOST or abs(wire.epoch) > _MOST or wire.v != 1:
        raise ValueError("version, sequence, epoch or time is not valid")
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


def _unreadable(body: str, problem: str) -> EdgeEvent:
    try:
        place = _PLACES.decode(body)
        journal = str(UUID(place.journal))
    except (msgspec.DecodeError, ValueError):
        raise ValueError(problem) from None
    if not 1 <= place.seq <= _MOST or place.v != 1:
        raise ValueError(problem)  # another version may be read by a release that knows it: nothing is passed over
    at = parse_time(place.at) if isinstance(place.at, str) else None
    return EdgeEvent(
        journal=journal,
        seq=place.seq,
        type=UNREADABLE,
        at=at or datetime.now(UTC),
        data={"body": _escaped(body[:_KEPT])},
        problem=_escaped(problem[:500]),
    )


def _escaped(value: Any) -> Any:
    r"""The value with every NUL in its texts written as `\u0000`."""
    if isinstance(value, str):
        return value.replace("\x00", "\\u0000")
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


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


async def store(connection: Connection, events: Sequence[EdgeEvent], *, careful: bool = False) -> list[EdgeEvent]:
    """Keep entries as they came, one that is there already is left alone; the entries as they are stored.

    With `careful` each has a savepoint of its own, and one that Postgres refuses is kept as `unreadable`.
    """
    if not careful:
        await connection.executemany(_STORE, [_row(event) for event in events])
        return list(events)
    kept = []
    for event in events:
        await connection.execute("savepoint stored")
        try:
            await connection.execute(_STORE, *_row(event))
            kept.append(event)
        except CONNECTION_ERRORS:
            raise
        except asyncpg.PostgresError as error:
            await connection.execute("rollback to savepoint stored")
            kept.append(_refused(event, f"{type(error).__name__}: {error}"))
            await connection.execute(_STORE, *_row(kept[-1]))
        await connection.execute("release savepoint stored")
    return kept


_STORE: Final = (
    "insert into edge_events (journal, seq, epoch, at, market_time, run, type, ref, data, problem) "
    "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing"
)


def _row(e: EdgeEvent) -> tuple[Any, ...]:
    return (e.journal, e.seq, e.epoch, e.at, e.market_time, e.run, e.type, e.id, e.data, e.problem)


def _refused(event: EdgeEvent, problem: str) -> EdgeEvent:
    text = ascii(event.data)[:_KEPT]
    return EdgeEvent(
        journal=event.journal, seq=event.seq, type=UNREADABLE, at=event.at, data={"body": text}, problem=problem[:500]
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


async def newest_place(connection: Connection) -> str:
    """Journal and sequence up to which the newest journal was applied, as one text; empty before the first entry."""
    place = await connection.fetchval(
        "select journal || '/' || applied_seq from edge_journals order by updated_at desc limit 1"
    )
    return str(place or "")
