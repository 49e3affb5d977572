"""Another Gateway or another host, pass by pass: what serves goes on until what replaces it was accepted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.errors import ApiError, ForbiddenError
from tradingengine_operator.flows.state import Placed
from tradingengine_operator.plan import kinds

from .fake_api import Manifest
from .rig import Bench

pytestmark = pytest.mark.unit
HOST = "desk.localhost"
STEP = timedelta(seconds=2)


class Watched(Bench):
    """A bench that looks at the route after every write and after every turn of the cluster."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.losses: list[str] = []
        self.serving = False
        self.api.before_write = lambda what: self.look(f"before {what}")

    async def turn(self) -> Any:
        """A turn, and a look before and after the Gateway's."""
        outcome = await self.engine.reconcile()
        self.look("after a pass")
        self.api.play()
        self.look("after the Gateway's turn")
        self.now += STEP
        return outcome

    def look(self, when: str) -> None:
        """Notes every moment at which nobody takes the old host's visitors to the engine."""
        if not self.serving:
            return
        route = self.api.objects["HTTPRoute", "desk"]
        parents = {entry["name"] for entry in route["spec"]["parentRefs"]}
        there = {name for kind, name in self.api.objects if kind == kinds.GATEWAY.kind}
        if not parents & there:
            self.losses.append(f"{when}: {parents} alone")
        said = (route.get("status") or {}).get("parents") or []
        if not any(
            entry["conditions"][0]["status"] == "True" and entry["parentRef"]["name"] in parents for entry in said
        ):
            self.losses.append(f"{when}: nobody accepted")


async def serving(**spec: Any) -> Watched:
    """An engine whose first release serves at Gateway `web`."""
    bench = Watched(**spec)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    bench.serving = True
    return bench


def add_gateway(bench: Bench, name: str, **spec: Any) -> Manifest:
    """Another Gateway of the namespace `gateway`."""
    metadata = {"name": name, "namespace": "gateway"}
    return bench.api.put(
        {"apiVersion": kinds.GATEWAY.api_version, "kind": kinds.GATEWAY.kind, "metadata": metadata, "spec": spec}
    )


def attached(bench: Bench, name: str = "desk") -> tuple[list[str], list[str]]:
    """Names of the Gateways of a route, and its hosts."""
    spec = bench.api.objects["HTTPRoute", name]["spec"]
    return [entry["name"] for entry in spec["parentRefs"]], spec["hostnames"]


def applied(bench: Bench) -> dict[str, tuple[str | None, str]]:
    """`status.applied` by path."""
    return {entry["path"]: (entry.get("value"), entry["reason"]) for entry in bench.status.get("applied") or ()}


async def turns(bench: Bench, count: int) -> None:
    """So many passes."""
    for _ in range(count):
        await bench.turn()


async def test_a_typo_in_the_gateways_name_gives_nothing_up() -> None:
    bench = await serving()
    bench.ask(gateway={"name": "webb", "throttle": "1ms"})
    await turns(bench, 3)
    assert attached(bench) == (["web"], [HOST])
    ready, found = bench.condition("Ready"), bench.condition("ReferencesResolved")
    assert (ready["status"], ready["reason"]) == ("False", "GatewayMissing")
    assert (found["status"], found["reason"]) == ("False", "GatewayMissing")
    for part in ("spec.gateway.name", "Gateway gateway/webb does not exist", "To mend: create it, or correct"):
        assert part in found["message"]
    assert applied(bench) == {"spec.gateway.name": ("web", "GatewayMissing")}
    since = bench.status["applied"][0]["since"]
    await turns(bench, 3)
    assert bench.status["applied"][0]["since"] == since
    bench.ask()
    await turns(bench, 2)
    assert applied(bench) == {}
    assert bench.condition("Ready")["status"] == "True"
    assert bench.condition("ReferencesResolved")["status"] == "True"
    assert bench.losses == []


async def test_a_release_goes_on_by_the_old_gateway_while_the_new_one_is_missing() -> None:
    bench = await serving()
    bench.ask(version="1.5.0", gateway={"name": "webb", "throttle": "1ms"})
    await turns(bench, 20)
    assert bench.state().stable == Placed("b", 2), "one part's trouble does not hold the other one up"
    assert attached(bench) == (["web"], [HOST])
    assert bench.condition("Ready")["reason"] == "GatewayMissing"
    assert bench.losses == []


