"""The route's rules: cookies for the live slots, weights for the rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.route import build_route, build_rules, cookie_pattern
from tradingengine_operator.flows.policy import policy_of

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


def test_a_tenth_of_a_percent_is_one_of_a_thousand() -> None:
    spec = context({"rollout": {"steps": [{"weight": 0.1, "hold": "1h"}, {"weight": 100}]}}).spec
    weight = policy_of(spec).steps[0].weight
    for rule in build_rules(context(), {"a": 6, "b": 7}, {"a": 1000 - weight, "b": weight})[-2:]:
        assert [backend["weight"] for backend in rule["backendRefs"]] == [999, 1]


def headers_of(rule: Manifest) -> list[tuple[str, str, str]]:
    return [
        (match["path"]["value"], header["name"], header["value"])
        for match in rule["matches"]
        for header in match.get("headers", [])
    ]


MATCH = {"headers": [{"name": "x-canary", "value": "always"}], "cookies": [{"name": "try.me", "value": "yes"}]}
ASKED = r"(^|.*;\s*)try\.me=yes(;.*|$)"


def test_who_asks_for_the_new_release_comes_before_all_others() -> None:
    ctx = context({"rollout": {"match": MATCH}})
    rules = build_rules(ctx, {"a": 6, "b": 7}, {"a": 999, "b": 1}, "b")
    # Where several rules match alike the first one counts, so a cookie of the other release keeps nobody.
    assert [rule["name"] for rule in rules[:3]] == ["api-match", "dashboard-match", "api-release-a"]
    assert [backend["name"] for backend in rules[0]["backendRefs"]] == ["desk-api-b"]
    assert headers_of(rules[0]) == [
        (path, name, value) for path in ("/v1", "/ws") for name, value in (("x-canary", "always"), ("Cookie", ASKED))
    ]
    assert headers_of(rules[1]) == [("/", "x-canary", "always"), ("/", "Cookie", ASKED)]
    assert re.fullmatch(ASKED, "te-release=6; try.me=yes")
    assert not re.fullmatch(ASKED, "tryXme=yes")


def test_nobody_can_ask_for_what_is_not_there() -> None:
    ctx = context({"rollout": {"match": MATCH}})
    assert build_rules(ctx, {"a": 6}, {"a": 1000}, None) == build_rules(context(), {"a": 6}, {"a": 1000}, None)
    assert build_rules(context(), {"a": 6}, {"a": 1000}, "a") == build_rules(context(), {"a": 6}, {"a": 1000}, None)


def test_by_path_no_rule_needs_a_regular_expression() -> None:
    ctx = context({"gateway": {"sticky": "path"}, "rollout": {"match": {"headers": MATCH["headers"]}}})
    rules = {rule["name"]: rule for rule in build_rules(ctx, {"a": 6, "b": 7}, {"a": 900, "b": 100}, "b")}
    assert "RegularExpression" not in str(rules)
    paths = {name: [match["path"]["value"] for match in rule["matches"]] for name, rule in rules.items()}
    assert paths["api-release-b"] == ["/r/7/v1", "/r/7/ws"]
    assert paths["dashboard-release-a"] == ["/r/6"]
    assert (paths["api"], paths["dashboard"]) == (["/v1", "/ws"], ["/"])
    told = {
        name: rule["filters"][0]["requestHeaderModifier"]["set"] for name, rule in rules.items() if "filters" in rule
    }
    by_path, own = [{"name": "x-te-sticky", "value": "path"}], [{"name": "x-te-sticky", "value": "own-path"}]
    assert told == {
        "dashboard-match": own,
        "dashboard-release-a": by_path,
        "dashboard-release-b": by_path,
        "dashboard": by_path,
    }


@settings(deadline=None)
@given(
    live=st.dictionaries(st.sampled_from(names.SLOTS), st.integers(1, 999)),
    weights=st.dictionaries(st.sampled_from(names.SLOTS), st.integers(0, 1000)),
    sticky=st.sampled_from(["cookie", "path"]),
    trying=st.sampled_from([*names.SLOTS, None]),
)
def test_every_rule_is_known_by_its_name(
    live: dict[Slot, int], weights: dict[Slot, int], sticky: str, trying: Slot | None
) -> None:
    match = {"headers": MATCH["headers"]}
    rules = build_rules(context({"gateway": {"sticky": sticky}, "rollout": {"match": match}}), live, weights, trying)
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
