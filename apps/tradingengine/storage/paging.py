"""Pages of lists: `{"items", "next_cursor"}`, whose cursor leads to the next page and is null on the last one."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Page = dict[str, Any]
ALERT_CURSOR: Final = r"^[0-9]{16}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def whole(items: list[dict[str, Any]]) -> Page:
    """A list that has one page."""
    return {"items": items, "next_cursor": None}


def by_offset(items: Sequence[dict[str, Any]], cursor: str | None, limit: int) -> Page:
    """A page of a list that keeps its order from one request to the next; the cursor counts what was shown."""
    start = int(cursor or 0)
    shown = list(items[start : start + limit])
    return {"items": shown, "next_cursor": str(start + limit) if len(items) > start + limit else None}


def by_key(
    items: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str], cursor: str | None, limit: int
) -> Page:
    """A page of a list whose members come and go, in the order of `key`; the cursor is the key shown last."""
    keyed = sorted((key(item), position) for position, item in enumerate(items))
    rest = [entry for entry in keyed if cursor is None or entry[0] > cursor]
    shown = rest[:limit]
    more = len(rest) > limit
    return {"items": [items[position] for _, position in shown], "next_cursor": shown[-1][0] if more else None}


def time_cursor(at: datetime, ref: str) -> str:
    """The cursor behind something that happened at a time; microseconds, so that none is lost or shown twice."""
    return f"{(at - _EPOCH) // _MICROSECOND:016d}-{ref}"


def split_time_cursor(cursor: str) -> tuple[datetime, str]:
    """Time and id of a cursor that fits ALERT_CURSOR."""
    return _EPOCH + int(cursor[:16]) * _MICROSECOND, cursor[17:]