async def test_a_new_gateway_takes_over_once_it_accepted() -> None:
    bench = await serving()
    add_gateway(bench, "other")
    bench.api.deaf.add("other")
    bench.ask(gateway={"name": "other", "throttle": "1ms"})
    await turns(bench, 3)
    assert attached(bench) == (["web", "other"], [HOST])
    assert applied(bench) == {"spec.gateway.name": ("web", "RoutePending")}
    assert bench.condition("Ready")["status"] == "True", "it has had no time yet"
    await turns(bench, 8)
    assert applied(bench) == {"spec.gateway.name": ("web", "GatewaySilent")}
    assert bench.condition("Ready")["reason"] == "GatewaySilent"
    bench.api.deaf.clear()
    await turns(bench, 4)
    assert attached(bench) == (["other"], [HOST])
    assert applied(bench) == {}
    assert bench.condition("Ready")["status"] == "True"
    assert bench.losses == []


async def test_without_the_right_to_read_gateways_the_old_one_stays_all_the_same() -> None:
    bench = await serving()
    bench.api.fail[kinds.GATEWAY.kind] = ForbiddenError(403, "Forbidden", "no")
    bench.engine = bench.operator()
    bench.ask(gateway={"name": "webb", "throttle": "1ms"})
    await turns(bench, 4)
    assert attached(bench) == (["web", "webb"], [HOST])
    assert applied(bench) == {"spec.gateway.name": ("web", "RouteNotAccepted")}
    assert bench.condition("Ready")["reason"] == "RouteNotAccepted"
    assert "Gateways" in bench.condition("ReferencesResolved")["message"]
    bench.ask()
    await turns(bench, 3)
    assert attached(bench) == (["web"], [HOST])
    assert bench.losses == []


async def test_a_new_host_and_the_old_one_are_both_served_until_it_is_accepted() -> None:
    bench = await serving()
    bench.api.gateway_works = False
    bench.ask(host="new.localhost")
    await turns(bench, 2)
    assert attached(bench) == (["web"], [HOST, "new.localhost"])
    assert applied(bench) == {"spec.host": (HOST, "RoutePending")}
    bench.api.gateway_works = True
    await turns(bench, 4)
    assert attached(bench) == (["web"], ["new.localhost"])
    assert applied(bench) == {}


async def test_a_host_that_no_listener_takes_is_not_tried() -> None:
    bench = await serving()
    everybody = {"namespaces": {"from": "All"}}
    add_gateway(bench, "web", listeners=[{"protocol": "HTTP", "hostname": "*.localhost", "allowedRoutes": everybody}])
    bench.ask(host="desk.example.com")
    await turns(bench, 3)
    assert attached(bench) == (["web"], [HOST])
    found = bench.condition("ReferencesResolved")
    assert found["reason"] == "ListenerMissing"
    assert "no listener of Gateway gateway/web takes host desk.example.com" in found["message"]
    assert applied(bench) == {"spec.host": (HOST, "ListenerMissing")}


async def test_a_first_route_waits_for_its_gateway() -> None:
    bench = Bench(gateway={"name": "webb", "throttle": "1ms"})
    await turns(bench, 8)
    assert ("HTTPRoute", "desk") not in bench.api.objects
    assert bench.condition("Ready")["reason"] == "GatewayMissing"
    assert bench.condition("ReleaseHealthy")["reason"] == "GatewayMissing"
    assert bench.status["phase"] == "Pending"
    assert applied(bench) == {}, "nothing is in force in its place"
    add_gateway(bench, "webb")
    await bench.settle()
    assert bench.status["phase"] == "Running"
    assert attached(bench) == (["webb"], [HOST])


async def test_paused_in_the_middle_of_a_change_says_what_is_in_force() -> None:
    bench = await serving()
    bench.ask(host="new.localhost", paused=True, api={"replicas": {"min": 3, "max": 6}})
    await turns(bench, 2)
    assert attached(bench) == (["web"], [HOST])
    assert applied(bench) == {
        "spec.host": (HOST, "Paused"),
        "spec.api.replicas.min": ("2", "Paused"),
        "spec.api.replicas.max": (None, "Paused"),
    }
    bench.ask(api={"replicas": {"min": 3, "max": 6}})
    await turns(bench, 2)
    assert applied(bench) == {}


