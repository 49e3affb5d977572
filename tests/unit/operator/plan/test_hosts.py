"""Two engines that ask for one host: one has it, the same one whoever looks, and what serves goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine_operator.builders.route import build_route
from tradingengine_operator.plan.attachment import GatewayKey
from tradingengine_operator.plan.hosts import Claim, Place, engine_of, held_places, rival_of, wanted_place

from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.unit
PLACE = Place(GatewayKey("gateway", "web"), "desk.localhost")
OLD, NEW = "2026-11-20T09:00:00Z", "2026-11-21T09:00:00Z"


def claim(name: str, created: str, *, holds: bool = False, wants: bool = True, uid: str = "") -> Claim:
    """An engine of the place."""
    here = frozenset({PLACE})
    return Claim("trading", name, created, uid or name, here if wants else frozenset(), here if holds else frozenset())


def rival(own: Claim, *others: Claim) -> str:
    """Name of who has the better right, empty for nobody."""
    found = rival_of(own, others, [PLACE])
    return found[0].name if found is not None else ""


def test_the_older_engine_has_the_host() -> None:
    desk, desk2 = claim("desk", OLD), claim("desk2", NEW)
    assert rival(desk2, desk, desk2) == "desk"
    assert rival(desk, desk, desk2) == ""


def test_two_of_the_same_second_come_to_the_same_end() -> None:
    first, second = claim("desk", OLD, uid="b"), claim("desk2", OLD, uid="a")
    assert rival(first, second) == "desk2"
    assert rival(second, first) == ""


def test_what_serves_goes_on_though_an_older_engine_asks_for_its_host() -> None:
    assert rival(claim("desk", OLD), claim("desk2", NEW, holds=True)) == "desk2"
    assert rival(claim("desk2", NEW, holds=True), claim("desk", OLD)) == ""


def test_of_two_that_both_have_it_the_younger_gives_way() -> None:
    assert rival(claim("desk2", NEW, holds=True), claim("desk", OLD, holds=True)) == "desk"
    assert rival(claim("desk", OLD, holds=True), claim("desk2", NEW, holds=True)) == ""


def test_another_host_or_another_gateway_is_no_rival() -> None:
    elsewhere = Place(GatewayKey("gateway", "other"), "desk.localhost")
    other = Claim("trading", "desk2", OLD, "x", frozenset({elsewhere}))
    assert rival(claim("desk", NEW), other) == ""
    assert rival_of(claim("desk", NEW), [other], [PLACE, elsewhere]) == (other, elsewhere)


def test_a_route_whose_engine_is_gone_is_waited_for() -> None:
    left = Claim("trading", "desk", holds=frozenset({PLACE}))
    assert rival(claim("desk2", NEW), left) == "desk"


_CLAIMS = st.lists(
    st.tuples(st.sampled_from([OLD, NEW]), st.booleans(), st.sampled_from("abcd")), min_size=2, max_size=5
)


@given(_CLAIMS)
def test_exactly_one_of_them_has_it(drawn: list[tuple[str, bool, str]]) -> None:
    claims = [
        claim(f"desk{number}", created, holds=holds, uid=f"{uid}{number}")
        for number, (created, holds, uid) in enumerate(drawn)
    ]
    assert [rival(own, *claims) for own in claims].count("") == 1


def test_what_an_engine_asks_for_and_what_its_route_has() -> None:
    spec: dict[str, Any] = {"host": "desk.localhost", "gateway": {"name": "web", "namespace": "gateway"}}
    assert wanted_place({"spec": spec}) == PLACE
    assert wanted_place({"spec": {"host": 7}}) is None
    route = build_route(context(), {}, {"a": 1000})
    assert held_places(route) == {PLACE}
    assert engine_of(route) == "desk"
    route["metadata"]["labels"] = {"app.kubernetes.io/instance": "desk"}
    assert engine_of(route) == ""
