"""SQL of halts. A halt is stored before it is sent, and ends only by the edge's word.

`edge_id` is the id under which the edge holds a halt, or of the command that was sent to it last when that is not `id`:
HALT may be pressed again while a release is on its way, and at the edge's own console too. A release names it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from tradingengine.errors import UnavailableError
from tradingengine.storage.postgres import Connection

HaltRow: TypeAlias = Mapping[str, Any]
_ATTEMPTS: Final = 3
_NO_RELEASE: Final = "release_id = null, release_requested_by = null, release_requested_at = null"


def edge_id_of(row: HaltRow) -> str:
    """The id that a release must name: the one under which the edge holds the halt."""
    return str(row["edge_id"] or row["id"])


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
    """Store a halt, or return the one that is already active, locked.

    UnavailableError when others halt and release so fast that neither is found.
    """
    for _ in range(_ATTEMPTS):
        row: HaltRow | None = await connection.fetchrow(
            "insert into halts (id, requested_by, reason, requested_at) values ($1, $2, $3, $4) "
            "on conflict do nothing returning *",
            halt_id,
            by,
            reason,
            at,
        )
        # The one that was in the way may have ended since: then there is room for this one.
        row = row or await active(connection, lock=True)
        if row is not None:
            return row
    raise UnavailableError("Halts begin and end faster than this one could be stored.", mend="Press HALT again.")


async def repeat(connection: Connection, halt_id: str, *, command_id: str) -> HaltRow:
    """The active halt is asked for anew, by another command: its release is forgotten, the edge's word is awaited."""
    row: HaltRow = await connection.fetchrow(
        "update halts set edge_id = $2, delivered_at = null, confirmed_at = null, "  # noqa: S608 - text of this file
        f"{_NO_RELEASE}, touched_at = now() where id = $1 returning *",
        halt_id,
        command_id,
    )
    return row


async def request_release(connection: Connection, halt_id: str, *, release_id: str, by: str, at: datetime) -> HaltRow:
    """Note who asked to release a halt; it stays active until the edge says so."""
    row: HaltRow = await connection.fetchrow(
        "update halts set release_id = $2, release_requested_by = $3, release_requested_at = $4, touched_at = now() "
        "where id = $1 returning *",
        halt_id,
        release_id,
        by,
        at,
    )
    return row


async def release_failed(connection: Connection, release_id: str) -> str | None:
    """The edge did not carry a release out: it can be asked for again. The halt's id, None when it is over."""
    found: str | None = await connection.fetchval(
        f"update halts set {_NO_RELEASE}, touched_at = now() "  # noqa: S608 - text of this file
        "where release_id::text = $1 and released_at is null returning id",
        release_id,
    )
    return found


async def at_edge(
    connection: Connection, halt_id: str, *, edge_id: str, by: str, reason: str | None, at: datetime
) -> str:
    """The edge is halted since `at` under `edge_id`; the id of the halt that this is.

    The active one, delivered when this is its command; else a released one of that id, which holds again (an edge that
    crashed may take it up anew); else one pressed at the edge, stored as `halt_id`.
    """
    found: str | None = await connection.fetchval(
        "update halts set delivered_at = "
        "case when coalesce(edge_id, id::text) = $1 then coalesce(delivered_at, $2) else delivered_at end, "
        "edge_id = case when delivered_at is null then edge_id else $1 end, touched_at = now() "
        "where released_at is null returning id",
        edge_id,
        at,
    )
    if found is None:
        found = await connection.fetchval(
            "update halts set released_at = null, delivered_at = $2, confirmed_at = null, edge_id = $1, "  # noqa: S608
            f"{_NO_RELEASE}, touched_at = now() where id = "
            "(select id from halts where id::text = $1 or edge_id = $1 order by requested_at desc limit 1) "
            "returning id",
            edge_id,
            at,
        )
    if found is None:
        found = await connection.fetchval(
            "insert into halts (id, edge_id, requested_by, reason, requested_at, delivered_at) "
            "values ($1, $2, $3, $4, $5, $5) on conflict do nothing returning id",
            halt_id,
            edge_id,
            by,
            reason,
            at,
        )
    return found or halt_id


async def confirm(
    connection: Connection, edge_id: str, *, at: datetime, total: int | None, cancelled: int | None
) -> None:
    """The edge closed its gate and cancelled the open entries, for the halt that it holds under `edge_id`."""
    await connection.execute(
        "update halts set delivered_at = coalesce(delivered_at, $2), confirmed_at = coalesce(confirmed_at, $2), "
        "entries_total = coalesce($3, entries_total), entries_cancelled = coalesce($4, entries_cancelled), "
        "touched_at = now() where released_at is null and coalesce(edge_id, id::text) = $1",
        edge_id,
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
