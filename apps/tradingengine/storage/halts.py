"""SQL of halts. A halt is stored before it is sent, and ends only by the edge's word."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from tradingengine.storage.postgres import Connection

HaltRow: TypeAlias = Mapping[str, Any]


async def active(connection: Connection, *, lock: bool = False) -> HaltRow | None:
    """The halt that is not released, None when there is none."""
    ending = " for update" if lock else ""
    row: HaltRow | None = await connection.fetchrow(f"select * from halts where released_at is null{ending}")  # noqa: S608
    return row


async def latest(connection: Connection) -> HaltRow | None:
    """The newest halt, released or not."""
    row: HaltRow | None = await connection.fetchrow("select * from halts order by requested_at desc limit 1")
    return row


async def request(connection: Connection, halt_id: str, *, by: str, reason: str | None, at: datetime) -> HaltRow:
    """Store a halt, or return the one that is already active."""
    await connection.execute(
        "insert into halts (id, requested_by, reason, requested_at) values ($1, $2, $3, $4) on conflict do nothing",
        halt_id,
        by,
        reason,
        at,
    )
    row = await active(connection)
    assert row is not None  # noqa: S101 - inserted above, or the conflict was with an active one
    return row


async def request_release(connection: Connection, halt_id: str, *, release_id: str, by: str, at: datetime) -> None:
    """Note who asked to release a halt; it stays active until the edge says so."""
    await connection.execute(
        "update halts set release_id = $2, release_requested_by = $3, release_requested_at = $4, touched_at = now() "
        "where id = $1",
        halt_id,
        release_id,
        by,
        at,
    )


async def at_edge(connection: Connection, halt_id: str, *, by: str, reason: str | None, at: datetime) -> None:
    """The edge is halted since `at`: the halt that was asked for is delivered, or one pressed there is noted."""
    await connection.execute(
        "insert into halts (id, requested_by, reason, requested_at) values ($1, $2, $3, $4) on conflict do nothing",
        halt_id,
        by,
        reason,
        at,
    )
    await connection.execute(
        "update halts set delivered_at = coalesce(delivered_at, $1), touched_at = now() where released_at is null", at
    )


async def confirm(
    connection: Connection, halt_id: str, *, at: datetime, total: int | None, cancelled: int | None
) -> None:
    """The edge closed its gate and cancelled the open entries."""
    await connection.execute(
        "update halts set delivered_at = coalesce(delivered_at, $2), confirmed_at = coalesce(confirmed_at, $2), "
        "entries_total = coalesce($3, entries_total), entries_cancelled = coalesce($4, entries_cancelled), "
        "touched_at = now() where id = $1",
        halt_id,
        at,
        total,
        cancelled,
    )


async def release(connection: Connection, *, at: datetime) -> list[str]:
    """The edge takes orders again: the active halt ends. Halts that were asked for but never delivered stay."""
    rows = await connection.fetch(
        "update halts set released_at = $1, touched_at = now() where released_at is null and delivered_at is not null "
        "returning id",
        at,
    )
    return [row["id"] for row in rows]


async def count_cancelled_entry(connection: Connection, entries: int) -> None:
    """Entries were cancelled by the halt that is being carried out."""
    await connection.execute(
        "update halts set entries_cancelled = entries_cancelled + $1, "
        "entries_total = greatest(entries_total, entries_cancelled + $1), touched_at = now() "
        "where released_at is null and confirmed_at is null and delivered_at is not null",
        entries,
    )
