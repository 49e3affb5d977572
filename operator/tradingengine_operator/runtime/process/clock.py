"""The clocks of the runtime, in one place, so that tests can name another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Wall time in UTC."""
    return datetime.now(UTC)