TOO_MANY = 'HTTPRoute "desk" is invalid: spec.rules: Too many: 17: must have at most 16 items'


@pytest.mark.parametrize(
    ("words", "mend"),
    [(TOO_MANY, "at most 16 rules"), ("spec.hostnames[0]: Invalid value", "correct spec.host"), ("no", "own words")],
)
async def test_a_route_that_would_be_invalid_is_not_somebody_elses(words: str, mend: str) -> None:
    bench = await serving()

    def refuse(what: str) -> None:
        if what == "patch HTTPRoute/desk":
            raise ApiError(422, "Invalid", words)

    bench.api.before_write = refuse
    bench.ask(host="new.localhost")
    await bench.turn()
    ready = bench.condition("Ready")
    assert ready["reason"] == "RouteRefused"
    assert words in ready["message"]
    assert mend in ready["message"] or mend == "own words"


async def desk2(bench: Bench, **spec: Any) -> Any:
    """A second engine, made later, and its reconciler."""
    bench.ask("desk2", host=HOST, gateway={"name": "web", "throttle": "1ms"}, **spec)
    reconciler = bench.operator("desk2")
    for _ in range(8):
        await reconciler.reconcile()
        bench.api.play()
        bench.now += STEP
    return reconciler


def condition(bench: Bench, engine: str, type_: str) -> Manifest:
    """A condition of one of several engines."""
    status = bench.api.objects[KIND, engine]["status"]
    return next(entry for entry in status["conditions"] if entry["type"] == type_)


async def test_the_younger_of_two_engines_with_one_host_is_not_routed_until_the_older_is_gone() -> None:
    bench = await serving()
    second = await desk2(bench)
    assert ("HTTPRoute", "desk2") not in bench.api.objects
    ready = condition(bench, "desk2", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "HostTaken")
    assert "host desk.localhost on Gateway gateway/web belongs to TradingEngine trading/desk" in ready["message"]
    assert condition(bench, "desk2", "ReferencesResolved")["reason"] == "HostTaken"
    await bench.turn()
    assert bench.condition("Ready")["status"] == "True"
    assert attached(bench) == (["web"], [HOST])
    bench.serving = False
    del bench.api.objects[KIND, "desk"], bench.api.objects["HTTPRoute", "desk"]
    bench.now += 6 * STEP
    for _ in range(6):
        await second.reconcile()
        bench.api.play()
        bench.now += STEP
    assert attached(bench, "desk2") == (["web"], [HOST])
    assert condition(bench, "desk2", "Ready")["status"] == "True"


async def test_of_two_that_share_a_host_already_the_younger_gives_it_up() -> None:
    bench = await serving()
    second = await desk2(bench, paused=True)
    route = bench.api.objects["HTTPRoute", "desk"]
    metadata = {"name": "desk2", "labels": {**route["metadata"]["labels"], "app.kubernetes.io/instance": "desk2"}}
    owner = {"uid": bench.api.objects[KIND, "desk2"]["metadata"]["uid"]}
    bench.api.put({**route, "metadata": {**metadata, "ownerReferences": [owner]}})
    bench.ask("desk2", host=HOST, gateway={"name": "web", "throttle": "1ms"})
    for _ in range(8):
        await second.reconcile()
        bench.api.play()
        bench.now += STEP
    assert attached(bench, "desk2") == ([], [HOST])
    await bench.turn()
    assert attached(bench) == (["web"], [HOST])
    assert bench.condition("Ready")["status"] == "True"


async def test_a_host_that_another_engine_serves_leaves_the_own_one_in_force() -> None:
    bench = await serving()
    bench.ask("desk2", host="second.localhost", gateway={"name": "web", "throttle": "1ms"})
    second = bench.operator("desk2")
    for _ in range(8):
        await second.reconcile()
        bench.api.play()
        bench.now += STEP
    assert condition(bench, "desk2", "Ready")["status"] == "True"
    bench.ask(host="second.localhost")
    bench.engine = bench.operator()
    await turns(bench, 3)
    assert attached(bench) == (["web"], [HOST])
    assert applied(bench) == {"spec.host": (HOST, "HostTaken")}
    assert "trading/desk2" in bench.condition("Ready")["message"]
    assert attached(bench, "desk2") == (["web"], ["second.localhost"])
