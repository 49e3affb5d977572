"""The two clocks. Wall time decides `expires_at`, ages and heartbeats; market time decides sessions and validity."""

import time
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from tradingengine.domain.errors import DomainError

IST = ZoneInfo("Asia/Kolkata")


class WallClock(Protocol):
    """Real time."""

    def now(self) -> datetime:
        """Aware UTC time."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back, for durations."""
        ...


class MarketClock(Protocol):
    """The time that the prices live in: real for a broker, the tape's own for simulator and replay."""

    def now(self) -> datetime:
        """Aware UTC market time; stands still while the feed stands still."""
        ...


class SystemClock:
    """Wall time of this machine; it is also the market clock of real prices."""

    def now(self) -> datetime:
        """Aware UTC time of this machine."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


def rfc3339(at: datetime) -> str:
    """`2026-11-21T09:15:00.000000Z`: UTC with microseconds, so that texts sort as times do."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """The aware UTC time of an RFC 3339 text; DomainError when it is not one or has no zone."""
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise DomainError(f"{text!r} is not a time: RFC 3339 is needed, e.g. 2026-11-21T09:15:00Z") from error
    if at.tzinfo is None:
        raise DomainError(f"{text!r} has no zone: end it with Z")
    return at.astimezone(UTC)


def epoch_ms(at: datetime) -> int:
    """Epoch milliseconds of an aware time."""
    return int(at.timestamp() * 1000)


def from_epoch_ms(value: int) -> datetime:
    """Aware UTC time of epoch milliseconds."""
    return datetime.fromtimestamp(value / 1000, UTC)
