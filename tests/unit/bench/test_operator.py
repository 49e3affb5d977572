"""What the operator's figures are made of: the audit log, its histogram, and words for both."""

from __future__ import annotations

import json
import math
import os

import pytest
from prometheus_client import generate_latest
from te_devcluster.errors import DevclusterError
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

from bench.operator import calls_of, failed_passes, grown, memory_mib, passes_of, shown_passes

pytestmark = pytest.mark.unit
USER = "system:serviceaccount:bench:te"


def event(verb: str, resource: str, second: int, *, user: str = USER, stage: str = "ResponseComplete") -> str:
    subject = {"resource": resource, "name": "desk"}
    at = f"2026-01-01T00:00:{second:02}.000000Z"
    return json.dumps(
        {
            "user": {"username": user},
            "verb": verb,
            "objectRef": subject,
            "requestReceivedTimestamp": at,
            "stage": stage,
            "userAgent": f"written by {USER}",
        }
    )


def metrics_of(*passes: tuple[str, str, float]) -> str:
    """The operator's metrics after passes of (engine, result, seconds)."""
    metrics = OperatorMetrics()
    for engine, result, seconds in passes:
        metrics.reconciles.labels("bench", engine, result).inc()
        metrics.reconcile_seconds.labels("bench", engine).observe(seconds)
    return generate_latest(metrics.registry).decode()


def test_calls_are_those_of_the_account_in_the_period_and_the_lease_is_none() -> None:
    lines = [
        event("list", "pods", 0),
        event("list", "pods", 1),
        event("get", "secrets", 2),
        event("patch", "tradingengines", 3),
        event("update", "leases", 4),
        event("get", "pods", 5, user="kubernetes-admin"),
        event("watch", "pods", 6, stage="ResponseStarted"),
        event("watch", "pods", 6),
        event("create", "events", 9),
        "not even JSON, but of somebody else",
    ]
    found = calls_of(lines, USER, "2026-01-01T00:00:01", "2026-01-01T00:00:09")
    assert found.reads == ("list pods/desk", "get secrets/desk")
    assert found.writes == ("patch tradingengines/desk",)
    assert (found.count, found.watches) == (3, 1)


def test_passes_are_summed_over_engines_or_of_some() -> None:
    text = metrics_of(("one", "ok", 0.012), ("one", "failed", 0.4), ("two", "ok", 0.021))
    assert passes_of(text)[0.015] == 1
    assert passes_of(text)[0.03] == 2
    assert passes_of(text)[math.inf] == 3
    assert passes_of(text, frozenset({"one"}))[0.03] == 1
    assert passes_of(text, frozenset({"two"}))[math.inf] == 1
    assert failed_passes(text) == 1


def test_only_passes_of_the_period_count() -> None:
    before = metrics_of(("one", "ok", 5.0))
    after = metrics_of(("one", "ok", 5.0), ("one", "ok", 0.012), ("two", "ok", 0.001))
    found = grown(passes_of(before), passes_of(after))
    assert (found[0.005], found[0.015], found[5.0], found[math.inf]) == (1, 2, 2, 2)


def test_percentiles_are_told_as_bounds_with_their_number() -> None:
    text = metrics_of(*[("one", "ok", 0.007)] * 96, *[("one", "ok", 0.2)] * 4)
    words = "at most 10 ms (median at most 10 ms; bounds of its histogram, n=100"
    assert shown_passes(passes_of(text)) == f"{words})"
    assert shown_passes(passes_of(text), 4) == f"{words}, 4 of them failed)"
    with pytest.raises(DevclusterError, match="did not grow"):
        shown_passes(dict.fromkeys(passes_of(text), 0.0))


def test_the_limit_of_a_pass_is_a_bound_of_its_histogram() -> None:
    assert 0.03 in passes_of(metrics_of(("one", "ok", 0.001)))


def test_memory_is_read_of_the_process_itself() -> None:
    assert 1 < memory_mib(os.getpid()) <= memory_mib(os.getpid(), "VmHWM")
