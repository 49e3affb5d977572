"""The edge's own metrics: outcomes and latencies of orders by release and slot, journal, link and feed."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tradingengine.domain.orders import Order
from tradingengine.telemetry import names

ORDER_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0)
_OUTCOMES: Final = {
    "order.acknowledged": "accepted",
    "order.rejected": "rejected",
    "order.expired": "expired",
    "order.unknown": "unknown",
    "order.dry_run": "dry_run",
    "order.cancelled": "cancelled",
}


class EdgeMetrics:
    """Registered once per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """All series start at zero; labels appear with the first order of a release."""
        labels = ("release", "slot", "outcome", "reason")
        self._orders = Counter(
            names.EDGE_ORDERS.removesuffix("_total"), "Order outcomes at the edge.", labels, registry=registry
        )
        self._seconds = Histogram(
            names.EDGE_ORDER_SECONDS,
            "Seconds from the arrival of an order to the end of a stage.",
            ("release", "slot", "stage"),
            buckets=ORDER_BUCKETS,
            registry=registry,
        )
        self._dry_runs = Counter(
            names.EDGE_DRY_RUNS.removesuffix("_total"),
            "Dry runs of the prober that were answered.",
            ("release", "slot", "verdict"),
            registry=registry,
        )
        self.sequence = Gauge(names.EDGE_JOURNAL_SEQUENCE, "Last sequence of the journal.", registry=registry)
        self.lookups = Gauge(names.EDGE_LOOKUPS_PENDING, "Orders being looked up at the broker.", registry=registry)
        self.updates = Gauge(names.EDGE_UPDATES_PENDING, "Orders with changes not taken up yet.", registry=registry)
        self.storage_failed = Gauge(
            names.EDGE_STORAGE_FAILED, "Whether journal or paper book cannot be used: 1 if so.", registry=registry
        )
        self.unshipped = Gauge(names.EDGE_UNSHIPPED, "Entries that the cloud has not stored yet.", registry=registry)

    def outcome(self, order: Order, event_type: str, reason: str) -> None:
        """Count what became of an order; fills count once, when the order is complete."""
        outcome = _OUTCOMES.get(event_type)
        if event_type == "order.filled" and order.remaining == 0:
            outcome = "filled"
        if outcome is not None:
            self._orders.labels(order.release, order.slot, outcome, reason or "none").inc()

    def dry_run(self, release: str, slot: str, verdict: str) -> None:
        """Count a dry run of the prober, which no other metric knows; `verdict` is accepted or refused."""
        self._dry_runs.labels(release, slot, verdict).inc()

    def stage(self, order: Order, stage: str, started: float) -> None:
        """Observe the time since `started` (perf_counter) at the end of `gate`, `journal` or `broker`."""
        self._seconds.labels(order.release, order.slot, stage).observe(time.perf_counter() - started)
