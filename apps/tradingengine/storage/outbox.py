"""Commands on their way to the edge, as rows of the same transaction that stores what they are about."""

from datetime import datetime
from typing import Any, Final

import msgspec

from tradingengine.domain.clock import rfc3339
from tradingengine.domain.orders import Order
from tradingengine.storage.postgres import Connection
from tradingengine.storage.streams import dumps

REPEAT_SECONDS: Final = 1.0
LATE_SECONDS: Final = 60.0
"""A command is repeated so long after its time, for the edge to journal that it refused it: both planes then agree."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command (interfaces.md, section 5). `kind` is place, cancel, exit, halt or release."""

    id: str
    kind: str
    release: str
    slot: str
    user: str
    created_at: datetime
    expires_at: datetime
    order: Order | None = None
    target: str | None = None
    reason: str | None = None

    @property
    def priority(self) -> bool:
        """Whether it travels on the stream that is read first."""
        return self.kind != "place"

    def body(self) -> str:
        """The entry's JSON."""
        return dumps(
            {
                "v": 1,
                "id": self.id,
                "kind": self.kind,
                "origin": {"release": self.release, "slot": self.slot, "user": self.user},
                "created_at": rfc3339(self.created_at),
                "expires_at": rfc3339(self.expires_at),
                "order": wire_order(self.order) if self.order is not None else None,
                "target": self.target,
                "reason": self.reason,
            }
        )


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A command that this pod sends now."""

    id: str
    body: str
    priority: bool


def wire_order(order: Order) -> dict[str, Any]:
    """An order as a command carries it; money in paise."""
    return {
        "symbol": order.symbol,
        "side": str(order.side),
        "quantity": order.quantity,
        "type": str(order.type),
        "price_paise": order.price_paise,
        "trigger_price_paise": order.trigger_price_paise,
        "product": str(order.product),
        "validity": str(order.validity),
        "disclosed_quantity": order.disclosed_quantity,
        "amo": order.amo,
        "purpose": str(order.purpose),
        "parent_id": order.parent_id,
        "group_id": order.group_id,
        "slice": order.slice,
        "account": order.account,
        "broker": order.broker,
        "dry_run": order.dry_run,
    }


async def add(connection: Connection, command: Command) -> None:
    """Queue a command; it leaves when the transaction has committed."""
    target = command.target if command.kind == "cancel" else None
    order_id = command.order.id if command.order is not None else target
    await connection.execute(
        "insert into outbox (id, kind, priority, body, order_id, created_at, expires_at) "
        "values ($1, $2, $3, $4, $5, $6, $7)",
        command.id,
        command.kind,
        command.priority,
        command.body(),
        order_id,
        command.created_at,
        command.expires_at,
    )


async def claim(connection: Connection, *, limit: int = 100) -> list[Claim]:
    """Take the commands that are due, priority first, and put their next attempt one second off.

    The claim is a lease: a pod that dies after it delays its commands by that second. A release waits until the edge
    holds the halt that it ends, so that the two cannot overtake each other on their way.
    """
    rows = await connection.fetch(
        "update outbox o set next_attempt_at = now() + make_interval(secs => $1), attempts = attempts + 1 "
        "from (select id from outbox where done_at is null and next_attempt_at <= now() "
        "and expires_at > now() - make_interval(secs => $3) "
        "and not (kind = 'release' "
        "and exists (select 1 from halts where released_at is null and delivered_at is null)) "
        "order by priority desc, created_at limit $2 for update skip locked) due "
        "where o.id = due.id returning o.id, o.body, o.priority, o.created_at",
        REPEAT_SECONDS,
        limit,
        LATE_SECONDS,
    )
    ordered = sorted(rows, key=lambda row: (not row["priority"], row["created_at"]))
    return [Claim(id=row["id"], body=row["body"], priority=row["priority"]) for row in ordered]


async def mark_expired(connection: Connection) -> int:
    """Stop repeating commands that are past their time; how many there were. A release can be asked for again."""
    return int(
        await connection.fetchval(
            "with gone as (update outbox set done_at = now(), outcome = 'expired' where id in ("
            "select id from outbox where done_at is null and expires_at <= now() - make_interval(secs => $1) "
            "limit 200 for update skip locked) returning id, kind), "
            "h as (update halts set release_id = null, release_requested_by = null, release_requested_at = null, "
            "touched_at = now() where released_at is null and release_id in (select id from gone)) "
            "select count(*) from gone",
            LATE_SECONDS,
        )
    )


async def withdraw(connection: Connection, command_id: str) -> None:
    """Stop sending a command that somebody thought better of; copies that left are for the edge to judge."""
    await connection.execute(
        "update outbox set done_at = now(), outcome = 'withdrawn' where id = $1 and done_at is null", command_id
    )


async def pending(connection: Connection) -> int:
    """Commands that the edge has not confirmed."""
    return int(await connection.fetchval("select count(*) from outbox where done_at is null"))


async def pending_cancel(connection: Connection, order_id: str) -> bool:
    """Whether a cancel of this order is already on its way."""
    return bool(
        await connection.fetchval(
            "select exists (select 1 from outbox where order_id = $1 and kind = 'cancel' and done_at is null)", order_id
        )
    )


async def target_of(connection: Connection, command_id: str) -> str | None:
    """The order that a command is about, None when it is not known."""
    found: str | None = await connection.fetchval("select order_id from outbox where id::text = $1", command_id)
    return found
