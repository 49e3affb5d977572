"""The types of the resource: defaults, durations, and the checks that are repeated in the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tradingengine_operator.api import BUILT_IN, TradingEngineSpec, TradingEngineStatus, seconds
from tradingengine_operator.api.base import unknown_fields
from tradingengine_operator.api.spec import Segment
from tradingengine_operator.flows.policy import policy_of

pytestmark = pytest.mark.unit


def spec(**values: Any) -> TradingEngineSpec:
    """A specification with version 1.4.2 and what is given."""
    return TradingEngineSpec.model_validate({"version": "1.4.2"} | values)


@pytest.mark.parametrize(("text", "value"), [("30s", 30), ("10m", 600), ("1h30m", 5400), ("24h", 86400), ("0s", 0)])
def test_seconds(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "10", "1d", "m", "1h 30m", "-1s", "1.5h"])
def test_seconds_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@settings(deadline=None)
@given(hours=st.integers(0, 9999), minutes=st.integers(0, 59), secs=st.integers(0, 59))
def test_seconds_adds_up(hours: int, minutes: int, secs: int) -> None:
    assert seconds(f"{hours}h{minutes}m{secs}s") == hours * 3600 + minutes * 60 + secs


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        ({}, 2.0),
        ({"metrics": {"dialect": "none"}}, 5.0),
        ({"throttle": "200ms"}, 0.2),
        ({"throttle": "3s", "metrics": {"dialect": "none"}}, 3.0),
        ({"throttle": "15s"}, 15.0),
    ],
)
def test_throttle_of_the_gateway(gateway: dict[str, Any], expected: float) -> None:
    assert spec(gateway=gateway).gateway.throttle_seconds == pytest.approx(expected)


@pytest.mark.parametrize("throttle", ["", "s", "0ms", "2m", "2", "1.5s", "60s"])
def test_a_throttle_is_seconds_below_a_minute_or_milliseconds(throttle: str) -> None:
    with pytest.raises(ValidationError):
        spec(gateway={"throttle": throttle})


def test_defaults_survive_a_round_trip() -> None:
    manifest = spec().to_manifest()
    assert TradingEngineSpec.model_validate(manifest) == spec()
    assert TradingEngineSpec.model_validate(manifest).to_manifest() == manifest


def test_weights_are_counted_in_tenths() -> None:
    steps = [{"weight": 0.1, "hold": "1s"}, {"weight": 33.3, "hold": "1m"}, {"weight": 100}]
    rollout = spec(rollout={"steps": steps}).rollout
    assert [step.tenths for step in rollout.steps] == [1, 333, 1000]
    assert [step.hold_seconds for step in rollout.steps] == [1, 60, 0]


def test_a_step_that_a_person_ends_has_no_length_and_weights_may_repeat() -> None:
    steps = [{"weight": 10, "hold": "1s"}, {"weight": 10, "hold": "manual"}, {"weight": 100, "hold": "manual"}]
    rollout = spec(rollout={"steps": steps}).rollout
    assert [(step.tenths, step.hold_seconds) for step in rollout.steps] == [(100, 1), (100, None), (1000, None)]


def test_the_built_in_check_is_on_when_nobody_names_it() -> None:
    checks = {check.name: check for check in policy_of(spec(rollout={"checks": []})).checks}
    assert checks.keys() == BUILT_IN.keys()
    assert (checks["error-rate"].share, checks["latency-p95"].share, checks["latency-p95"].bound) == (0.01, 0.05, 1.0)
    asked = [{"name": "error-rate", "max": "0.2", "failureLimit": 5}, {"name": "queue", "query": "depth", "min": "3"}]
    named = {check.name: check for check in policy_of(spec(rollout={"checks": asked})).checks}
    error_rate, queue = named["error-rate"], named["queue"]
    assert (error_rate.share, error_rate.failure_limit, error_rate.disabled) == (0.2, 5, False)
    assert (queue.query, queue.least, queue.most, queue.required) == ("depth", 3.0, None, True)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"name": "mine"}, "needs a query"),
        ({"name": "mine", "query": "up"}, "needs max or min"),
        ({"name": "mine", "query": "up", "max": "1", "min": "0"}, "not both"),
        ({"name": "mine", "query": "up", "max": "much"}, "numbers as text"),
        ({"name": "error-rate", "query": "up"}, "is built in"),
        ({"name": "error-rate", "max": "2"}, "a share from 0 to 1"),
        ({"name": "latency-p95", "max": "0.3"}, "must be one of 1s"),
        ({"name": "answers", "query": "up", "max": "1"}, "give yours another name"),
    ],
)
def test_a_check_that_cannot_be_meant_is_refused_with_words(check: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(rollout={"checks": [check]})


def test_sizes_have_defaults_without_a_branch() -> None:
    assert (spec().database.storage, spec().cache.storage) == ("10Gi", "1Gi")
    assert spec(database={"embedded": {"storage": "20Gi"}}).database.storage == "20Gi"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rollout": {"window": "at night"}}, "Input should be 'outsideMarketHours' or 'any'"),
        ({"rollout": {"onOpen": "sell"}}, "Input should be 'withdraw' or 'hold'"),
        ({"gateway": {"metrics": {"dialect": "envoy"}}}, "dialect: only traefik or none is available"),
        ({"brokers": [{"name": "fyers"}]}, "name: only paper is available"),
        ({"marketData": {"source": "broker"}}, "source: only simulator or replay is available"),
        ({"mode": "live"}, "spec.mode live needs spec.marketData.source broker"),
        ({"database": {"type": "managed"}}, "type managed needs managed"),
        ({"cache": {"type": "managed"}}, "type managed needs managed"),
        ({"marketData": {"source": "replay"}}, "source replay needs replay"),
        ({"rollout": {"steps": [{"weight": 50, "hold": "1s"}]}}, "the last step must have weight 100"),
        ({"rollout": {"steps": [{"weight": 100}, {"weight": 5, "hold": "1s"}]}}, "weights must never fall"),
        ({"rollout": {"steps": [{"weight": 1.05, "hold": "1s"}, {"weight": 100}]}}, "steps of 0.1"),
        ({"rollout": {"steps": [{"weight": 1}, {"weight": 100}]}}, "needs a hold"),
        ({"rollout": {"match": {}}}, "name a header or a cookie"),
        ({"rollout": {"match": {"headers": [{"name": "cookie", "value": "x"}]}}}, "choose another header"),
        ({"rollout": {"match": {"cookies": [{"name": "te-session", "value": "x"}]}}}, "choose another name"),
        (
            {"gateway": {"sticky": "path"}, "rollout": {"match": {"cookies": [{"name": "c", "value": "x"}]}}},
            "match a header",
        ),
        ({"rollout": {"steps": [{"weight": 1, "hold": "by hand"}, {"weight": 100}]}}, "must be a duration"),
        ({"api": {"replicas": {"min": 5, "max": 2}}}, "min must not be above max"),
    ],
)
def test_what_the_server_refuses_is_refused_here_too(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**values)


def test_fields_of_a_newer_version_are_ignored_and_named() -> None:
    """A later chart's definition fills its defaults into every engine, of fields that are reserved or unheard of."""
    later: dict[str, Any] = {
        "version": "1.4.2",
        "colour": "red",
        "features": {"btst": True},
        "api": {"threads": 4, "replicas": {"min": 3, "surge": 1}},
        "edge": {"devices": ["TPU"], "offline": {"mode": "hibernate"}},
        "brokers": [{"name": "paper", "account": "x"}],
        "rollout": {"approvals": 9},
    }
    assert TradingEngineSpec.model_validate(later) == spec(api={"replicas": {"min": 3}})
    assert sorted(unknown_fields(TradingEngineSpec, later, "spec")) == [
        "spec.api.replicas.surge",
        "spec.api.threads",
        "spec.brokers[0].account",
        "spec.colour",
        "spec.edge.devices",
        "spec.edge.offline",
        "spec.features",
        "spec.rollout.approvals",
    ]
    assert list(unknown_fields(TradingEngineSpec, spec().to_manifest(), "spec")) == []


def test_status_finds_a_condition_by_type() -> None:
    entry = {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-11-21T10:00:00Z"}
    status = TradingEngineStatus.model_validate({"conditions": [entry]})
    ready = status.condition("Ready")
    assert ready is not None
    assert ready.reason == "Serving"
    assert status.condition("Degraded") is None


def test_segments_are_those_with_a_calendar() -> None:
    calendars = Path(__file__).parents[4] / "contract" / "calendar"
    assert set(get_args(Segment)) == {path.stem for path in calendars.glob("*.json")}
