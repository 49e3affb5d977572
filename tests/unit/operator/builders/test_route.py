"""The route's rules: cookies for the live slots, weights for the rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.api import Slot
from tradingengine_operator.builders import names
from tradingengine_operator.builders.route import build_route, build_rules, cookie_pattern

from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("cookie", "number", "matches"),
    [
        ("te-release=7", 7, True),
        ("te-session=x; te-release=7", 7, True),
        ("te-release=7; te-session=x", 7, True),
        ("a=b;te-release=7;c=d", 7, True),
        ("te-release=77", 7, False),
        ("te-release=7", 77, False),
        ("xte-release=7", 7, False),
        ("te-session=te-release=7", 7, False),
        ("", 7, False),
    ],
)
def test_cookie_pattern(cookie: str, number: int, matches: bool) -> None:
    assert (re.fullmatch(cookie_pattern(number), cookie) is not None) is matches


def test_rules_of_a_canary() -> None:
    rules = build_rules(context(), {"a": 6, "b": 7}, {"a": 999, "b": 1})
    assert [rule["name"] for rule in rules] == [
        "api-release-a",
        "dashboard-release-a",
        "api-release-b",
        "dashboard-release-b",
        "api",
        "dashboard",
    ]
    assert [backend["name"] for backend in rules[2]["backendRefs"]] == ["desk-api-b"]
    assert {match["path"]["value"] for match in rules[2]["matches"]} == {"/v1", "/ws"}
    assert rules[2]["matches"][0]["headers"][0]["value"] == cookie_pattern(7)
    assert [(backend["name"], backend["weight"]) for backend in rules[5]["backendRefs"]] == [
        ("desk-dashboard-a", 999),
        ("desk-dashboard-b", 1),
    ]
    assert "headers" not in rules[4]["matches"][0]


def test_a_slot_that_is_not_live_has_no_cookie_rule() -> None:
    rules = build_rules(context(), {"a": 6}, {"a": 1000, "b": 0})
    assert [rule["name"] for rule in rules] == ["api-release-a", "dashboard-release-a", "api", "dashboard"]


@settings(deadline=None)
@given(
    live=st.dictionaries(st.sampled_from(names.SLOTS), st.integers(1, 999)),
    weights=st.dictionaries(st.sampled_from(names.SLOTS), st.integers(0, 1000)),
)
def test_every_rule_is_known_by_its_name(live: dict[Slot, int], weights: dict[Slot, int]) -> None:
    rules = build_rules(context(), live, weights)
    own = [rule["name"] for rule in rules]
    assert len(set(own)) == len(own)
    assert all(names.is_own_rule(name) for name in own)
    assert own[-2:] == ["api", "dashboard"]


@pytest.mark.parametrize("name", [None, "", "somebody-else", "api-release-c"])
def test_rules_of_others_are_left_alone(name: str | None) -> None:
    assert not names.is_own_rule(name)


def test_the_route_joins_the_gateway_under_the_host() -> None:
    ctx = context({"host": "desk.example.com", "gateway": {"name": "edge-gw", "namespace": "infra"}})
    spec = build_route(ctx, {}, {"a": 1000})["spec"]
    assert spec["hostnames"] == ["desk.example.com"]
    assert spec["parentRefs"][0]["name"] == "edge-gw"
    assert spec["parentRefs"][0]["namespace"] == "infra"
