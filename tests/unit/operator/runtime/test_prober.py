"""The prober comes with a release that is judged, and goes with it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.builders.prober import targets
from tradingengine_operator.flows.state import Stage
from tradingengine_operator.plan import kinds

from tests.unit.operator.builders.engines import context

from .rig import Bench

pytestmark = pytest.mark.unit
PROBER = "desk-prober"


def is_there(bench: Bench) -> bool:
    """Whether its Deployment is asked for."""
    return PROBER in bench.names(kinds.DEPLOYMENT)


async def running() -> Bench:
    """An engine whose first release serves."""
    bench = Bench()
    await bench.settle()
    assert bench.state().stable is not None
    return bench


async def until(bench: Bench, stage: Stage) -> None:
    """Passes until the candidate is in a stage."""
    for _ in range(60):
        candidate = bench.state().candidate
        if candidate is not None and candidate.stage is stage:
            return
        await bench.turn()
    raise AssertionError(f"stage {stage} was not reached: {bench.state()}")


async def test_an_engine_at_rest_is_asked_nothing_and_has_its_token_and_service_ready() -> None:
    bench = await running()
    assert not is_there(bench)
    assert PROBER in bench.names(kinds.SERVICE) & bench.names(kinds.SECRET) & bench.names(kinds.NETWORK_POLICY)


async def test_it_runs_the_program_that_serves_while_a_release_is_judged_and_no_longer() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await until(bench, Stage.HOLDING)
    template = bench.api.objects["Deployment", PROBER]["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert container["image"].endswith(":1.4.2"), "nothing is judged by its own program"
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert json.loads(environment["TE_PROBE_TARGETS"] or "") == {
        slot: {part: f"http://desk-{part}-{slot}.trading.svc" for part in ("api", "dashboard")} for slot in ("a", "b")
    }
    assert template["automountServiceAccountToken"] is False
    assert {volume.get("secret", {}).get("secretName") for volume in template["volumes"]} == {None, PROBER}
    await bench.settle()
    assert bench.status["release"]["stable"] == 2
    assert not is_there(bench)


async def test_a_release_waits_for_it_and_one_that_was_taken_away_comes_back() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await until(bench, Stage.STARTING)
    pod = bench.api.objects["Pod", f"{PROBER}-0"]
    for _ in range(5):
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        await bench.engine.reconcile()
        bench.now += timedelta(seconds=1)
    candidate = bench.state().candidate
    assert candidate is not None
    assert (candidate.stage, candidate.weight) == (Stage.STARTING, 0)
    await until(bench, Stage.HOLDING)
    del bench.api.objects["Deployment", PROBER]
    await bench.turn()
    assert is_there(bench)


async def test_an_engine_whose_serving_record_is_lost_can_still_be_given_a_new_release() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    del bench.api.objects["ConfigMap", "desk-release-1"]
    await until(bench, Stage.HOLDING)
    (container,) = bench.api.objects["Deployment", PROBER]["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(":1.5.0"), "no other program is known"
    await bench.settle()
    assert bench.status["release"]["stable"] == 2


async def test_a_release_that_is_judged_without_it_says_so() -> None:
    bench = await running()
    bench.ask(version="1.5.0", rollout={"steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}]})
    await until(bench, Stage.STARTING)
    for _ in range(40):
        await bench.turn()
        pod = bench.api.objects["Pod", f"{PROBER}-0"]
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    await bench.engine.reconcile()
    found = bench.condition("ReleaseHealthy")
    assert found["reason"] == "ProberMissing"
    assert "judged on the requests of clients alone" in found["message"]
    await bench.turn()
    await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "Holding"


async def test_a_withdrawn_release_takes_it_along() -> None:
    bench = await running()
    bench.prometheus.rates[2] = "1"
    bench.ask(version="1.5.0")
    await bench.settle()
    assert bench.status["phase"] == "Withdrawn"
    assert not is_there(bench)


def test_its_targets_are_the_slots_past_the_gateway() -> None:
    ctx = context()
    assert {url for slot in targets(ctx).values() for url in slot.values()} == {
        f"http://{names.slot('desk', part, slot)}.trading.svc" for part in names.SLOT_COMPONENTS for slot in names.SLOTS
    }


async def test_a_release_at_night_is_promoted_on_its_probes_and_their_share_is_shown() -> None:
    bench = await running()
    bench.prometheus.idle = {"api", "dashboard"}
    bench.prometheus.probes = {1: "ok", 2: "ok"}
    bench.ask(version="1.5.0")
    await until(bench, Stage.HOLDING)
    await bench.turn()
    shown = {entry["name"]: entry["value"] for entry in bench.control.documents[-1]["checks"]}
    assert shown["probes"] == "0.0000"
    await bench.settle()
    assert bench.status["release"]["stable"] == 2


async def test_a_release_at_night_whose_probes_are_answered_wrongly_says_so() -> None:
    bench = await running()
    bench.prometheus.idle = {"api", "dashboard"}
    bench.prometheus.probes = {1: "ok", 2: "ok"}
    bench.ask(version="1.5.0", rollout={"steps": [{"weight": 10, "hold": "1m"}, {"weight": 100}], "warmSlot": "4s"})
    await until(bench, Stage.HOLDING)
    bench.prometheus.probes[2] = "wrong"
    for _ in range(4):
        await bench.turn()
    condition = bench.condition("ReleaseHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "Probes")
    assert "for pages late, wrong or not answered" in condition["message"]
