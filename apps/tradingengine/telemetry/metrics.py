"""Prometheus metrics that every pod has: HTTP requests, WebSockets, errors of loops, lag of the event loop."""

import asyncio
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from tradingengine.telemetry import names
from tradingengine.telemetry.requests import SOURCES, InFlight, RequestsInFlight

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HTTP_LABELS: Final = (*names.IDENTITY, "method", "route", "code", "source")


class Metrics:
    """The registry of one process and the metrics that all components share.

    `component`, `release` and `slot` are fixed for the life of a process and put on each sample.
    """

    def __init__(self, *, component: str, release: str = "", slot: str = "") -> None:
        # A series of birth dates for each counter: nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.release = release
        self.slot = slot
        self._identity = (component, release, slot)
        self._requests = Counter(names.HTTP_REQUESTS, "HTTP requests.", _HTTP_LABELS, registry=self.registry)
        self._duration = Histogram(
            names.HTTP_DURATION,
            "Seconds that the program took for an answer; waiting for the client is not counted.",
            _HTTP_LABELS,
            buckets=names.DURATION_BUCKETS,
            registry=self.registry,
        )
        self.websockets = Gauge(names.WEBSOCKETS, "Open WebSockets.", names.IDENTITY, registry=self.registry).labels(
            *self._identity
        )
        self._overdue = Gauge(
            names.HTTP_OVERDUE,
            "Requests that have taken the program longer than so many seconds and have no answer yet.",
            (*names.IDENTITY, "source", "than"),
            registry=self.registry,
        )
        self._opened = Counter(
            names.WEBSOCKETS_OPENED, "WebSockets that were opened.", (*names.IDENTITY, "source"), registry=self.registry
        )
        self._drops = Counter(
            names.WEBSOCKET_DROPS,
            "WebSockets that broke by a fault of the program.",
            (*names.IDENTITY, "source", "reason"),
            registry=self.registry,
        )
        self.loop_lag = Gauge(names.EVENT_LOOP_LAG, "Delay of a timer in the event loop.", registry=self.registry)
        self.loop_errors = Counter(
            names.LOOP_ERRORS, "Errors that a background loop survived.", ("loop",), registry=self.registry
        )
        self._in_flight = RequestsInFlight()
        self.client_requests = 0

    @property
    def identity(self) -> tuple[str, str, str]:
        """Component, release and slot, as `names.IDENTITY` has them."""
        return self._identity

    def expect_requests(self) -> None:
        """This process answers requests: from now on a scrape says how many are overdue, none included."""

        def count_of(source: str, than: float) -> None:
            gauge = self._overdue.labels(*self._identity, source, f"{than:g}")
            gauge.set_function(lambda: self._in_flight.overdue(source, than))

        for source in SOURCES:
            for than in names.OVERDUE_BOUNDS:
                count_of(source, than)

    def begin_request(self, *, source: str) -> InFlight:
        """Count a client's request as it arrives: a slot is drained when this number stands still."""
        self.begin_socket(source=source)
        return self._in_flight.begin(source)

    def begin_socket(self, *, source: str) -> None:
        """Count the handshake of a client's WebSocket among the requests that arrived."""
        if source == "client":
            self.client_requests += 1

    def end_request(self, request: InFlight, *, method: str, route: str, code: int) -> None:
        """Count a finished request; `route` is the template of the path, never the path itself."""
        self._in_flight.end(request)
        labels = (*self._identity, method, route, str(code), request.source)
        self._requests.labels(*labels).inc()
        self._duration.labels(*labels).observe(request.seconds)

    def socket_opened(self, *, source: str) -> None:
        """Count a WebSocket whose handshake is complete."""
        self._opened.labels(*self._identity, source).inc()

    def socket_dropped(self, *, source: str, reason: str) -> None:
        """Count one that broke; `reason` is error, closed or protocol."""
        self._drops.labels(*self._identity, source, reason).inc()

    def render(self) -> bytes:
        """All samples in Prometheus' text format."""
        return generate_latest(self.registry)


async def measure_loop_lag(metrics: Metrics, *, interval: float = 0.5) -> None:
    """Keep the lag of the running event loop current, until cancelled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(interval)
        metrics.loop_lag.set(max(0.0, time.perf_counter() - before - interval))
