"""Names of all metrics that something outside this process reads; `contract/metrics.json` lists the same."""

from typing import Final

HTTP_REQUESTS: Final = "tradingengine_http_requests_total"
HTTP_DURATION: Final = "tradingengine_http_request_duration_seconds"
HTTP_OVERDUE: Final = "tradingengine_http_requests_overdue"
WEBSOCKETS_OPENED: Final = "tradingengine_websockets_opened_total"
WEBSOCKET_DROPS: Final = "tradingengine_websocket_drops_total"
WEBSOCKETS: Final = "tradingengine_websockets"
EDGE_ORDERS: Final = "tradingengine_edge_orders_total"
EDGE_ORDER_SECONDS: Final = "tradingengine_edge_order_seconds"
EDGE_DRY_RUNS: Final = "tradingengine_edge_dry_runs_total"
EDGE_JOURNAL_SEQUENCE: Final = "tradingengine_edge_journal_sequence"
EDGE_UNSHIPPED: Final = "tradingengine_edge_unshipped"
EDGE_LOOKUPS_PENDING: Final = "tradingengine_edge_lookups_pending"
EDGE_UPDATES_PENDING: Final = "tradingengine_edge_broker_updates_pending"
EDGE_STORAGE_FAILED: Final = "tradingengine_edge_storage_failed"
EDGE_HEARTBEAT_AGE: Final = "tradingengine_edge_heartbeat_age_seconds"
OUTBOX_PENDING: Final = "tradingengine_outbox_pending"
PROJECTOR_LAG: Final = "tradingengine_projector_lag"
EVENT_LOOP_LAG: Final = "tradingengine_event_loop_lag_seconds"
LOOP_ERRORS: Final = "tradingengine_loop_errors_total"
WEBSOCKET_CONFLATED: Final = "tradingengine_websocket_conflated_total"
LOGINS: Final = "tradingengine_logins_total"
ORDERS: Final = "tradingengine_orders_total"
ORDER_SECONDS: Final = "tradingengine_order_seconds"
EVENTS_PROJECTED: Final = "tradingengine_events_projected_total"

IDENTITY: Final = ("component", "release", "slot")
"""The first labels of whatever a release is judged by."""

PROBES: Final = "tradingengine_probes_total"
PROBE_SECONDS: Final = "tradingengine_probe_seconds"

PROBE_HEADER: Final = b"x-te-probe"
"""A request with this header counts under source `probe`; it is never evidence for a release."""

OVERDUE_SECONDS: Final = 1.0
"""A request that takes the program longer is overdue; where a release is judged, no limit of latency is below it."""

OVERDUE_BOUNDS: Final = (OVERDUE_SECONDS, 2.5, 5.0, 10.0)
"""The limits of latency that a release may be judged by, in seconds: how many requests are over each is told."""

DURATION_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
