"""How a release is judged, pass by pass in memory: what is said while it is held, and what nobody asks for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tradingengine_operator.flows.state import Candidate, Placed, Stage
from tradingengine_operator.samples import OwnValue

from .fake_api import Manifest
from .rig import Bench

pytestmark = pytest.mark.unit
LONG = {"steps": [{"weight": 10, "hold": "1m"}, {"weight": 100}], "warmSlot": "4s", "historyLimit": 2}


async def holding(rollout: dict[str, Any] | None = None, **spec: Any) -> Bench:
    """An engine whose second release has just got its first weight."""
    bench = Bench(rollout=rollout or LONG, **spec)
    await bench.settle()
    bench.ask(version="1.5.0", rollout=rollout or LONG, **spec)
    for _ in range(60):
        candidate = bench.state().candidate
        if candidate is not None and candidate.stage is Stage.HOLDING:
            return bench
        await bench.turn()
    raise AssertionError(bench.status)


def candidate_of(bench: Bench) -> Candidate:
    """The candidate, which must be there."""
    candidate = bench.state().candidate
    assert candidate is not None, bench.status
    return candidate


def autoscaler(bench: Bench, slot: str) -> Manifest:
    """The spec of a slot's autoscaler."""
    found: Manifest = bench.api.objects["HorizontalPodAutoscaler", f"desk-api-{slot}"]["spec"]
    return found


async def test_a_fault_of_both_releases_is_a_condition_with_its_time() -> None:
    bench = await holding()
    bench.prometheus.rates |= {1: "0.2", 2: "0.2"}
    begun = bench.now
    await bench.turn()
    first = bench.condition("ReleaseHealthy")
    assert (first["status"], first["reason"]) == ("False", "BothFailing")
    assert begun.strftime("%H:%M:%S") in first["message"]
    writes = len(bench.api.writes)
    for _ in range(5):
        await bench.turn()
    assert bench.condition("ReleaseHealthy") == first
    assert not [write for write in bench.api.writes[writes:] if "status" in write], "nothing is news any more"
    bench.prometheus.rates |= {1: "0", 2: "0"}
    for _ in range(3):  # what is recent has to be good again
        await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "Holding"


async def test_silence_is_said_after_a_while_and_never_in_a_healthy_start() -> None:
    bench = await holding()
    bench.prometheus.rates.clear()
    said = []
    for _ in range(8):
        await bench.turn()
        said.append(bench.condition("ReleaseHealthy")["reason"])
    assert said[:4] == ["Holding"] * 4
    assert said[-1] == "NoData"
    assert bench.condition("ReleaseHealthy")["status"] == "Unknown"


async def test_the_operator_asks_where_no_client_does_and_only_there() -> None:
    bench = await holding()
    await bench.turn()
    assert bench.pages.asked == []
    bench.prometheus.idle = {"dashboard"}
    for _ in range(3):
        await bench.turn()
    assert bench.pages.asked[-1] == "dashboard 1 desk.localhost"
    bench.pages.status = 500
    for _ in range(3):
        await bench.turn()
    assert candidate_of(bench).checks["error-rate"].both_since is not None, "it fails, and so does the stable release's"
    assert {entry.split()[0] for entry in bench.pages.asked} == {"dashboard"}


async def test_the_autoscaler_keeps_the_stable_release_as_large_as_it_was_while_a_run_lasts() -> None:
    bench = Bench(rollout=LONG)
    await bench.settle()
    bench.api.objects["Deployment", "desk-api-a"]["spec"]["replicas"] = 4  # as the autoscaler would
    bench.api.play()
    assert autoscaler(bench, "a")["minReplicas"] == 2
    bench.ask(version="1.5.0", rollout=LONG)
    await bench.turn()
    await bench.turn()
    assert autoscaler(bench, "a")["minReplicas"] == 4
    for _ in range(60):
        await bench.turn()
        if bench.state().stable == Placed("b", 2):
            break
    await bench.turn()
    assert autoscaler(bench, "b")["minReplicas"] == 2
    assert bench.api.objects["Deployment", "desk-api-b"]["spec"]["replicas"] == 4, "it took over with as many pods"


