"""SQL of alerts."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tradingengine.storage.postgres import Connection
from tradingengine.storage.projection import Alert


def alert_id(key: str) -> str:
    """The id of the alert of a cause."""
    return str(uuid5(NAMESPACE_URL, f"tradingengine:alert:{key}"))


async def save(connection: Connection, alerts: Iterable[Alert]) -> None:
    """Store alerts; one whose cause was stored before is left alone."""
    rows = [(alert_id(a.key), a.key, a.severity, a.title, a.detail, a.mend, a.order_id, a.at) for a in alerts]
    if rows:
        await connection.executemany(
            "insert into alerts (id, key, severity, title, detail, mend, order_id, at) "
            "values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (key) do nothing",
            rows,
        )


async def newest(connection: Connection, *, limit: int, since: datetime | None = None) -> list[Mapping[str, Any]]:
    """The newest alerts first; with `since` only those stored after it."""
    rows: list[Mapping[str, Any]] = await connection.fetch(
        "select id, severity, title, detail, mend, at from alerts where $2::timestamptz is null or stored_at > $2 "
        "order by at desc, id limit $1",
        limit,
        since,
    )
    return rows


async def page(connection: Connection, *, limit: int, after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
    """The newest alerts first; with `after` only those behind the alert of that time and id."""
    at, ref = after or (None, None)
    rows: list[Mapping[str, Any]] = await connection.fetch(
        "select id, severity, title, detail, mend, at from alerts "
        "where $2::timestamptz is null or at < $2 or (at = $2 and id > $3::uuid) order by at desc, id limit $1",
        limit,
        at,
        ref,
    )
    return rows


async def by_id(connection: Connection, ref: str) -> Mapping[str, Any] | None:
    """One alert."""
    row: Mapping[str, Any] | None = await connection.fetchrow(
        "select id, severity, title, detail, mend, at from alerts where id = $1", ref
    )
    return row
