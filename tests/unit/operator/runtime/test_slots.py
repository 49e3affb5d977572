"""Pods of both slots: who scales, how many stay warm, and how many may be taken away at once."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.builders import Manifest
from tradingengine_operator.flows.state import Leaving
from tradingengine_operator.plan import kinds

from .rig import Bench

pytestmark = pytest.mark.unit
WARM = {"steps": [{"weight": 10, "hold": "2s"}, {"weight": 100}], "warmSlot": "1h", "historyLimit": 5}


async def warm(**spec: Any) -> Bench:
    """Release 2 serves in slot b, and release 1 is warm in slot a."""
    bench = Bench(rollout=WARM, **spec)
    await bench.settle()
    bench.ask(version="1.5.0", rollout=WARM, **spec)
    for _ in range(40):
        await bench.turn()
        leaving = bench.state().retiring
        if leaving is not None and leaving.stage is Leaving.WARM:
            return bench
    raise AssertionError(bench.status)


def deployment(bench: Bench, name: str) -> Manifest:
    """A Deployment's spec."""
    found: Manifest = bench.api.objects["Deployment", name]["spec"]
    return found


def scale(bench: Bench, name: str, replicas: int) -> None:
    """What the autoscaler does."""
    deployment(bench, name)["replicas"] = replicas
    bench.api.play()


async def test_the_warm_slot_has_as_many_ready_pods_as_the_one_that_serves_up_and_down() -> None:
    bench = await warm()
    for wanted in (5, 2, 3):
        scale(bench, "desk-api-b", wanted)
        await bench.turn()
        assert deployment(bench, "desk-api-a")["replicas"] == wanted
        assert deployment(bench, "desk-dashboard-a")["replicas"] == 1


async def test_the_warm_slot_keeps_its_pods_while_the_serving_release_loses_its_own() -> None:
    bench = await warm()
    scale(bench, "desk-api-b", 4)
    await bench.turn()
    for number in range(4):
        pod = bench.api.objects["Pod", f"desk-api-b-{number}"]
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    await bench.engine.reconcile()
    assert deployment(bench, "desk-api-a")["replicas"] == 4


async def test_autoscalers_follow_the_role_for_both_components_and_aim_at_the_same_use() -> None:
    bench = await warm(api={"targetCPU": 70}, dashboard={"replicas": {"min": 2, "max": 4}})
    assert bench.names(kinds.AUTOSCALER) == {"desk-api-b", "desk-dashboard-b"}
    spec = bench.api.objects["HorizontalPodAutoscaler", "desk-dashboard-b"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 4)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 70


async def test_what_the_autoscaler_of_the_dashboard_chose_is_not_taken_back() -> None:
    bench = await warm()
    scale(bench, "desk-dashboard-b", 3)
    writes = len(bench.api.writes)
    await bench.turn()
    assert deployment(bench, "desk-dashboard-b")["replicas"] == 3
    assert "scale Deployment/desk-dashboard-b" not in bench.api.writes[writes:]


async def test_each_slot_in_use_has_a_budget_of_its_own_and_an_empty_one_none() -> None:
    bench = Bench(rollout=WARM)
    await bench.settle()
    assert bench.names(kinds.DISRUPTION_BUDGET) == {"desk-api-a", "desk-dashboard-a", "desk-edge"}
    selector = bench.api.objects["PodDisruptionBudget", "desk-api-a"]["spec"]["selector"]["matchLabels"]
    assert selector["tradingengine.io/slot"] == "a"
    both = await warm()
    assert both.names(kinds.DISRUPTION_BUDGET) == {
        f"desk-{part}-{slot}" for part in ("api", "dashboard") for slot in "ab"
    } | {"desk-edge"}


async def test_budgets_and_autoscalers_stay_while_the_record_cannot_be_read() -> None:
    bench = await warm()
    before = bench.names(kinds.DISRUPTION_BUDGET), bench.names(kinds.AUTOSCALER)
    for number in (1, 2):
        bench.api.objects["ConfigMap", f"desk-release-{number}"]["data"] = {"release.json": "{"}
    bench.engine = bench.operator()
    await bench.turn()
    await bench.turn()
    assert (bench.names(kinds.DISRUPTION_BUDGET), bench.names(kinds.AUTOSCALER)) == before