async def test_an_evicted_pod_in_a_slot_does_not_keep_a_healthy_release_at_starting() -> None:
    bench = Bench()
    await bench.settle()
    pod = bench.api.objects["Pod", "desk-api-a-0"]
    metadata = {**pod["metadata"], "name": "evicted", "uid": "evicted", "annotations": {"workload": "desk-api-b"}}
    metadata["labels"] = {**metadata["labels"], "tradingengine.io/slot": "b"}
    bench.api.put({**pod, "metadata": metadata, "status": {"phase": "Failed", "reason": "Evicted"}})
    bench.ask(version="1.5.0")
    kept = bench.api.objects["Pod", "evicted"]
    for _ in range(20):
        bench.api.objects["Pod", "evicted"] = kept
        await bench.turn()
    assert bench.state().stable == Placed("b", 2)


@pytest.mark.no_cover
async def test_a_long_hold_costs_one_write_a_minute() -> None:
    long = {**LONG, "steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}]}
    bench = await holding(long)
    await bench.turn()
    begun, writes = bench.now, len(bench.api.writes)
    while bench.now - begun < timedelta(minutes=5):
        await bench.turn()
    made = bench.api.writes[writes:]
    assert 4 <= len(made) <= 5, made
    assert all("status" in write for write in made), "the record's copy of the state need not follow"
    assert 250 <= candidate_of(bench).held <= 300


async def test_a_check_that_goes_up_and_down_costs_no_write_each_time() -> None:
    checks = [{"name": "mine", "query": "x", "max": "1"}]
    bench = await holding({**LONG, "steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}], "checks": checks})
    begun, writes = bench.now, len(bench.api.writes)
    for number in range(60):
        bench.prometheus.own = {("mine", 2): OwnValue(2.0 if number % 2 else 0.5), ("mine", 1): OwnValue(0.5)}
        await bench.turn()
    assert candidate_of(bench).weight == 100
    assert writes_a_minute(bench, begun, writes) <= 2


@pytest.mark.parametrize(("every", "beside"), [(3, 0), (25, 3)])
async def test_a_canary_with_little_traffic_costs_no_write_for_each_request(every: int, beside: int) -> None:
    bench = await holding({**LONG, "steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}]})
    for _ in range(9):
        await bench.turn()
    bench.prometheus.sizes = {2: 1} if beside == 0 else {1: 1, 2: 1}
    begun, held, writes = bench.now, candidate_of(bench).held, len(bench.api.writes)
    for number in range(140):  # a request each six, or each fifty seconds, beside a stable release with few as well
        for release, often in ((1, beside or 1), (2, every)):
            bench.prometheus.rates.pop(release, None)
            if number % often == 0:
                bench.prometheus.rates[release] = "0"
        await bench.turn()
        if number == 40:  # by now it is known how little there is
            begun, held, writes = bench.now, candidate_of(bench).held, len(bench.api.writes)
    made = writes_a_minute(bench, begun, writes)
    assert made <= 2, f"{made:.1f} writes a minute; judged {candidate_of(bench).held - held:.0f} s"


def writes_a_minute(bench: Bench, begun: datetime, writes: int) -> float:
    """How many writes there were since."""
    return (len(bench.api.writes) - writes) / ((bench.now - begun).total_seconds() / 60)


async def test_an_operator_that_comes_back_holds_on_instead_of_promoting_by_one_sample() -> None:
    bench = await holding()
    bench.now += timedelta(hours=2)
    bench.engine = bench.operator()
    for _ in range(10):
        await bench.turn()
        assert candidate_of(bench).step == 0
    for _ in range(30):
        await bench.turn()
    assert bench.state().stable == Placed("b", 2)
