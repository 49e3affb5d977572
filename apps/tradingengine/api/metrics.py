"""Metrics that only the api has."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradingengine.telemetry import names


class ApiMetrics:
    """Counters of orders, logins and the WebSocket, and the age of the edge's heartbeat."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.heartbeat_age = Gauge(
            names.EDGE_HEARTBEAT_AGE, "Seconds since the edge was heard; NaN when it never was.", registry=registry
        )
        self.orders = Counter(
            names.ORDERS_ACCEPTED, "Orders taken or refused by the api.", ("outcome", "reason"), registry=registry
        )
        self.logins = Counter(names.LOGINS, "Login attempts.", ("outcome",), registry=registry)
        self.conflated = Counter(
            names.WEBSOCKET_CONFLATED, "Messages replaced by a newer one before a slow client took them.",
            registry=registry,
        )  # fmt: skip
