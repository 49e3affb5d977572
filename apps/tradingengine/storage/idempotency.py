"""SQL of idempotency keys: the same key of the same person stands for one order."""

import msgspec

from tradingengine.storage.postgres import Connection


class UsedKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a key was used for before."""

    order_id: str
    request_hash: bytes


async def find(connection: Connection, user_id: str, key: str) -> UsedKey | None:
    """The earlier use of a key; None when it is new."""
    row = await connection.fetchrow(
        "select order_id, request_hash from idempotency_keys where user_id = $1 and key = $2", user_id, key
    )
    return UsedKey(order_id=row["order_id"], request_hash=row["request_hash"]) if row is not None else None


async def take(connection: Connection, user_id: str, key: str, request_hash: bytes, order_id: str) -> bool:
    """Use a key for an order of this transaction; False when another request has it (waits for that one to end)."""
    status: str = await connection.execute(
        "insert into idempotency_keys (user_id, key, request_hash, order_id) values ($1, $2, $3, $4) "
        "on conflict do nothing",
        user_id,
        key,
        request_hash,
        order_id,
    )
    return status == "INSERT 0 1"
