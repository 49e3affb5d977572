"""What people and clusters do to an engine in mid-run: each has one answer, and visitors always have a release."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.flows.state import Placed, Stage
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy

from .fake_api import Manifest
from .rig import Bench
from .test_engines import tended
from .test_release_analysis import LONG, autoscaler, candidate_of, holding

pytestmark = pytest.mark.unit
FOREIGN = {"name": "theirs", "matches": [{"path": {"type": "PathPrefix", "value": "/docs"}}], "backendRefs": []}
NONSENSE = {"steps": [{"weight": 50, "hold": "1m"}, {"weight": 10}]}


def rules(bench: Bench) -> dict[str, Manifest]:
    """Rules of the route by name."""
    return {rule["name"]: deepcopy(rule) for rule in bench.api.objects["HTTPRoute", "desk"]["spec"]["rules"]}


def weights(bench: Bench) -> list[int]:
    """Weights of both slots in the API's rule."""
    return [int(entry["weight"]) for entry in rules(bench)["api"]["backendRefs"]]


def edit_route(bench: Bench, change: Any) -> None:
    """A person edits the rules by hand."""
    route = bench.api.objects["HTTPRoute", "desk"]
    change(route["spec"]["rules"])
    bench.api.put({**route, "metadata": dict(route["metadata"])})


async def to_the_end(bench: Bench, turns: int = 90) -> None:
    """Passes until no release is under way."""
    for _ in range(turns):
        await bench.turn()
        if bench.state().candidate is None:
            return
    raise AssertionError(bench.status)


async def test_replicas_and_template_in_one_apply_the_bounds_count_at_once_and_the_template_is_released() -> None:
    bench = Bench(rollout=LONG)
    await bench.settle()
    bench.ask(version="1.5.0", rollout=LONG, api={"replicas": {"min": 4, "max": 9}})
    await bench.turn()
    bounds = autoscaler(bench, "a")
    assert (bounds["minReplicas"], bounds["maxReplicas"]) == (4, 9), "what serves grows without waiting for a release"
    bench.api.objects["Deployment", "desk-api-a"]["spec"]["replicas"] = 4  # as the autoscaler does
    await to_the_end(bench)
    assert bench.state().stable == Placed("b", 2)
    deployment = bench.api.objects["Deployment", "desk-api-b"]
    assert deployment["spec"]["replicas"] == 4, "it took over with as many pods as the other had by then"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":1.5.0")
    await bench.turn()
    assert (autoscaler(bench, "b")["minReplicas"], autoscaler(bench, "b")["maxReplicas"]) == (4, 9)


async def test_replicas_alone_make_no_release_and_end_none() -> None:
    bench = await holding()
    before = candidate_of(bench)
    bench.ask(version="1.5.0", rollout=LONG, api={"replicas": {"min": 3, "max": 5}})
    await bench.turn()
    assert autoscaler(bench, "a")["minReplicas"] == 3
    assert candidate_of(bench).release == before.release
    assert candidate_of(bench).started_at == before.started_at
    await to_the_end(bench)
    assert bench.state().stable == Placed("b", 2)


async def test_the_specification_put_back_in_mid_run_gives_everybody_the_old_release_and_makes_no_new_one() -> None:
    bench = await holding()
    bench.ask(rollout=LONG)
    await bench.engine.reconcile()
    assert weights(bench) == [1000, 0], "at once"
    for _ in range(20):
        await bench.turn()
    assert (bench.state().stable, bench.state().candidate, bench.state().withdrawn) == (Placed("a", 1), None, None)
    assert ("ConfigMap", "desk-release-3") not in bench.api.objects
    assert ("Deployment", "desk-api-b") not in bench.api.objects
    assert bench.status["phase"] == "Running"


@pytest.mark.parametrize(("mended", "serves"), [("1.5.0", 2), ("1.6.0", 3)])
async def test_an_invalid_specification_that_is_mended_in_mid_run(mended: str, serves: int) -> None:
    """To the same wish: the release never noticed. To another one: that takes its place, weight first."""
    bench = await holding()
    begun = candidate_of(bench)
    bench.ask(version="1.6.0", rollout=NONSENSE)
    for _ in range(3):
        await bench.turn()
    assert bench.condition("SpecValid")["status"] == "False"
    assert (candidate_of(bench).release, weights(bench)) == (2, [900, 100])
    bench.ask(version=mended, rollout=LONG)
    await bench.engine.reconcile()
    assert bench.condition("SpecValid")["status"] == "True"
    if serves == 2:
        assert candidate_of(bench).started_at == begun.started_at
        assert candidate_of(bench).step_started_at == begun.step_started_at
    else:
        assert weights(bench) == [1000, 0]
    for _ in range(100):
        await bench.turn()
    assert bench.state().stable == Placed("b", serves)


