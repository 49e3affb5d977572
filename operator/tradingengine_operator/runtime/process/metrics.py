"""Metrics of the operator, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: A pass that only looks takes milliseconds; the bounds tell 30 ms, which it is to stay below, from its neighbours.
_PASS_SECONDS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, *_SECONDS)


class OperatorMetrics:
    """All that the operator counts. Label values come from closed sets and names of engines, never from messages."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        engine = ("namespace", "engine")
        prefix = "tradingengine_operator"
        registry = self.registry
        self.reconciles = Counter(f"{prefix}_reconcile", "Passes of the loop.", (*engine, "result"), registry=registry)
        self.reconcile_seconds = Histogram(
            f"{prefix}_reconcile_seconds", "Length of one pass.", engine, buckets=_PASS_SECONDS, registry=registry
        )
        self.wakes = Counter(f"{prefix}_wake", "What woke the loop.", ("cause",), registry=registry)
        self.queue_age = Histogram(
            f"{prefix}_queue_seconds", "How long a wake-up waited for its pass.", buckets=_SECONDS, registry=registry
        )
        self.api_calls = Counter(
            f"{prefix}_api_call", "Calls to the API server.", ("kind", "verb", "result"), registry=registry
        )
        self.watch_restarts = Counter(
            f"{prefix}_watch_restart", "Watches that were begun anew.", ("namespace", "reason"), registry=registry
        )
        self.unobserved = Gauge(
            f"{prefix}_unobserved", "Kinds that cannot be listed.", ("namespace", "kind"), registry=registry
        )
        self.judged_age = Gauge(
            f"{prefix}_judged_seconds", "Time since a pass last judged an engine.", engine, registry=registry
        )
        self.control_calls = Counter(
            f"{prefix}_control_call", "Calls to pods' control API.", ("call", "result"), registry=registry
        )
        self.conditions = Gauge(
            f"{prefix}_condition",
            "Conditions: 1 True, 0 False, -1 Unknown.",
            (*engine, "type"),
            registry=registry,
        )
        self.release_weight = Gauge(
            f"{prefix}_release_weight", "Observed weight of a slot, percent.", (*engine, "slot"), registry=registry
        )
        self.release_sample = Gauge(
            f"{prefix}_release_sample",
            "What the candidate's checks found: the worst share of its step, or the number of a query.",
            (*engine, "check"),
            registry=registry,
        )
        self.edge_flat = Gauge(
            f"{prefix}_edge_flat",
            "Whether the edge held neither position nor order when last asked.",
            engine,
            registry=registry,
        )
        self.last_success = Gauge(
            f"{prefix}_last_success_timestamp_seconds", "When a pass last succeeded.", engine, registry=registry
        )
        self.lease_held = Gauge(f"{prefix}_lease_held", "Whether this process may write.", registry=registry)
        self.loop_lag = Gauge(
            f"{prefix}_loop_lag_seconds", "How late the event loop was at its last beat.", registry=registry
        )

    def count_call(self, kind: str, verb: str, result: str) -> None:
        """Observer of the API clients."""
        self.api_calls.labels(kind, verb, result).inc()

    def forget(self, namespace: str, engine: str) -> None:
        """Removes the series of an engine that is gone."""
        for family in (
            self.reconciles,
            self.reconcile_seconds,
            self.conditions,
            self.release_weight,
            self.release_sample,
            self.edge_flat,
            self.last_success,
            self.judged_age,
        ):
            family.remove_by_labels({"namespace": namespace, "engine": engine})
