"""The clocks of the runtime, in one place, so that tests can name another.

A duration is measured in ticks, which never jump: the wall clock is set while people and NTP correct it. Only moments
that are stored, here or by the API server, are wall time; these two say how long ago such a moment was all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
#: Seconds of a clock that never jumps.
Ticks = Callable[[], float]
monotonic: Ticks = time.monotonic


def utc_now() -> datetime:
    """Wall time in UTC."""
    return datetime.now(UTC)


class SteadyClock:
    """Wall time of the first look, and from then on that of a clock that never jumps."""

    def __init__(self) -> None:
        self._began: tuple[datetime, float] | None = None

    def look(self, now: datetime, tick: float) -> datetime:
        """What it shows at this tick, when the wall clock says `now`."""
        if self._began is None:
            self._began = (now, tick)
        begun, first = self._began
        return begun + timedelta(seconds=tick - first)


class MomentAge:
    """How long ago a stored moment was: by the wall clock when it is first looked at, and from then on by ticks.

    One that takes the place of another came since the last look, whatever the wall clock says.
    """

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._began = 0.0
        self._looked = 0.0

    def look(self, moment: datetime, now: datetime, tick: float) -> float:
        """Seconds since `moment`, never less than none; `now` is wall time."""
        if moment != self._moment:
            age = max(0.0, (now - moment).total_seconds())
            age = age if self._moment is None else min(age, tick - self._looked)
            self._moment, self._began = moment, tick - age
        self._looked = tick
        return tick - self._began
