"""The JSON documents of `/v1` (interfaces.md, section 7) from what is stored; api and dashboard show the same.

Money is text in rupees, times are RFC 3339, percentages are text with two decimals.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from tradingengine.domain.calendar import Calendar, load_calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.clock import from_epoch_ms, rfc3339
from tradingengine.domain.errors import DomainError
from tradingengine.domain.instruments import Instrument, Segment
from tradingengine.domain.money import divide_half_even, format_rupees
from tradingengine.domain.quotes import Quote
from tradingengine.storage.heartbeat import Heartbeat
from tradingengine.storage.records import StoredOrder, StoredPosition

NOT_DELIVERED_AFTER: Final = timedelta(seconds=5)
"""A halt that the edge did not confirm for so long is shown as not delivered; it stays queued."""


def optional_rupees(paise: int | None) -> str | None:
    """Rupees as text, None for None."""
    return format_rupees(paise) if paise is not None else None


def optional_time(at: datetime | None) -> str | None:
    """RFC 3339 text, None for None."""
    return rfc3339(at) if at is not None else None


def percent(part: int, whole: int) -> str | None:
    """`part` in percent of `whole` with two decimals as text, None when there is no whole."""
    return format_rupees(divide_half_even(part * 10_000, whole)) if whole > 0 else None


def order_document(stored: StoredOrder, timeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Order, with its timeline."""
    order = stored.order
    return {
        "id": order.id,
        "account": order.account,
        "broker": order.broker,
        "symbol": order.symbol,
        "side": str(order.side),
        "type": str(order.type),
        "product": str(order.product),
        "validity": str(order.validity),
        "quantity": order.quantity,
        "filled_quantity": order.filled_quantity,
        "price": optional_rupees(order.price_paise),
        "trigger_price": optional_rupees(order.trigger_price_paise),
        "average_price": format_rupees(order.average_paise) if order.filled_quantity else None,
        "disclosed_quantity": order.disclosed_quantity,
        "amo": order.amo,
        "purpose": str(order.purpose),
        "parent_id": order.parent_id,
        "group_id": order.group_id,
        "slice": order.slice,
        "state": str(order.state),
        "delivery": str(stored.delivery),
        "cancel_requested": order.cancel_requested,
        "reason": _reason(stored),
        "source": str(order.source),
        "strategy": order.strategy,
        "placed_by": order.placed_by,
        "dry_run": order.dry_run,
        "expires_at": optional_time(order.expires_at),
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
        "market_time": optional_time(order.market_time),
        "timeline": timeline_document(timeline),
    }


def _reason(stored: StoredOrder) -> dict[str, str] | None:
    reason = stored.order.reason
    return {"code": reason.code, "message": reason.message, "mend": reason.mend} if reason is not None else None