async def test_an_engine_deleted_in_mid_run_ends_and_one_of_its_name_goes_on_with_its_numbers() -> None:
    bench = await holding()
    async with tended(bench) as (engines, _):
        engine = bench.api.objects[KIND, "desk"]
        engine["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
        writes = len(bench.api.writes)
        await engines.delete(engine)
        assert not [write for write in bench.api.writes[writes:] if "HTTPRoute" in write], "no weight is moved any more"
        assert bench.status["phase"] == "Deleting"
        await apply_deletion_policy(bench.api, engine)  # type: ignore[arg-type]
        bench.api.end(kinds.ENGINE, "desk")
    gone = {kind.kind for kind in (kinds.ROUTE, kinds.DEPLOYMENT, kinds.SERVICE, kinds.AUTOSCALER, kinds.POD)}
    assert not [key for key in bench.api.objects if key[0] in gone], "nothing of both releases is left"
    assert {"desk-release-1", "desk-release-2"} <= bench.names(kinds.CONFIG_MAP), "records are data, and are retained"
    bench.ask(version="1.6.0", rollout=LONG)
    bench.engine = bench.operator()
    await bench.settle()
    assert bench.state().stable == Placed("a", 3), "a cookie may still name release 1 or 2"
    assert weights(bench) == [1000, 0]
    assert bench.state().candidate is None


@pytest.mark.parametrize("edit", ["weights", "a rule taken away", "our rules taken away"])
async def test_the_route_edited_by_hand_in_mid_run_is_repaired_and_rules_of_others_stay(edit: str) -> None:
    bench = await holding()
    await bench.turn()
    before = candidate_of(bench)
    ours = rules(bench)

    def change(entries: list[Manifest]) -> None:
        if edit == "weights":
            for rule in entries:
                for backend in rule["backendRefs"]:
                    backend["weight"] = 500
        else:
            del entries[0 if edit == "a rule taken away" else slice(0, None)]
        entries.insert(0, dict(FOREIGN))

    edit_route(bench, change)
    await bench.engine.reconcile()
    assert {name: rule for name, rule in rules(bench).items() if name != "theirs"} == ours
    assert rules(bench)["theirs"] == FOREIGN
    after = candidate_of(bench)
    assert (after.release, after.step, after.held) == (before.release, before.step, before.held), "its hold goes on"
    await to_the_end(bench)
    assert bench.state().stable == Placed("b", 2)
    assert rules(bench)["theirs"] == FOREIGN


@pytest.mark.parametrize("slot", ["a", "b"])
async def test_a_service_that_is_deleted_in_mid_run_is_put_back_at_once_and_the_release_goes_on(slot: str) -> None:
    bench = await holding()
    del bench.api.objects["Service", f"desk-api-{slot}"]
    await bench.engine.reconcile()
    assert ("Service", f"desk-api-{slot}") in bench.api.objects
    assert candidate_of(bench).stage is Stage.HOLDING
    await to_the_end(bench)
    assert bench.state().stable == Placed("b", 2)


async def test_a_service_that_cannot_be_put_back_takes_the_weight_of_a_release_that_nobody_reaches() -> None:
    bench = await holding()
    metadata = {"name": "desk-api-b", "namespace": "trading"}
    bench.api.objects["Service", "desk-api-b"] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata | {"uid": "theirs", "resourceVersion": "1"},
        "spec": {"selector": {"app": "theirs"}},
    }
    for _ in range(8):
        await bench.turn()
    assert weights(bench) == [1000, 0]
    verdict = bench.state().withdrawn
    assert verdict is not None
    assert verdict.reason == "NoReadyEndpoint"
    assert "api: no Service leads to its pods" in verdict.message
    assert bench.api.objects["Service", "desk-api-b"]["metadata"]["uid"] == "theirs", "it is somebody else's"


async def test_a_gateway_that_is_deleted_in_mid_run_holds_the_release_until_it_is_back() -> None:
    bench = await holding()
    gateway = bench.api.objects.pop((kinds.GATEWAY.kind, "web"))
    await bench.turn()
    await bench.turn()
    assert bench.condition("Ready")["reason"] == "RouteNotAccepted"
    bench.now += timedelta(minutes=5)  # its word may stay on the route, so it is looked up now and then
    for _ in range(60):
        await bench.turn()
    assert bench.condition("ReferencesResolved")["reason"] == "GatewayMissing"
    assert bench.state().stable == Placed("a", 1), "what no Gateway took is not promoted"
    assert bench.state().withdrawn is None
    bench.api.objects[kinds.GATEWAY.kind, "web"] = gateway
    await to_the_end(bench)
    assert bench.state().stable == Placed("b", 2)
