"""What the Gateway has to do with a release: who asks for it, what the Gateway itself counted, and its silence."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.flows.state import Stage

from .fake_api import Manifest
from .rig import Bench
from .test_release_analysis import LONG, candidate_of, holding

pytestmark = pytest.mark.unit
ASKING = LONG | {"match": {"headers": [{"name": "x-canary", "value": "always"}]}}
METRICS = {"gateway": {"metrics": {"url": "http://traefik-metrics.gateway:9100/metrics"}}}


def rules(bench: Bench) -> dict[str, Manifest]:
    """Rules of the route, by name."""
    found: list[Manifest] = bench.api.objects["HTTPRoute", "desk"]["spec"]["rules"]
    return {rule["name"]: rule for rule in found}


def backends(rule: Manifest) -> list[str]:
    """Services behind a rule that get any request."""
    return [backend["name"] for backend in rule["backendRefs"] if backend["weight"]]


@pytest.mark.parametrize("sticky", ["cookie", "path"])
async def test_who_asks_for_the_new_release_gets_it_until_it_is_withdrawn(sticky: str) -> None:
    bench = await holding(ASKING, gateway={"sticky": sticky})
    assert backends(rules(bench)["api-match"]) == ["desk-api-b"]
    writes = len(bench.api.writes)
    bench.prometheus.rates[2] = "1"
    while bench.state().withdrawn is None:
        await bench.turn()
    await bench.turn()
    found = rules(bench)
    assert set(found) == {"api-release-a", "dashboard-release-a", "api", "dashboard"}
    assert all(backends(rule)[0].endswith("-a") and len(backends(rule)) == 1 for rule in found.values())
    route = [write for write in bench.api.writes[writes:] if "httproutes" in write or "HTTPRoute" in write]
    assert len(route) == 1, "weight and rules go in one patch"


async def test_how_to_ask_may_change_while_a_release_is_under_way() -> None:
    bench = await holding(LONG)
    assert "api-match" not in rules(bench)
    bench.ask(version="1.5.0", rollout=ASKING)
    await bench.turn()
    assert candidate_of(bench).stage is Stage.HOLDING
    assert rules(bench)["api-match"]["matches"][0]["headers"][0]["value"] == "always"


async def test_a_withdrawal_says_check_value_limit_time_and_query_wherever_it_is_told() -> None:
    bench = await holding()
    bench.prometheus.rates[2] = "1"
    while bench.state().withdrawn is None:
        await bench.turn()
    await bench.turn()
    verdict = bench.state().withdrawn
    assert verdict is not None
    noted = json.loads(
        bench.api.objects["ConfigMap", "desk-release-2"]["metadata"]["annotations"]["tradingengine.io/outcome"]
    )
    assert (noted["check"], noted["value"], noted["limit"]) == ("error-rate", "1.0000", "0.01")
    assert noted["query"].startswith("tradingengine_http_requests_total{")
    assert "$release" in noted["query"]
    told = [bench.condition("ReleaseHealthy")["message"], *event_messages(bench, "ReleaseWithdrawn")]
    assert len(told) == 2
    for words in told:
        assert "check error-rate, value 1.0000, limit 0.01, at " in words
        assert noted["at"] in words
        assert f"query: {noted['query']}" in words


def event_messages(bench: Bench, reason: str) -> list[str]:
    """Messages of the engine's events with a reason."""
    events: list[dict[str, Any]] = [entry for (kind, _), entry in bench.api.objects.items() if kind == "Event"]
    return [entry.get("message") or entry.get("note", "") for entry in events if entry["reason"] == reason]


async def test_a_gateway_that_is_not_named_is_not_asked() -> None:
    bench = await holding()
    assert [asked.gateway for asked in bench.prometheus.asked] == [False] * len(bench.prometheus.asked)


async def test_errors_that_only_the_gateway_sees_withdraw_a_release() -> None:
    bench = await holding(**METRICS)
    bench.prometheus.by_gateway = {2: "1"}
    for _ in range(4):
        await bench.turn()
    verdict = bench.state().withdrawn
    assert verdict is not None
    assert (verdict.reason, verdict.check) == ("ErrorRate", "error-rate")
    assert "through the Gateway answered 5xx" in verdict.message
    assert verdict.query is not None
    assert verdict.query.startswith("traefik_service_requests_total{")


async def test_a_gateway_that_does_not_answer_holds_a_release_by_its_name_and_for_its_budget() -> None:
    bench = await holding(LONG | {"noDataBudget": "30s"}, **METRICS)
    bench.prometheus.gateway_answers = False
    begun = bench.now
    while bench.state().withdrawn is None:
        assert candidate_of(bench).step == 0
        assert bench.now - begun < timedelta(seconds=60)
        await bench.turn()
        if bench.now - begun > timedelta(seconds=15) and bench.state().withdrawn is None:
            held = bench.condition("ReleaseHealthy")
            assert held["reason"] == "MetricsUnavailable"
            assert "http://traefik-metrics.gateway:9100/metrics" in held["message"]
    verdict = bench.state().withdrawn
    assert verdict is not None
    assert verdict.reason == "MetricsUnavailable"
    assert "Gateway's own metrics" in verdict.message


async def test_a_gateway_without_regular_expressions_is_told_apart_and_served_by_path() -> None:
    bench = Bench()
    bench.api.plain = True
    for _ in range(30):
        await bench.turn()
    ready = bench.condition("ReleaseHealthy")
    assert (ready["status"], ready["reason"]) == ("False", "CookieRuleRefused")
    assert "To mend: set spec.gateway.sticky to path" in ready["message"]
    bench.ask(gateway={"sticky": "path"})
    await bench.settle()
    assert bench.condition("Ready")["status"] == "True"
    assert rules(bench)["dashboard-release-a"]["matches"][0]["path"]["value"] == "/r/1"