def timeline_document(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Timeline entries, `ms` counted from the first of them."""
    entries: list[dict[str, Any]] = []
    for row in rows:
        entry = {
            "state": row["state"],
            "at": rfc3339(row["at"]),
            "market_time": optional_time(row["market_time"]),
            "ms": max(0, round((row["at"] - rows[0]["at"]).total_seconds() * 1000)),
        }
        if row["quantity"] is not None:
            entry |= {"quantity": row["quantity"], "price": format_rupees(row["price_paise"])}
        entries.append(entry)
    return entries


def position_document(stored: StoredPosition, last: int | None, *, today: bool) -> dict[str, Any]:
    """Position at price `last` (paise; None shows no unrealised P&L); `today` says its realised P&L is of this day."""
    position, key = stored.position, stored.position.key
    realised = position.realised_paise - stored.realised_before_paise if today else 0
    unrealised = position.unrealised(last) if last is not None else None
    pnl = realised + unrealised if unrealised is not None else (realised if position.quantity == 0 else None)
    return {
        "account": key.account,
        "broker": key.broker,
        "symbol": key.symbol,
        "product": str(key.product),
        "quantity": position.quantity,
        "average_price": format_rupees(position.average_paise),
        "last": optional_rupees(last),
        "pnl": optional_rupees(pnl),
        "pnl_percent": percent(unrealised, abs(position.cost_paise)) if unrealised is not None else None,
        "realised": format_rupees(realised),
        "unrealised": optional_rupees(unrealised),
        "stop": None,
        "strategy": stored.strategy,
    }


def position_order(document: Mapping[str, Any]) -> str:
    """What positions are listed by: open ones first, then by symbol."""
    key = " ".join(document[name] for name in ("symbol", "product", "account", "broker"))
    return f"{0 if document['quantity'] else 1} {key}"


def quote_document(quote: Quote, at: str | None) -> dict[str, Any]:
    """Quote; `at` is the wall time (text) at which the edge sent it."""
    change = quote.last - quote.previous_close
    return {
        "symbol": quote.symbol,
        "last": format_rupees(quote.last),
        "change": format_rupees(change),
        "change_percent": percent(change, quote.previous_close),
        "open": format_rupees(quote.open),
        "high": format_rupees(quote.high),
        "low": format_rupees(quote.low),
        "previous_close": format_rupees(quote.previous_close),
        "volume": quote.volume,
        "bid": format_rupees(quote.bid),
        "ask": format_rupees(quote.ask),
        "bid_quantity": quote.bid_quantity,
        "ask_quantity": quote.ask_quantity,
        "at": at,
        "market_time": rfc3339(from_epoch_ms(quote.at_ms)),
    }


def instrument_document(instrument: Instrument) -> dict[str, Any]:
    """Instrument."""
    return {
        "symbol": instrument.symbol,
        "exchange": instrument.exchange,
        "segment": str(instrument.segment),
        "name": instrument.name,
        "kind": str(instrument.kind),
        "lot_size": instrument.lot_size,
        "tick_size": format_rupees(instrument.tick_paise),
        "freeze_quantity": instrument.freeze_quantity,
        "tradable": instrument.tradable,
    }


def candle_document(candle: Candle) -> dict[str, Any]:
    """One bar."""
    return {
        "time": candle.time,
        "open": format_rupees(candle.open),
        "high": format_rupees(candle.high),
        "low": format_rupees(candle.low),
        "close": format_rupees(candle.close),
        "volume": candle.volume,
    }


def alert_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Alert."""
    return {
        "id": row["id"],
        "severity": row["severity"],
        "title": row["title"],
        "detail": row["detail"],
        "mend": row["mend"],
        "at": rfc3339(row["at"]),
    }


def halt_document(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Halt; its state follows from what is known at `now`."""
    return {
        "id": row["id"],
        "state": _halt_state(row, now),
        "by": row["requested_by"],
        "reason": row["reason"],
        "requested_at": rfc3339(row["requested_at"]),
        "delivered_at": optional_time(row["delivered_at"]),
        "confirmed_at": optional_time(row["confirmed_at"]),
        "entries": {"total": row["entries_total"], "cancelled": row["entries_cancelled"]},
        "release_requested_at": optional_time(row["release_requested_at"]),
        "released_at": optional_time(row["released_at"]),
    }


def _halt_state(row: Mapping[str, Any], now: datetime) -> str:
    if row["confirmed_at"] is not None:
        return "confirmed"
    if row["delivered_at"] is not None:
        return "delivered"
    return "not_delivered" if now - row["requested_at"] > NOT_DELIVERED_AFTER else "requested"


def strategies_document(heartbeat: Heartbeat | None) -> dict[str, Any]:
    """The strategies as the last heartbeat told them."""
    told = heartbeat.document.get("strategies") or [] if heartbeat is not None else []
    items = [
        {
            "name": item.get("name"),
            "state": item.get("state"),
            "symbol": item.get("symbol"),
            "pnl": optional_rupees(item.get("pnl_paise")),
            "orders": item.get("orders", 0),
        }
        for item in told
    ]
    running = sum(item["state"] == "running" for item in items)
    return {"running": running, "paused": len(items) - running, "items": items}


def feed_state(heartbeat: Heartbeat | None) -> dict[str, Any]:
    """State and age of the prices: the age at the edge plus the silence of the edge itself."""
    if heartbeat is None:
        return {"state": "down", "age_ms": None}
    told = heartbeat.feed.get("age_ms")
    if told is None:
        return {"state": "down", "age_ms": None}
    # A heartbeat is up to one second old by its nature; only what is older adds to the age of the prices.
    age_ms = int(told) + max(0, round((heartbeat.age - 1.0) * 1000))
    return {"state": "live" if age_ms <= 3000 and heartbeat.fresh else "stale", "age_ms": age_ms}


def sessions_document(
    heartbeat: Heartbeat | None, segments: Sequence[str], at: datetime | None
) -> list[dict[str, Any]]:
    """Trading session per segment of the desk, as the feed says; a segment that the feed does not have is left out.

    While the feed says nothing, as the calendar says at market time `at`; unknown when that is not known (None).
    """
    told = heartbeat.feed.get("sessions") or {} if heartbeat is not None else {}
    if not told:
        return [_by_calendar(segment, at) for segment in segments]
    return [
        {"segment": segment, "state": told[segment].get("state", "unknown"), "until": told[segment].get("until")}
        for segment in segments
        if segment in told
    ]


def _by_calendar(segment: str, at: datetime | None) -> dict[str, Any]:
    if at is None:
        return {"segment": segment, "state": "unknown", "until": None}
    try:
        session = _calendar().state(Segment(segment), at)
    except (DomainError, ValueError):
        return {"segment": segment, "state": "unknown", "until": None}
    return {"segment": segment, "state": session.state, "until": optional_time(session.until)}


@cache
def _calendar() -> Calendar:
    return load_calendar()
