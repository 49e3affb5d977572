"""A rollback in memory, from the command's state to a settled engine: pods, route, configuration, conditions."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.builders.release import parse_record
from tradingengine_operator.flows.observation import Kept, ReleaseObservation, SlotObservation
from tradingengine_operator.flows.rollback import rollback
from tradingengine_operator.flows.state import Leaving, Placed, ReleaseState, dump_state
from tradingengine_operator.plan.routes import RouteObservation

from .rig import Bench
from .test_reconciler import QUIET
from .test_slots import WARM, deployment, warm

pytestmark = pytest.mark.unit
#: What the specification is changed to: code and configuration.
NEWER: dict[str, Any] = {"version": "1.5.0", "risk": {"dailyLoss": 7}}


async def released() -> Bench:
    """Release 2, with other code and configuration, serves in slot b; release 1 is warm in slot a."""
    bench = Bench(rollout=WARM)
    await bench.settle()
    bench.ask(rollout=WARM, **NEWER)
    for _ in range(40):
        await bench.turn()
        leaving = bench.state().retiring
        if leaving is not None and leaving.stage is Leaving.WARM:
            return bench
    raise AssertionError(bench.status)


def go_back(bench: Bench, to: int) -> None:
    """What a person's command makes of the stored state."""
    found = {}
    for (kind, name), manifest in bench.api.objects.items():
        if kind == "ConfigMap" and name.startswith("desk-release-"):
            record = parse_record(manifest)
            found[record.number] = Kept(record.template_hash(), record.requested)
    state = bench.state()
    seen = ReleaseObservation(
        template_hash=found[state.stable.release].template_hash if state.stable else "",
        requested=state.stable_requested,
        records={},
        may_start=True,
        slots={"a": SlotObservation(), "b": SlotObservation()},
        route=RouteObservation(),
        kept=found,
    )
    after = rollback(state, to, seen, bench.now, "orders look odd")
    assert isinstance(after, ReleaseState)
    bench.status["release"]["progress"] = dump_state(after)


async def rest(bench: Bench, release: int) -> None:
    """Passes until that release serves and nothing is under way."""
    for _ in range(80):
        await bench.turn()
        state = bench.state()
        leaving = state.retiring is None or state.retiring.stage is Leaving.WARM
        if state.stable is not None and state.stable.release == release and state.candidate is None and leaving:
            await bench.turn()
            return
    raise AssertionError(bench.status)


def weights(bench: Bench) -> dict[str, int]:
    """Weights of the API's slots as the route has them."""
    rules = bench.api.objects["HTTPRoute", "desk"]["spec"]["rules"]
    rule = next(entry for entry in rules if entry["name"] == "api")
    return {backend["name"]: backend.get("weight", 1) for backend in rule["backendRefs"]}


async def test_a_rollback_into_the_warm_slot_needs_no_new_pod_and_brings_code_and_configuration_back() -> None:
    bench = await released()
    pods = {name for kind, name in bench.api.objects if kind == "Pod" and name.startswith("desk-api")}
    uids = {name: bench.api.objects["Pod", name]["metadata"]["uid"] for name in pods}
    old = parse_record(bench.api.objects["ConfigMap", "desk-release-1"]).config_map
    writes = len(bench.api.writes)
    go_back(bench, 1)
    await bench.turn()
    await bench.turn()
    assert weights(bench) == {"desk-api-a": 1000, "desk-api-b": 0}
    assert "serve 1" in bench.control.calls
    await rest(bench, 1)
    assert bench.state().stable == Placed("a", 1)
    assert {name: bench.api.objects["Pod", name]["metadata"]["uid"] for name in pods} == uids
    done = [
        entry for entry in bench.api.writes[writes:] if entry.startswith(("scale ", "create ConfigMap/desk-release"))
    ]
    assert done == [], "no pod and no record is made"
    pod = deployment(bench, "desk-api-a")["template"]["spec"]
    assert pod["containers"][0]["image"].endswith(":1.4.2")
    assert {"name": "configuration", "configMap": {"name": old}} in pod["volumes"]
    assert bench.status["version"] == "1.4.2"
    edge = bench.api.objects["StatefulSet", "desk-edge"]["metadata"]["labels"][names.LABEL_RELEASE]
    assert edge == "1", "the edge follows what serves"


async def test_after_a_rollback_it_is_said_that_the_specification_waits_and_how_to_go_on() -> None:
    bench = await released()
    go_back(bench, 1)
    await rest(bench, 1)
    said = bench.condition("ReleaseHealthy")
    assert (said["status"], said["reason"]) == ("True", "RolledBack")
    assert "orders look odd" in said["message"]
    assert "To mend: change the specification" in said["message"]
    assert bench.condition("Ready")["status"] == "True"
    fields = {entry["path"]: entry for entry in bench.status["applied"]}
    assert (fields["spec.version"]["value"], fields["spec.version"]["reason"]) == ("1.4.2", "RolledBack")
    assert "spec.risk.dailyLoss" in fields
    writes = list(bench.api.writes)
    await bench.turn()
    assert bench.api.writes == writes, "it holds without a write"
    bench.ask(rollout=WARM, version="1.6.0")
    await rest(bench, 3)
    assert bench.condition("ReleaseHealthy")["reason"] == "Serving"
    assert "applied" not in bench.status


async def test_a_rollback_to_a_record_whose_slot_is_gone_is_a_run_of_its_own_by_that_record() -> None:
    bench = Bench(rollout=WARM | {"warmSlot": "4s"})
    await bench.settle()
    bench.ask(rollout=WARM | {"warmSlot": "4s"}, **NEWER)
    await bench.settle()
    assert "desk-api-a" not in {name for kind, name in bench.api.objects if kind == "Deployment"}
    old = parse_record(bench.api.objects["ConfigMap", "desk-release-1"]).config_map
    bench.api.objects.pop(("ConfigMap", old), None)
    go_back(bench, 1)
    await rest(bench, 1)
    assert bench.state().stable == Placed("a", 1)
    assert ("ConfigMap", old) in bench.api.objects, "configuration comes from the record"
    assert bench.state().last == 2


@pytest.mark.no_cover
async def test_a_rollback_is_the_same_whatever_write_the_operator_is_killed_before() -> None:
    base = await released()
    go_back(base, 1)
    left: list[tuple[str, Bench]] = []

    def remember(write: str) -> None:
        if not write.startswith(QUIET):
            left.append((write, base.fork()))

    base.api.before_write = remember
    await rest(base, 1)
    assert len(left) > 10
    for number, (write, bench) in enumerate(left):
        await rest(bench, 1)
        told = f"killed before write {number}: {write}"
        assert bench.state().stable == Placed("a", 1), told
        assert weights(bench) == {"desk-api-a": 1000, "desk-api-b": 0}, told


async def test_a_warm_pod_that_does_not_answer_gets_no_visitors() -> None:
    bench = await warm()
    go_back(bench, 1)
    bench.control.reachable = False
    for _ in range(3):
        await bench.turn()
    assert weights(bench) == {"desk-api-a": 0, "desk-api-b": 1000}
