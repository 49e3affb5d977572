"""What the health matrix looks like from outside."""

from typing import Literal

from tradingengine.api.schemas import Count, Cursor, Document, Time


class SystemItem(Document):
    """One part; `absent` means that this version or engine has none."""

    name: str
    state: Literal["ok", "degraded", "down", "absent"]
    since: Time | None
    latency_ms: Count | None
    detail: str
    mend: str | None


class SystemList(Document):
    """A page of parts."""

    items: list[SystemItem]
    next_cursor: Cursor
