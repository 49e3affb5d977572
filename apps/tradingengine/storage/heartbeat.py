"""The edge's heartbeat as the cloud sees it, and how old it is."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tradingengine.storage import streams

STALE_SECONDS: Final = 3.0
"""A heartbeat older than this means that risk-adding orders are not taken."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The last heartbeat and its age in seconds; `document` is as in interfaces.md, section 5."""

    document: dict[str, Any]
    age: float

    @property
    def fresh(self) -> bool:
        """Whether the edge counts as reachable."""
        return self.age <= STALE_SECONDS

    @property
    def journal_failed(self) -> bool:
        """Whether the edge can record nothing any more: it then takes only what reduces risk."""
        return bool(self.document.get("journal_failed"))

    @property
    def feed(self) -> dict[str, Any]:
        """The part about prices."""
        feed: dict[str, Any] = self.document.get("feed") or {}
        return feed

    @property
    def run(self) -> str:
        """The run id of the tape; empty for real prices."""
        return str(self.feed.get("run") or "")

    @property
    def market_time(self) -> datetime | None:
        """Market time at the edge, UTC; None when the feed has none yet."""
        text = self.feed.get("market_time")
        return parse_time(text) if isinstance(text, str) else None


def parse_time(text: str) -> datetime | None:
    """Aware UTC time of an RFC 3339 text, None when it is not one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


async def read_heartbeat(client: streams.Client, *, now: datetime | None = None) -> Heartbeat | None:
    """The heartbeat in Redis, or the last one that was there; None when there never was one.

    Its age is the larger of what Redis counted since it was set and what the edge's own time stamp says: the first
    sees a silent edge, the second sees a heartbeat that was stuck on its way. One whose time to live is over is never
    fresh: what it says is shown as what was known last.
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.get(streams.HEARTBEAT)
    pipeline.pttl(streams.HEARTBEAT)
    pipeline.get(streams.HEARTBEAT_LAST)
    text, left_ms, last = await pipeline.execute()
    return decode_heartbeat(text or last, int(left_ms), now or datetime.now(UTC))


def decode_heartbeat(text: str | None, left_ms: int, now: datetime) -> Heartbeat | None:
    """A heartbeat from its text and the milliseconds that its key has left; None when there is none to trust."""
    if not text:
        return None
    try:
        document = streams.loads(text)
    except ValueError:
        return None
    at = parse_time(str(document.get("at", ""))) if isinstance(document, dict) else None
    if at is None:
        return None
    by_redis = (streams.HEARTBEAT_TTL_MS - left_ms) / 1000 if left_ms >= 0 else streams.HEARTBEAT_TTL_MS / 1000
    return Heartbeat(document=document, age=max(0.0, by_redis, (now - at).total_seconds()))
