"""The HTTPRoute: our rules changed, everybody else's left, and what the Gateway said of it."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine_operator.api import Slot
from tradingengine_operator.builders.route import build_route, parent_reference
from tradingengine_operator.plan.attachment import GatewayKey
from tradingengine_operator.plan.routes import UNRESOLVED, merged_rules, read_route, route_patch

from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.unit
CTX = context()
GATEWAY = GatewayKey("gateway", "web")
WEIGHTS: dict[Slot, int] = {"a": 900, "b": 100}
FOREIGN = {"name": "docs", "matches": [{"path": {"type": "PathPrefix", "value": "/manual"}}]}


def stored(weights: dict[Slot, int] | None = None, live: dict[Slot, int] | None = None) -> dict[str, Any]:
    """A route as the API server gives it back."""
    route = build_route(CTX, live or {"a": 1, "b": 2}, weights or WEIGHTS)
    route["metadata"] |= {"resourceVersion": "17", "generation": 4}
    return route


def accepted(generation: int, status: str = "True", gateway: str = "web") -> dict[str, Any]:
    """What a Gateway writes."""
    condition = {"type": "Accepted", "status": status, "reason": "Why", "message": "because"}
    parent = {"name": gateway, "namespace": "gateway"}
    return {"parents": [{"parentRef": parent, "conditions": [condition | {"observedGeneration": generation}]}]}


def test_no_patch_when_all_is_as_desired() -> None:
    assert route_patch(stored(), build_route(CTX, {"a": 1, "b": 2}, WEIGHTS)) == []


def test_weights_and_cookie_rules_go_in_one_tested_patch() -> None:
    observed = stored()
    desired = build_route(CTX, {"a": 1}, {"a": 1000, "b": 0})
    operations = route_patch(observed, desired)
    assert operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "17"}
    assert [entry["path"] for entry in operations[1:]] == ["/spec/rules"]
    patched = jsonpatch.apply_patch(observed, operations)
    facts = read_route(patched, "desk", GATEWAY)
    assert facts.weights == {"a": 1000, "b": 0}
    assert facts.live == {("a", 1)}


def test_a_stale_patch_fails_its_test() -> None:
    operations = route_patch(stored(), build_route(CTX, {"a": 1}, {"a": 1000, "b": 0}))
    newer = stored()
    newer["metadata"]["resourceVersion"] = "18"
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(newer, operations)


@given(st.lists(st.sampled_from(["docs", "", "api", "dashboard", "api-release-a", None]), max_size=8))
def test_foreign_rules_keep_their_order_and_are_never_lost(order: list[str | None]) -> None:
    observed = [{"name": name, "matches": [number]} for number, name in enumerate(order)]
    own = build_route(CTX, {"a": 1}, WEIGHTS)["spec"]["rules"]
    merged = merged_rules(observed, own)
    foreign = [rule for rule in observed if rule["name"] in {"docs", "", None}]
    assert [rule for rule in merged if rule in foreign] == foreign
    assert [rule for rule in merged if rule not in foreign] == own


def test_host_and_gateway_follow_the_specification() -> None:
    other = context({"host": "other.localhost", "gateway": {"name": "edge", "namespace": "gw"}})
    operations = route_patch(stored(), build_route(other, {"a": 1, "b": 2}, WEIGHTS))
    assert {entry["path"] for entry in operations[1:]} == {"/spec/parentRefs", "/spec/hostnames"}


def test_weights_that_differ_between_api_and_dashboard_are_no_weights() -> None:
    observed = stored()
    rule = next(rule for rule in observed["spec"]["rules"] if rule["name"] == "dashboard")
    rule["backendRefs"][0]["weight"] = 1
    assert read_route(observed, "desk", GATEWAY).weights == {}


def test_cookie_rules_that_name_different_releases_match_none() -> None:
    observed = stored()
    rule = next(rule for rule in observed["spec"]["rules"] if rule["name"] == "api-release-a")
    header = copy.deepcopy(rule["matches"][0]["headers"][0])
    for match in rule["matches"]:
        match["headers"] = [header | {"value": header["value"].replace("=1", "=9")}]
    assert read_route(observed, "desk", GATEWAY).live == {("a", 0), ("b", 2)}


def test_releases_are_read_back_from_their_paths() -> None:
    ctx = context({"gateway": {"sticky": "path"}, "rollout": {"match": {"headers": [{"name": "x", "value": "y"}]}}})
    route = build_route(ctx, {"a": 1, "b": 22}, WEIGHTS, "b")
    facts = read_route(route, "desk", GATEWAY)
    assert facts.live == {("a", 1), ("b", 22)}
    assert facts.weights == WEIGHTS
    assert facts.trying == {"b"}
    again = read_route(build_route(ctx, {"a": 1}, {"a": 1000, "b": 0}), "desk", GATEWAY)
    assert again.live == {("a", 1)}
    assert not again.trying


@pytest.mark.parametrize("sticky", ["cookie", "path"])
def test_the_canary_loses_weight_and_all_its_rules_in_one_patch(sticky: str) -> None:
    ctx = context({"gateway": {"sticky": sticky}, "rollout": {"match": {"headers": [{"name": "x", "value": "y"}]}}})
    observed = build_route(ctx, {"a": 1, "b": 2}, WEIGHTS, "b")
    observed["metadata"] |= {"resourceVersion": "17", "generation": 4}
    operations = route_patch(observed, build_route(ctx, {"a": 1}, {"a": 1000, "b": 0}))
    assert [entry["path"] for entry in operations] == ["/metadata/resourceVersion", "/spec/rules"]
    rules = jsonpatch.apply_patch(observed, operations)["spec"]["rules"]
    backends = [backend for rule in rules for backend in rule["backendRefs"]]
    assert all(backend["weight"] == 0 for backend in backends if backend["name"].endswith("-b"))


REFUSED = [
    ({"reason": "UnsupportedValue", "message": "no"}, "cookie", "CookieRuleRefused"),
    ({"reason": "Other", "message": "regular expressions are not supported"}, "cookie", "CookieRuleRefused"),
    ({"reason": "NotAllowedByListeners", "message": "no"}, "cookie", "RouteNotAccepted"),
    ({"reason": "UnsupportedValue", "message": "no"}, "path", "RouteNotAccepted"),
]


@pytest.mark.parametrize(("words", "sticky", "reason"), REFUSED)
def test_a_gateway_that_can_match_no_cookie_is_told_apart(words: dict[str, str], sticky: str, reason: str) -> None:
    route = build_route(context({"gateway": {"sticky": sticky}}), {"a": 1, "b": 2}, WEIGHTS)
    route["metadata"] |= {"resourceVersion": "17", "generation": 4}
    status = accepted(4, "False")
    status["parents"][0]["conditions"][0] |= words
    facts = read_route(route | {"status": status}, "desk", GATEWAY)
    assert (facts.reason, facts.accepted, facts.refused) == (reason, False, True)


def test_cookie_rules_that_a_gateway_left_out_are_said() -> None:
    status = accepted(4)
    dropped = {"type": "PartiallyInvalid", "status": "True", "reason": "UnsupportedValue", "message": "Dropped Rule"}
    status["parents"][0]["conditions"].append(dropped | {"observedGeneration": 4})
    facts = read_route(stored() | {"status": status}, "desk", GATEWAY)
    assert facts.reason == "CookieRuleRefused"
    assert "Dropped Rule" in facts.message


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (accepted(4), "Accepted"),
        (accepted(3), "RoutePending"),
        (accepted(4, "False"), "RouteNotAccepted"),
        (accepted(4, gateway="another"), "GatewaySilent"),
        ({}, "GatewaySilent"),
    ],
)
def test_what_the_gateway_said(status: dict[str, Any], reason: str) -> None:
    facts = read_route(stored() | {"status": status}, "desk", GATEWAY)
    assert facts.reason == reason
    assert facts.accepted is (reason == "Accepted")


def test_a_route_that_names_what_is_not_there() -> None:
    status = copy.deepcopy(accepted(4))
    refs = {"type": "ResolvedRefs", "status": "False", "observedGeneration": 4, "reason": "BackendNotFound"}
    status["parents"][0]["conditions"].append(refs)
    facts = read_route(stored() | {"status": status}, "desk", GATEWAY)
    assert facts.accepted
    assert facts.reason == UNRESOLVED
    assert "BackendNotFound" in facts.message
    refs["observedGeneration"] = 3
    assert read_route(stored() | {"status": status}, "desk", GATEWAY).reason == "Accepted"


def test_while_the_new_gateway_is_waited_for_the_old_ones_word_counts_for_weights() -> None:
    both = stored()
    both["spec"]["parentRefs"].append(parent_reference("gateway", "other"))
    both["status"] = accepted(4)
    waiting = read_route(both, "desk", GatewayKey("gateway", "other"))
    assert (waiting.accepted, waiting.reason) == (True, "GatewaySilent")
    both["status"] = accepted(3)
    assert not read_route(both, "desk", GatewayKey("gateway", "other")).accepted, "weights are not proved yet"


def test_of_two_controllers_the_one_that_accepted_counts() -> None:
    both = stored() | {"status": accepted(4, "False")}
    both["status"]["parents"] += accepted(4)["parents"]
    assert read_route(both, "desk", GATEWAY).reason == "Accepted"


def test_an_absent_route() -> None:
    facts = read_route(None, "desk", GATEWAY)
    assert not facts.exists
    assert facts.weights == {}
