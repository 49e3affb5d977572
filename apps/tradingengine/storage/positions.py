"""SQL of positions and of the day's P&L samples."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from tradingengine.domain.positions import PositionKey
from tradingengine.storage.postgres import Connection
from tradingengine.storage.records import POSITION_COLUMNS, StoredPosition, position_of_row, position_values

_COLUMNS: Final = ", ".join(POSITION_COLUMNS)
_SLOTS: Final = ", ".join(f"${number}" for number in range(1, len(POSITION_COLUMNS) + 1))
_UPDATES: Final = ", ".join(f"{name} = excluded.{name}" for name in POSITION_COLUMNS[4:])


async def by_keys(
    connection: Connection, keys: Sequence[PositionKey], *, lock: bool = False
) -> dict[PositionKey, StoredPosition]:
    """Positions by key; with `lock` their rows stay locked until the transaction ends."""
    if not keys:
        return {}
    ending = " for update" if lock else ""
    rows = await connection.fetch(
        f"select {_COLUMNS} from positions where (account, broker, symbol, product) in "  # noqa: S608 - own columns
        f"(select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])){ending}",
        [key.account for key in keys],
        [key.broker for key in keys],
        [key.symbol for key in keys],
        [str(key.product) for key in keys],
    )
    found = [position_of_row(row) for row in rows]
    return {stored.position.key: stored for stored in found}


async def save(connection: Connection, positions: Iterable[StoredPosition]) -> None:
    """Insert or replace positions."""
    rows = [position_values(stored) for stored in positions]
    if rows:
        await connection.executemany(
            f"insert into positions ({_COLUMNS}) values ({_SLOTS}) "  # noqa: S608 - own columns
            f"on conflict (account, broker, symbol, product) do update set {_UPDATES}",
            rows,
        )


async def everything(connection: Connection) -> list[StoredPosition]:
    """All positions, open ones first, then by symbol."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from positions order by (quantity = 0), symbol, product"  # noqa: S608 - own columns
    )
    return [position_of_row(row) for row in rows]


async def add_sample(connection: Connection, bucket: datetime, value_paise: int) -> None:
    """Keep one sample of the day's P&L; the first pod to write a bucket wins."""
    await connection.execute(
        "insert into pnl_samples (bucket, value_paise) values ($1, $2) on conflict do nothing", bucket, value_paise
    )


async def samples(connection: Connection, since: datetime, *, limit: int) -> list[int]:
    """The newest `limit` samples of P&L in paise since a time, oldest first."""
    rows = await connection.fetch(
        "select value_paise from pnl_samples where bucket >= $1 order by bucket desc limit $2", since, limit
    )
    return [row["value_paise"] for row in reversed(rows)]
