"""SQL of orders, their timelines and fills."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tradingengine.domain.orders import OPEN_STATES, Side
from tradingengine.domain.positions import PositionKey
from tradingengine.storage.postgres import Connection
from tradingengine.storage.records import (
    ORDER_COLUMNS,
    StoredOrder,
    TimelineEntry,
    order_of_row,
    order_values,
)

_COLUMNS: Final = ", ".join(ORDER_COLUMNS)
_SLOTS: Final = ", ".join(f"${number}" for number in range(1, len(ORDER_COLUMNS) + 1))
_MUTABLE: Final = (
    "state", "delivery", "inferred", "filled_quantity", "average_paise", "broker_order_id", "cancel_requested",
    "reason_code", "reason_message", "reason_mend", "updated_at", "market_time", "run", "ack_ms",
)  # fmt: skip
_UPDATES: Final = ", ".join(f"{name} = excluded.{name}" for name in _MUTABLE)
_UPSERT: Final = (
    f"insert into orders ({_COLUMNS}) values ({_SLOTS}) "  # noqa: S608 - names of columns from this file
    f"on conflict (id) do update set {_UPDATES}, touched_at = now()"
)
_OPEN: Final = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_TIMELINE: Final = (
    "insert into order_events (order_id, state, event, at, market_time, quantity, price_paise, journal, seq) "
    "values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
_WHERE: Final = {"open": f"state in ({_OPEN})", "done": f"state not in ({_OPEN})", "all": "true"}


async def save(connection: Connection, orders: Iterable[StoredOrder]) -> None:
    """Insert or update orders; only what may change in an order's life is updated."""
    rows = [order_values(stored) for stored in orders]
    if rows:
        await connection.executemany(_UPSERT, rows)


async def add_timeline(connection: Connection, entries: Iterable[TimelineEntry]) -> None:
    """Append timeline entries."""
    rows = [
        (e.order_id, e.state, e.event, e.at, e.market_time, e.quantity, e.price_paise, e.journal, e.seq)
        for e in entries
    ]
    if rows:
        await connection.executemany(_TIMELINE, rows)


async def add_fills(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store fills: order_id, fill_id, quantity, price_paise, at, market_time, run, journal, seq; no doubles."""
    if rows:
        await connection.executemany(
            "insert into fills (order_id, fill_id, quantity, price_paise, at, market_time, run, journal, seq) "
            "values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
            rows,
        )


async def by_ids(connection: Connection, ids: Sequence[str], *, lock: bool = False) -> dict[str, StoredOrder]:
    """Orders by id; with `lock` their rows stay locked until the transaction ends."""
    if not ids:
        return {}
    ending = " order by id for update" if lock else ""
    rows = await connection.fetch(
        f"select {_COLUMNS} from orders where id = any($1::uuid[]){ending}",  # noqa: S608 - columns of this file
        list(ids),
    )
    return {row["id"]: order_of_row(row) for row in rows}


async def request_cancel(connection: Connection, stored: StoredOrder, *, requested: bool = True) -> StoredOrder:
    """Note that somebody wants an order gone (or that this came to nothing); the order as it is stored then."""
    await connection.execute(
        "update orders set cancel_requested = $2, touched_at = now() where id = $1", stored.order.id, requested
    )
    return msgspec.structs.replace(stored, order=msgspec.structs.replace(stored.order, cancel_requested=requested))


async def page(connection: Connection, state: str, *, before: str | None, limit: int) -> list[StoredOrder]:
    """Up to `limit` orders, newest first, older than the order id `before`; `state` is open, done or all."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from orders where {_WHERE[state]} and ($1::uuid is null or id < $1::uuid) "  # noqa: S608
        "order by id desc limit $2",
        before,
        limit,
    )
    return [order_of_row(row) for row in rows]


async def timelines(connection: Connection, ids: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The timeline rows of orders, each oldest first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    if not ids:
        return found
    rows = await connection.fetch(
        "select order_id, state, at, market_time, quantity, price_paise from order_events "
        "where order_id = any($1::uuid[]) order by order_id, id",
        list(ids),
    )
    for row in rows:
        found.setdefault(row["order_id"], []).append(row)
    return found


async def touched_since(connection: Connection, since: datetime, *, limit: int = 500) -> list[str]:
    """Ids of orders whose rows changed after `since`, oldest change first."""
    rows = await connection.fetch(
        "select id from orders where touched_at > $1 order by touched_at limit $2", since, limit
    )
    return [row["id"] for row in rows]


async def pending_exit_quantity(connection: Connection, key: PositionKey, side: Side) -> int:
    """Units of one position that open exit orders of the closing `side` already ask for; dry runs close nothing."""
    total = await connection.fetchval(
        "select coalesce(sum(quantity - filled_quantity), 0)::bigint from orders "  # noqa: S608 - states of this file
        "where account = $1 and broker = $2 and symbol = $3 and product = $4 and purpose = 'EXIT' "
        f"and side = $5 and not dry_run and state in ({_OPEN})",
        key.account,
        key.broker,
        key.symbol,
        key.product,
        side,
    )
    return int(total)


async def statistics(connection: Connection, since: datetime) -> Mapping[str, Any]:
    """Counts of orders created since: filled, open, rejected, total, and the median of creation to acknowledgement."""
    row: Mapping[str, Any] = await connection.fetchrow(
        "select count(*) filter (where state = 'FILLED') as filled, "  # noqa: S608 - states of this file
        f"count(*) filter (where state in ({_OPEN})) as open, "
        "count(*) filter (where state in ('REJECTED', 'NOT_DELIVERED')) as rejected, count(*) as total, "
        "percentile_disc(0.5) within group (order by ack_ms) filter (where ack_ms is not null) as median_ack_ms "
        "from orders where created_at >= $1 and not dry_run",
        since,
    )
    return row


async def states(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """State and filled quantity by order id."""
    rows = await connection.fetch("select id, state, filled_quantity from orders where id = any($1::uuid[])", list(ids))
    return {row["id"]: (row["state"], row["filled_quantity"]) for row in rows}


async def mark_unknown(connection: Connection) -> list[str]:
    """Orders whose command expired without a word from the edge become `delivery unknown`; their ids."""
    rows = await connection.fetch(
        "update orders set delivery = 'unknown', touched_at = now() where id in ("
        "select id from orders where state = 'INTENT' and delivery = 'pending' and expires_at < now() "
        "limit 200 for update skip locked) returning id"
    )
    return [row["id"] for row in rows]


async def silent_before(connection: Connection, read_until: datetime, *, limit: int = 200) -> list[StoredOrder]:
    """Orders of unknown delivery that expired before the journal was read to `read_until`; locked."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from orders where state = 'INTENT' and delivery = 'unknown' "  # noqa: S608 - as above
        "and expires_at < $1 order by id limit $2 for update skip locked",
        read_until,
        limit,
    )
    return [order_of_row(row) for row in rows]
