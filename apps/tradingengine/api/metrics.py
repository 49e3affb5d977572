"""Metrics that only the api has."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from tradingengine.telemetry import names
from tradingengine.telemetry.metrics import Metrics

ORDER_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds."""


class ApiMetrics:
    """Counters of orders, logins and the WebSocket, and the age of the edge's heartbeat."""

    def __init__(self, metrics: Metrics) -> None:
        registry, self._identity = metrics.registry, metrics.identity
        self.heartbeat_age = Gauge(
            names.EDGE_HEARTBEAT_AGE, "Seconds since the edge was heard; NaN when it never was.", registry=registry
        )
        self._orders = Counter(
            names.ORDERS,
            "Orders that the api was asked for.",
            (*names.IDENTITY, "source", "outcome", "reason"),
            registry=registry,
        )
        self._order_seconds = Histogram(
            names.ORDER_SECONDS,
            "Seconds from request to answer of the orders that were taken.",
            (*names.IDENTITY, "source"),
            buckets=ORDER_BUCKETS,
            registry=registry,
        )
        self.logins = Counter(names.LOGINS, "Login attempts.", ("outcome",), registry=registry)
        self.conflated = Counter(
            names.WEBSOCKET_CONFLATED, "Messages replaced by a newer one before a slow client took them.",
            registry=registry,
        )  # fmt: skip

    def order(self, source: str, outcome: str, reason: str) -> None:
        """Count an order: taken, refused, undelivered or failed; `reason` is a code, none when it was taken."""
        self._orders.labels(*self._identity, source, outcome, reason).inc()

    def order_took(self, source: str, seconds: float) -> None:
        """Observe the time of an order that was taken."""
        self._order_seconds.labels(*self._identity, source).observe(seconds)
