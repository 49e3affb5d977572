"""Requests in flight, by the time that the program itself takes for them."""

import time
from collections.abc import Callable
from typing import Final

from tradingengine.telemetry import names

Clock = Callable[[], float]


class InFlight:
    """One request. Its clock stands while the client is waited for: a slow client is no fault of the program."""

    __slots__ = ("_clock", "_started", "_waits", "_waits_since", "source")

    def __init__(self, source: str, clock: Clock) -> None:
        self.source = source
        self._clock = clock
        self._started = clock()
        self._waits = 0
        self._waits_since = 0.0

    def wait(self) -> None:
        """From now on the client is waited for: for its body, or until it takes the answer. May be nested."""
        if self._waits == 0:
            self._waits_since = self._clock()
        self._waits += 1

    def go_on(self) -> None:
        """The end of one `wait`."""
        self._waits -= 1
        if self._waits == 0:
            self._started += self._clock() - self._waits_since

    @property
    def seconds(self) -> float:
        """Seconds that the program has taken so far."""
        return (self._waits_since if self._waits else self._clock()) - self._started


class RequestsInFlight:
    """All requests of a process that have no end yet.

    Nothing runs in the background to keep it right: whoever asks, counts. So a scrape tells the truth in the first
    moment after the event loop was blocked; while it is blocked, there is no answer at all, which says as much.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._requests: set[InFlight] = set()

    def begin(self, source: str) -> InFlight:
        """A request that has just come."""
        request = InFlight(source, self._clock)
        self._requests.add(request)
        return request

    def end(self, request: InFlight) -> None:
        """It was answered, or given up."""
        self._requests.discard(request)

    def overdue(self, source: str, than: float = names.OVERDUE_SECONDS) -> int:
        """How many of a source have taken the program longer than so many seconds, and still do."""
        return sum(1 for request in self._requests if request.source == source and request.seconds > than)


SOURCES: Final = ("client", "probe")
