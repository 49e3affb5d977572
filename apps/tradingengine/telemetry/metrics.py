"""Prometheus metrics that every pod has: HTTP requests, WebSockets, errors of loops, lag of the event loop."""

import asyncio
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from tradingengine.telemetry import names

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HTTP_LABELS: Final = ("component", "release", "slot", "method", "route", "code", "source")


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
            "Time from request to the end of the answer, in seconds.",
            _HTTP_LABELS,
            buckets=names.DURATION_BUCKETS,
            registry=self.registry,
        )
        self.websockets = Gauge(
            names.WEBSOCKETS, "Open WebSockets.", ("component", "release", "slot"), registry=self.registry
        ).labels(*self._identity)
        self.loop_lag = Gauge(names.EVENT_LOOP_LAG, "Delay of a timer in the event loop.", registry=self.registry)
        self.loop_errors = Counter(
            names.LOOP_ERRORS, "Errors that a background loop survived.", ("loop",), registry=self.registry
        )
        self.client_requests = 0

    def begin_request(self, *, source: str) -> None:
        """Count a client's request as it arrives: a slot is drained when this number stands still."""
        if source == "client":
            self.client_requests += 1

    def end_request(self, *, method: str, route: str, code: int, source: str, seconds: float) -> None:
        """Count a finished request; `route` is the template of the path, never the path itself."""
        labels = (*self._identity, method, route, str(code), source)
        self._requests.labels(*labels).inc()
        self._duration.labels(*labels).observe(seconds)

    def render(self) -> bytes:
        """All samples in Prometheus' text format."""
        return generate_latest(self.registry)


async def measure_loop_lag(metrics: Metrics, *, interval: float = 0.5) -> None:
    """Keep the lag of the running event loop current, until cancelled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(interval)
        metrics.loop_lag.set(max(0.0, time.perf_counter() - before - interval))
