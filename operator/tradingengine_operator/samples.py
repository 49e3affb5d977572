"""What a release is judged by: requests as the metrics server counted them, and the operator's own requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Kind(StrEnum):
    """Whether the metrics server answered."""

    COUNTED = "counted"
    NO_SERVER = "no-server"


@dataclass(frozen=True)
class Trials:
    """Requests of one release in one second, and how many of them were bad."""

    all: int = 0
    bad: int = 0

    def __add__(self, more: Trials) -> Trials:
        return Trials(self.all + more.all, self.bad + more.bad)


@dataclass(frozen=True)
class Counts:
    """Client requests of one component in one window, and how many of them were answered 5xx."""

    requests: int
    failed: int = 0

    @property
    def share(self) -> Decimal:
        """Share of failed requests, 0 to 1; 0 without requests."""
        return Decimal(self.failed) / Decimal(self.requests) if self.requests else Decimal(0)


@dataclass(frozen=True)
class Sample:
    """One answer of the metrics server about one release.

    `windows` holds, by length in seconds, counts by component; all windows end at `at`. A component without a request
    in a window is missing there.
    """

    kind: Kind
    at: datetime
    windows: Mapping[float, Mapping[str, Counts]] = field(default_factory=dict)
    detail: str = ""

    def enough(self, component: str, least: int) -> tuple[float, Counts] | None:
        """The shortest window in which a component had so many requests, with its counts."""
        for length in sorted(self.windows):
            counts = self.windows[length].get(component)
            if counts is not None and counts.requests >= least:
                return length, counts
        return None

    def requests(self) -> tuple[float, int]:
        """Length of the longest window, and all requests in it."""
        longest = max(self.windows, default=0.0)
        return longest, sum(counts.requests for counts in self.windows.get(longest, {}).values())

    def worst(self) -> Decimal | None:
        """The highest share of failed requests of a component in the shortest window; None without requests."""
        shortest = self.windows.get(min(self.windows, default=0.0), {})
        return max((counts.share for counts in shortest.values() if counts.requests), default=None)


@dataclass(frozen=True)
class OwnAnswer:
    """What came of the operator's own request to a component that clients do not ask.

    `status` is the worst HTTP status of its ready pods, None when one of them did not answer in time.
    """

    status: int | None
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether a pod answered, and answered with an error of its own."""
        return self.status is not None and self.status >= 500
