"""Bounds on the orders of one strategy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tradingengine.strategies.interface import OrderLimits


class OrderBudget:
    """Bounds on orders: per bar for all, per minute of wall time and per session for those that add risk."""

    def __init__(self, limits: OrderLimits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._recent: deque[float] = deque()
        self._bar = 0
        self._in_bar = 0
        self.in_session = 0

    def new_session(self, already: int) -> None:
        """Count from `already` orders on."""
        self.in_session = already
        self._in_bar = 0

    def new_bar(self, start: int) -> None:
        """Another bar (epoch seconds of its start) is looked at."""
        if start != self._bar:
            self._bar = start
            self._in_bar = 0

    def take(self, *, reduces: bool) -> bool:
        """Whether one more order may go; if so it is counted."""
        now = self._monotonic()
        while self._recent and now - self._recent[0] >= 60.0:
            self._recent.popleft()
        if self._in_bar >= self._limits.per_bar:
            return False
        if not reduces and (
            len(self._recent) >= self._limits.per_minute or self.in_session >= self._limits.per_session
        ):
            return False
        self._in_bar += 1
        self.in_session += 1
        self._recent.append(now)
        return True
