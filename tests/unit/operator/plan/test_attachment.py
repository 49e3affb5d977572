"""Gateway and host of a route: at no moment of a change has it no accepted parent, and nothing unproved is alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.route import build_route, parent_reference
from tradingengine_operator.plan.attachment import (
    Attachment,
    GatewayKey,
    Target,
    accepts,
    admits,
    attach,
    gateways_of,
    hosts_of,
)

from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.unit
WEB, WEBB, OTHER = GatewayKey("gateway", "web"), GatewayKey("gateway", "webb"), GatewayKey("gw", "other")
NAMESPACE = "trading"


def route(
    gateways: tuple[GatewayKey, ...] = (WEB,),
    hosts: tuple[str, ...] = ("desk.localhost",),
    words: dict[GatewayKey, tuple[str, int]] | None = None,
    generation: int = 4,
) -> dict[str, Any]:
    """A route as the API server gives it back; `words` are status and generation of what each Gateway said."""
    found = build_route(context(), {}, {"a": 1000})
    found["metadata"] |= {"namespace": NAMESPACE, "generation": generation, "resourceVersion": "1"}
    found["spec"] |= {"parentRefs": [parent_reference(*gateway) for gateway in gateways], "hostnames": list(hosts)}
    said = {WEB: ("True", generation)} if words is None else words
    found["status"] = {
        "parents": [
            {
                "parentRef": parent_reference(*gateway),
                "conditions": [{"type": "Accepted", "status": status, "observedGeneration": seen}],
            }
            for gateway, (status, seen) in said.items()
        ]
    }
    return found


def shape(attachment: Attachment | None) -> tuple[list[GatewayKey], list[str]]:
    """Gateways and hosts."""
    assert attachment is not None
    return [GatewayKey(entry["namespace"], entry["name"]) for entry in attachment.parents], list(attachment.hosts)


def attached(observed: dict[str, Any], gateway: GatewayKey, host: str = "desk.localhost", **how: bool) -> Any:
    """What is to be written."""
    given = {"usable": True, "followed": True} | how
    return shape(attach(observed, Target(gateway, host), **given))


def test_a_gateway_that_does_not_exist_is_never_written() -> None:
    target = Target(WEBB, "desk.localhost")
    assert attach(None, target, usable=False, followed=True) is None
    assert attached(route(), WEBB, usable=False) == ([WEB], ["desk.localhost"])


def test_a_new_gateway_joins_the_old_one_until_it_accepted_this_generation() -> None:
    assert attached(route(), OTHER) == ([WEB, OTHER], ["desk.localhost"])
    both = route((WEB, OTHER), words={WEB: ("True", 4), OTHER: ("True", 3)})
    assert attached(both, OTHER) == ([WEB, OTHER], ["desk.localhost"]), "its word is of an older generation"
    both = route((WEB, OTHER), words={WEB: ("True", 4), OTHER: ("False", 4)})
    assert attached(both, OTHER) == ([WEB, OTHER], ["desk.localhost"])
    both = route((WEB, OTHER), words={WEB: ("True", 4), OTHER: ("True", 4)})
    assert attached(both, OTHER, followed=False) == ([WEB, OTHER], ["desk.localhost"]), "its data plane is not there"
    assert attached(both, OTHER) == ([OTHER], ["desk.localhost"])


def test_a_new_host_joins_the_old_one_until_both_were_accepted() -> None:
    assert attached(route(), WEB, "new.localhost") == ([WEB], ["desk.localhost", "new.localhost"])
    hosts = ("desk.localhost", "new.localhost")
    assert attached(route(hosts=hosts, words={WEB: ("True", 3)}), WEB, "new.localhost") == ([WEB], list(hosts))
    assert attached(route(hosts=hosts), WEB, "new.localhost") == ([WEB], ["new.localhost"])
    assert attached(route(hosts=hosts), WEB, "new.localhost", usable=False) == ([WEB], ["desk.localhost"])


def test_a_change_that_is_taken_back_leaves_what_served() -> None:
    words = {WEB: ("True", 4), WEBB: ("False", 4)}
    assert attached(route((WEB, WEBB), words=words), WEB) == ([WEB], ["desk.localhost"])
    assert attached(route((WEB, WEBB), words=words), OTHER) == ([WEB, OTHER], ["desk.localhost"]), "a second try"
    words[OTHER] = ("True", 4)
    assert attached(route((WEB, OTHER), words=words), OTHER, usable=False) == ([WEB], ["desk.localhost"])


def test_a_route_that_nobody_accepted_has_nothing_to_lose() -> None:
    assert attached(route(words={}), OTHER) == ([OTHER], ["desk.localhost"])
    assert attached(route(words={WEB: ("False", 4)}), WEB, "new.localhost") == ([WEB], ["new.localhost"])


def test_who_has_no_right_to_what_is_in_force_is_attached_to_nothing() -> None:
    assert attached(route(), WEB, usable=False, yields=True) == ([], ["desk.localhost"])
    assert attached(route((), words={}), WEB) == ([WEB], ["desk.localhost"]), "and comes back"


def test_a_gateway_of_the_routes_own_namespace_needs_no_namespace() -> None:
    observed = route()
    observed["spec"]["parentRefs"] = [{"name": "web"}]
    observed["status"]["parents"][0]["parentRef"] = {"name": "web"}
    assert accepts(observed, GatewayKey(NAMESPACE, "web"))
    assert attached(observed, GatewayKey(NAMESPACE, "web")) == ([GatewayKey(NAMESPACE, "web")], ["desk.localhost"])


_GATEWAYS, _HOSTS = st.sampled_from([WEB, OTHER, WEBB]), st.sampled_from(["desk.localhost", "new.localhost"])
_MOVE = st.tuples(_GATEWAYS, _HOSTS, st.integers(0, 3))


@settings(deadline=None, max_examples=200)
@given(st.lists(_MOVE, min_size=1, max_size=8), st.booleans())
def test_whatever_is_asked_the_route_never_loses_what_serves(
    moves: list[tuple[GatewayKey, str, int]], knows: bool
) -> None:
    """`webb` does not exist: known beforehand, or only by its silence. Each move is followed by so many passes."""
    observed = route()
    for gateway, host, passes in moves:
        for _ in range(passes + 1):
            target = Target(gateway, host)
            wanted = attach(observed, target, usable=gateway != WEBB or not knows, followed=True)
            assert wanted is not None
            before = {(key, name) for key in gateways_of(observed) for name in hosts_of(observed) if key != WEBB}
            gateways, hosts = shape(wanted)
            after = {(key, name) for key in gateways for name in hosts if key != WEBB}
            assert before & after, "at least one place that served goes on"
            words = {key: ("True", observed["metadata"]["generation"] + 1) for key in gateways if key != WEBB}
            observed = route(tuple(gateways), tuple(hosts), words, observed["metadata"]["generation"] + 1)
    last = Target(moves[-1][0], moves[-1][1])
    for _ in range(3):
        wanted = attach(observed, last, usable=last.gateway != WEBB or not knows, followed=True)
        gateways, hosts = shape(wanted)
        words = {key: ("True", observed["metadata"]["generation"] + 1) for key in gateways if key != WEBB}
        observed = route(tuple(gateways), tuple(hosts), words, observed["metadata"]["generation"] + 1)
    if last.gateway != WEBB:
        assert (gateways_of(observed), hosts_of(observed)) == ((last.gateway,), (last.host,))


@pytest.mark.parametrize(
    ("pattern", "host", "takes"),
    [
        (None, "desk.localhost", True),
        ("desk.localhost", "desk.localhost", True),
        ("*.example.com", "desk.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "desk.localhost", False),
        ("www.localhost", "desk.localhost", False),
    ],
)
def test_what_a_listener_takes(pattern: str | None, host: str, takes: bool) -> None:
    listener = {"name": "http", "protocol": "HTTP"} | ({"hostname": pattern} if pattern else {})
    gateway = {"metadata": {"namespace": "gateway"}, "spec": {"listeners": [listener]}}
    assert admits(gateway, host, NAMESPACE) is takes


def test_a_listener_that_is_closed_to_the_namespace_does_not_count() -> None:
    closed = {"name": "mine", "protocol": "HTTP", "hostname": "new.localhost"}
    everybody = {"namespaces": {"from": "All"}}
    opened = {"name": "all", "protocol": "HTTP", "hostname": "desk.localhost", "allowedRoutes": everybody}
    gateway: dict[str, Any] = {"metadata": {"namespace": "gateway"}, "spec": {"listeners": [closed, opened]}}
    assert not admits(gateway, "new.localhost", NAMESPACE)
    assert admits(gateway, "new.localhost", "gateway")
    gateway["spec"]["listeners"] = [closed]
    assert admits(gateway, "new.localhost", NAMESPACE), "that is for the Gateway to say"
