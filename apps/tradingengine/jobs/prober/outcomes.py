"""What came of probes, and the figures about it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram

from tradingengine.telemetry import names

log = logging.getLogger(__name__)

LATE_SECONDS: Final = names.OVERDUE_SECONDS
"""An answer that takes longer is late; nobody waits for it any further."""
OWN_LAG_SECONDS: Final = 0.25
"""Above this the prober itself had no time, and a late answer proves nothing."""
_LAG_EVERY: Final = 0.1
_LOG_EVERY: Final = 60


class Outcome(StrEnum):
    """`ok`; `wrong`: an answer, but not the right one; `late`; `failed`: no answer, or an error of the server.

    `skipped`: not applicable, such as a dry run while the edge is away, or nothing that the slot is to blame for.
    """

    OK = "ok"
    WRONG = "wrong"
    LATE = "late"
    FAILED = "failed"
    SKIPPED = "skipped"


class Result(msgspec.Struct, frozen=True):
    """One probe's end; `release` is what the answer said, empty when it said nothing."""

    outcome: Outcome
    release: str = ""
    seconds: float | None = None
    detail: str = ""


class OwnLag:
    """Whether this process had its turns: the delays of a timer over the last seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delays: deque[tuple[float, float]] = deque(maxlen=200)
        self._due = clock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._due = self._clock() + _LAG_EVERY
            await asyncio.sleep(_LAG_EVERY)
            self.note(self._clock(), self._clock() - self._due)

    def note(self, at: float, delay: float) -> None:
        """A timer was so many seconds late."""
        self._delays.append((at, delay))

    def since(self, start: float) -> float:
        """The longest delay since a time; a timer that is late just now counts with what it has so far."""
        overdue = self._clock() - self._due
        return max((delay for at, delay in self._delays if at >= start), default=max(0.0, overdue))


class SlotOutcomes:
    """Counts what came of the probes of one slot, by the release that answers there.

    Until a slot has answered once it is not there yet, and what fails is skipped: who waits for its pods, waits for it.
    """

    def __init__(self, slot: str, metrics: "ProbeMetrics") -> None:
        self.slot = slot
        self.release = ""
        self._metrics = metrics
        self._known: set[str] = set()
        self._failing: dict[tuple[str, str], int] = {}

    def take(self, component: str, kind: str, result: Result) -> Outcome:
        """Count one; the outcome that it counts as."""
        if result.release:
            self.release = result.release
            self._known.add(component)
        outcome = result.outcome if component in self._known else Outcome.SKIPPED
        release = result.release or self.release
        self._metrics.count(self.slot, release, component, kind, outcome, result.seconds)
        self._tell(component, kind, outcome, result.detail)
        return outcome

    def _tell(self, component: str, kind: str, outcome: Outcome, detail: str) -> None:
        """The first of a row of bad ones is logged, then each sixtieth; and the first good one after them."""
        row = self._failing.get((component, kind), 0)
        words = {"slot": self.slot, "release": self.release, "part": component, "kind": kind}
        if outcome in (Outcome.OK, Outcome.SKIPPED):
            if row and outcome is Outcome.OK:
                log.info("probes are answered again", extra={**words, "after": row})
            self._failing.pop((component, kind), None)
            return
        self._failing[component, kind] = row + 1
        if row % _LOG_EVERY == 0:
            log.warning("a probe was not answered well", extra={**words, "outcome": str(outcome), "detail": detail})


class ProbeMetrics:
    """Registered once per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("slot", "release", "component", "kind")
        self._probes = Counter(names.PROBES, "Probes by what came of them.", (*labels, "outcome"), registry=registry)
        self._seconds = Histogram(
            names.PROBE_SECONDS,
            "Seconds from a probe to the end of its answer.",
            labels,
            buckets=names.DURATION_BUCKETS,
            registry=registry,
        )

    def count(
        self, slot: str, release: str, component: str, kind: str, outcome: Outcome, seconds: float | None
    ) -> None:
        """Count a probe; every outcome of its labels is there from the first on, so that a first bad one shows."""
        for each in Outcome:
            self._probes.labels(slot, release, component, kind, str(each)).inc(1 if each is outcome else 0)
        if seconds is not None:
            self._seconds.labels(slot, release, component, kind).observe(seconds)
