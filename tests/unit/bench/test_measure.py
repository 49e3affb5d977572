"""Figures from samples and from the audit log."""

from __future__ import annotations

import json

import pytest

from bench.__main__ import page
from bench.measure import operator_writes, spread

pytestmark = pytest.mark.unit


def event(user: str, verb: str, resource: str, at: str) -> str:
    subject = {"resource": resource, "name": "desk"}
    return json.dumps({"user": {"username": user}, "verb": verb, "objectRef": subject, "requestReceivedTimestamp": at})


def test_percentiles_are_by_nearest_rank() -> None:
    found = spread([float(value) for value in range(100, 0, -1)])
    assert (found.count, found.median, found.p95, found.most) == (100, 50.5, 95.0, 100.0)
    assert spread([7.0]).p95 == 7.0


def test_only_the_operator_s_writes_after_a_moment_count_and_leases_do_not() -> None:
    operator = "system:serviceaccount:tradingengine-system:tradingengine"
    lines = [
        event(operator, "patch", "services", "2026-01-01T00:00:01Z"),
        event(operator, "patch", "services", "2025-12-31T23:59:59Z"),
        event(operator, "update", "leases", "2026-01-01T00:00:02Z"),
        event(operator, "get", "services", "2026-01-01T00:00:02Z"),
        event("kubernetes-admin", "patch", "services", "2026-01-01T00:00:02Z"),
    ]
    assert operator_writes(lines, "2026-01-01T00:00:00Z") == ["patch services/desk"]


def test_the_page_has_a_row_for_each_figure() -> None:
    assert "| a | 1 s | 0.5 s |" in page([("a", "1 s", "0.5 s")], 0.1)
