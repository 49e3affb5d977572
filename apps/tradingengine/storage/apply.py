"""Writes what a batch of journal entries means; the caller holds the journal's lock and commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import asyncpg
import msgspec

from tradingengine.domain.ids import is_id
from tradingengine.domain.positions import key_of
from tradingengine.storage import alerts, events, halts, market, orders, outbox, positions
from tradingengine.storage.events import EdgeEvent
from tradingengine.storage.heartbeat import parse_time
from tradingengine.storage.postgres import CONNECTION_ERRORS, Connection
from tradingengine.storage.projection import (
    MALFORMED,
    READ_PAST_MARGIN,
    Alert,
    Projection,
    never_arrived,
    not_delivered_alert,
    order_words,
)

_BY_HALT: Final = "cancelled_by_halt"
_RELEASED: Final = frozenset({"released", "not_halted"})


async def apply_batch(connection: Connection, batch: Sequence[EdgeEvent], *, careful: bool) -> list[tuple[str, str]]:
    """Apply entries in order and return the changes (kind, id).

    With `careful` each entry has a savepoint of its own, and one that Postgres refuses is noted and passed over; it
    is the answer to an error of the whole batch, which is tried first since it is far quicker.
    """
    if not careful:
        return await _apply(connection, batch)
    changes: list[tuple[str, str]] = []
    for event in batch:
        await connection.execute("savepoint entry")
        try:
            changes += await _apply(connection, [event])
            await connection.execute("release savepoint entry")
        except CONNECTION_ERRORS:
            raise
        except asyncpg.PostgresError as error:
            await connection.execute("rollback to savepoint entry")
            await events.note_problems(connection, [(event, f"{type(error).__name__}: {error}")])
    return changes


async def _apply(connection: Connection, batch: Sequence[EdgeEvent]) -> list[tuple[str, str]]:
    projection = await _load(connection, batch)
    for event in batch:
        projection.apply(event)
    await orders.save(connection, projection.changed_orders.values())
    await orders.add_timeline(connection, projection.timeline)
    await orders.add_fills(connection, projection.fills)
    await positions.save(connection, projection.changed_positions.values())
    changes = [("order", order_id) for order_id in projection.changed_orders]
    changes += [("position", key.symbol) for key in projection.changed_positions]
    for event in batch:
        try:
            changes += await _apply_other(connection, event, projection)
        except MALFORMED as error:
            projection.problems.append((event, f"{type(error).__name__}: {error}"))
    await market.save_candles(connection, projection.candles)
    await alerts.save(connection, projection.alerts)
    changes += [("alert", alerts.alert_id(alert.key)) for alert in projection.alerts]
    await events.note_problems(connection, projection.problems)
    return changes


async def _load(connection: Connection, batch: Sequence[EdgeEvent]) -> Projection:
    ids = sorted({e.id for e in batch if e.id is not None and e.type.startswith("order.") and is_id(e.id)})
    known = await orders.by_ids(connection, ids, lock=True)
    projection = Projection(known, {})
    if any(event.type == "order.filled" for event in batch):
        # An order born in this batch has its position looked up as well.
        ahead = Projection(known, {})
        for event in batch:
            if event.type == "order.intent":
                ahead.apply(event)
        keys = sorted({key_of(stored.order) for stored in ahead.orders.values()})
        projection.positions.update(await positions.by_keys(connection, keys, lock=True))
    return projection


async def _apply_other(connection: Connection, event: EdgeEvent, projection: Projection) -> list[tuple[str, str]]:
    """Entries that are not about one order; DomainError, KeyError and the like when one is malformed."""
    data = event.data
    if event.type == "candles.closed":
        projection.add_candles(event)
        return []
    if event.type == "instruments.snapshot":
        await market.save_instruments(connection, market.decode_instruments(data))
        return [("status", "instruments")]
    if event.type == "run.started":
        first = parse_time(str(data.get("market_time") or "")) or event.market_time
        await market.start_run(connection, event.run, event.journal, event.at, str(data.get("source") or ""), first)
        return [("status", "run")]
    if event.type == "run.ended":
        await market.end_run(connection, event.run, event.at)
        return [("status", "run")]
    if event.type in ("trading.state", "command.done", "order.cancelled"):
        return await _apply_halt(connection, event, projection)
    if event.type == "strategy.state" and data.get("state") == "paused" and data.get("reason"):
        projection.alerts.append(
            _alert(
                event, "warning", f"Strategy {data['strategy']} paused", str(data["reason"]), "Resume it at the edge."
            )
        )
    return []


async def _apply_halt(connection: Connection, event: EdgeEvent, projection: Projection) -> list[tuple[str, str]]:
    data = event.data
    if event.type == "order.cancelled":
        if data.get("code") != _BY_HALT:
            return []
        await halts.count_cancelled_entry(connection, 1)
        return [("halt", "")]
    if event.type == "trading.state":
        return await _apply_trading_state(connection, event, projection)
    kind = data["kind"]
    if kind == "halt" and event.id is not None:
        total, cancelled = _entries(data)
        await halts.confirm(connection, event.id, at=event.at, total=total, cancelled=cancelled)
        return [("halt", event.id)]
    if kind == "release":
        return await _apply_release(connection, event, projection)
    if kind == "cancel":
        return await _apply_cancel(connection, event, projection)
    return []


_CANCELS: Final = {
    "unknown_order": (
        "Cancel came before its order",
        "The edge did not know the order yet; if it still arrives it is cancelled and not sent.",
        "No action. Look at the order again in a minute.",
    ),
    "unconfirmed": (
        "Cancel not confirmed",
        "The broker did not confirm that the order is gone; it is asked again.",
        "Look at the order, and at the broker's own terminal if it stays open.",
    ),
    "expired": (
        "Cancel came too late to be carried out",
        "It reached the edge after its time.",
        "Cancel the order again if it is still open.",
    ),
}
"""Ends of a cancel that a person must hear of: title, detail, what to do."""


async def _apply_cancel(connection: Connection, event: EdgeEvent, projection: Projection) -> list[tuple[str, str]]:
    """The end of a cancel command; one that did not end the order is shown."""
    said = _CANCELS.get(event.data["result"])
    if said is None:
        return []
    target = str(event.data.get("target") or await outbox.target_of(connection, event.id or ""))
    if not is_id(target):
        return []
    title, detail, mend = said
    stored = (await orders.by_ids(connection, [target], lock=True)).get(target)
    if stored is None or stored.order.state.terminal:
        return []
    if event.data["result"] == "expired":
        await orders.request_cancel(connection, stored, requested=False)
    order = stored.order
    told = _alert(event, "warning", f"{title}: {order_words(order)}", detail, mend)
    projection.alerts.append(msgspec.structs.replace(told, order_id=target))
    return [("order", target)]


async def _apply_release(connection: Connection, event: EdgeEvent, projection: Projection) -> list[tuple[str, str]]:
    """The end of a release command; one that the edge did not carry out leaves the halt as it is."""
    if event.data["result"] in _RELEASED:
        return [("halt", halt_id) for halt_id in await halts.release(connection, at=event.at)]
    halt_id = await halts.release_failed(connection, event.id) if event.id is not None else None
    if halt_id is None:
        return []
    detail = str(event.data.get("message") or f"The edge answered: {event.data['result']}.")
    projection.alerts.append(
        _alert(event, "warning", "The halt was not released", detail, "Look at the halt, and release it again.")
    )
    return [("halt", halt_id)]


async def _apply_trading_state(
    connection: Connection, event: EdgeEvent, projection: Projection
) -> list[tuple[str, str]]:
    data = event.data
    by, reason = str(data.get("by") or "edge"), data.get("reason")
    if data["state"] == "HALTED":
        halt_id = event.id if event.id is not None and is_id(event.id) else _pressed_at_edge(event)
        halt_id = await halts.at_edge(connection, halt_id, edge_id=event.id or "", by=by, reason=reason, at=event.at)
        projection.alerts.append(
            _alert(event, "critical", "Trading halted", f"By {by}." + (f" {reason}" if reason else ""),
                   "Entries are cancelled, stops stay. Release the halt to trade again.")
        )  # fmt: skip
        return [("halt", halt_id), ("status", "trading")]
    released = await halts.release(connection, at=event.at)
    if released:
        projection.alerts.append(_alert(event, "info", "Halt released", f"By {by}; trading is {data['state']}.", None))
    return [*(("halt", halt_id) for halt_id in released), ("status", "trading")]


def _pressed_at_edge(event: EdgeEvent) -> str:
    return str(uuid5(NAMESPACE_URL, f"tradingengine:halt:{event.journal}:{event.seq}"))


def _entries(data: dict[str, Any]) -> tuple[int | None, int | None]:
    """Entries in all and cancelled ones from the end of a halt, None where it does not say."""
    total, cancelled = data.get("total"), data.get("cancelled")
    return (int(total) if total is not None else None), (int(cancelled) if cancelled is not None else None)


def _alert(event: EdgeEvent, severity: str, title: str, detail: str, mend: str | None) -> Alert:
    return Alert(
        key=f"{event.journal}/{event.seq}",
        severity=severity,
        title=title,
        detail=detail,
        mend=mend,
        order_id=None,
        at=event.at,
    )


async def conclude_from_silence(connection: Connection) -> list[tuple[str, str]]:
    """Commands past their time: delivery becomes unknown, and once the journal was read past it, EXPIRED for good.

    The edge refuses a command after its time, so an entry about it can no longer appear; see READ_PAST_MARGIN.
    """
    await outbox.mark_expired(connection)
    changes = [("order", order_id) for order_id in await orders.mark_unknown(connection)]
    read_until: datetime | None = await events.read_until(connection)
    if read_until is None:
        return changes
    silent = await orders.silent_before(connection, read_until - READ_PAST_MARGIN)
    concluded = [never_arrived(stored, read_until) for stored in silent]
    await orders.save(connection, [stored for stored, _ in concluded])
    await orders.add_timeline(connection, [entry for _, entry in concluded])
    told = [not_delivered_alert(stored.order) for stored, _ in concluded if not stored.order.dry_run]
    await alerts.save(connection, told)
    changes += [("alert", alerts.alert_id(alert.key)) for alert in told]
    return changes + [("order", stored.order.id) for stored, _ in concluded]
