"""An operator that was upgraded, or finds what a later one left: engines go on, one at a time, and say what waits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.builders import Manifest
from tradingengine_operator.errors import ApiError, ForbiddenError, UnreadError
from tradingengine_operator.flows.state import Stage
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.release.turns import GIVEN_SECONDS, READ_SECONDS, Turns

from .rig import Bench
from .test_release_trouble import reach, running, warnings

pytestmark = pytest.mark.unit

UNDER_WAY = {
    "format": 1,
    "serial": 9,
    "last": 2,
    "stable": {"slot": "a", "release": 1},
    "candidate": {
        "slot": "b",
        "release": 2,
        "template_hash": "h2",
        "stage": "holding",
        "started_at": "2026-11-21T09:00:00Z",
        "stage_at": "2026-11-21T09:00:00Z",
    },
}


def upgraded(bench: Bench) -> None:
    """Another version of the operator, which renders all images otherwise."""
    bench.images = replace(bench.images, registry="registry.test/next")
    bench.engine = bench.operator()


def other_engine(bench: Bench, state: dict[str, Any] | None = None, reason: str = "Settled") -> None:
    """An engine of somebody else beside ours, as its status shows it; it is not worked on here."""
    progress = {"release": {"progress": json.dumps(state)}} if state is not None else {}
    condition = {"type": "Progressing", "status": "True", "reason": reason}
    bench.api.put(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": "other"},
            "spec": {"version": "1.4.2"},
            "status": {"conditions": [condition], **progress},
        }
    )


async def test_an_upgrade_waits_while_another_engine_has_a_release_under_way() -> None:
    bench = await running()
    other_engine(bench, UNDER_WAY)
    upgraded(bench)
    for _ in range(5):
        outcome = await bench.turn()
    assert bench.state().candidate is None
    assert bench.condition("Progressing")["reason"] == "UpgradeWaits"
    assert "trading/other has a release under way" in bench.condition("Progressing")["message"]
    assert bench.status["phase"] == "Running"
    assert outcome.recheck is not None
    other_engine(bench)
    bench.engine = bench.operator()
    await bench.settle()
    stable = bench.state().stable
    assert stable is not None
    assert stable.release == 2
    assert bench.condition("Progressing")["reason"] == "Settled"


async def test_a_release_under_way_is_not_replaced_by_an_upgrade() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.HOLDING)
    upgraded(bench)
    other_engine(bench, UNDER_WAY)
    await bench.settle()
    stable = bench.state().stable
    assert stable is not None
    assert stable.release == 2
    image = bench.api.objects["Deployment", "desk-api-b"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.test/desk/tradingengine-apps:1.5.0"


async def test_a_withdrawn_version_stays_withdrawn_after_an_upgrade() -> None:
    bench = await running()
    bench.prometheus.rates[2] = "1"
    bench.ask(version="1.5.0")
    for _ in range(40):
        await bench.turn()
        if bench.state().withdrawn is not None:
            break
    assert bench.state().withdrawn is not None
    bench.prometheus.rates[2] = "0"
    upgraded(bench)
    for _ in range(20):
        await bench.turn()
    assert (bench.state().last, bench.status["phase"]) == (2, "Withdrawn")


async def test_a_record_of_what_serves_that_was_deleted_is_written_again() -> None:
    bench = await running()
    before = bench.api.objects.pop(("ConfigMap", "desk-release-1"))["metadata"]["annotations"]
    await bench.turn()
    await bench.turn()
    after = bench.api.objects["ConfigMap", "desk-release-1"]["metadata"]["annotations"]
    assert after["tradingengine.io/template-hash"] == before["tradingengine.io/template-hash"]
    assert "RecordRestored" in warnings(bench)
    assert bench.condition("ReleaseHealthy")["reason"] == "Serving"


async def test_a_record_of_what_serves_that_this_operator_cannot_write_again_is_said() -> None:
    """Another registry renders otherwise; nothing is taken down for it."""
    bench = await running()
    record = bench.api.objects.pop(("ConfigMap", "desk-release-1"))
    before = bench.names(kinds.DEPLOYMENT)
    other_engine(bench, UNDER_WAY)
    upgraded(bench)
    for _ in range(3):
        await bench.turn()
    assert bench.state().candidate is None
    assert bench.names(kinds.AUTOSCALER) == {"desk-api-a", "desk-dashboard-a"}
    assert bench.names(kinds.DEPLOYMENT) == before
    assert bench.condition("ReleaseHealthy")["reason"] == "RecordMissing"
    assert "desk-release-1" in bench.condition("ReleaseHealthy")["message"]
    bench.api.objects["ConfigMap", "desk-release-1"] = record
    await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "Serving"


async def test_a_first_release_whose_record_is_lost_in_migrations_goes_on() -> None:
    bench = Bench()
    await reach(bench, Stage.MIGRATING)
    bench.api.objects.pop(("ConfigMap", "desk-release-1"))
    bench.api.objects.pop(("Job", "desk-migrate-1"), None)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    assert "RecordRestored" in warnings(bench)


async def test_a_record_name_that_somebody_else_took_costs_a_number_and_is_said() -> None:
    bench = await running()
    foreign: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "desk-release-2"},
        "data": {"mine": "yes"},
    }
    bench.api.put(foreign)
    bench.ask(version="1.5.0")
    await bench.settle()
    stable = bench.state().stable
    assert stable is not None
    assert stable.release == 3
    assert "NameTaken" in warnings(bench)
    assert bench.api.objects["ConfigMap", "desk-release-2"]["data"] == {"mine": "yes"}
    assert len([write for write in bench.api.writes if write == "create ConfigMap/desk-release-2"]) == 1


async def test_fields_of_a_later_definition_are_named_and_stop_nothing() -> None:
    bench = await running()
    bench.ask(version="1.5.0", login={"secondFactor": "optional"}, edge={"devices": ["NPU"], "addresses": []})
    await bench.settle()
    assert bench.status["version"] == "1.5.0"
    valid = bench.condition("SpecValid")
    assert (valid["status"], valid["reason"]) == ("True", "FieldsIgnored")
    assert "spec.login, spec.edge.devices, spec.edge.addresses" in valid["message"]
    assert "To mend" in valid["message"]
    bench.ask(version="1.5.0")
    await bench.turn()
    assert bench.condition("SpecValid")["reason"] == "Valid"


async def test_a_status_of_a_later_operator_is_read() -> None:
    bench = await running()
    engine = bench.api.objects[KIND, "desk"]
    engine["status"]["conditions"].append(
        {
            "type": "MaintenanceSucceeded",
            "status": "True",
            "reason": "Done",
            "lastTransitionTime": "2026-11-21T09:00:00Z",
        }
    )
    state = json.loads(engine["status"]["release"]["progress"])
    engine["status"]["release"]["progress"] = json.dumps(state | {"window": {"opens": "soon"}})
    bench.engine = bench.operator()
    await bench.turn()
    assert bench.condition("Ready")["status"] == "True"
    assert bench.state().last == 1


class Listed:
    """Engines by namespace, or the error of listing them."""

    def __init__(self, **listed: list[Manifest] | ApiError | UnreadError) -> None:
        self.listed = listed

    async def engines(self, namespace: str) -> list[Manifest]:
        """As of the reader."""
        found = self.listed[namespace]
        if isinstance(found, ApiError | UnreadError):
            raise found
        return found


def engine(name: str, state: dict[str, Any] | None = None, reason: str = "Settled") -> Manifest:
    """An engine with a status."""
    status: Manifest = {"conditions": [{"type": "Progressing", "reason": reason}]}
    if state is not None:
        status["release"] = {"progress": json.dumps(state)}
    return {"metadata": {"name": name}, "status": status}


async def test_one_engine_at_a_time_has_its_turn() -> None:
    time = [100.0]
    listed = Listed(a=[engine("one"), engine("two")], b=[engine("three")])
    turns = Turns(listed, ("a", "b"), lambda: time[0])
    assert await turns.ask(("a", "one")) == ""
    assert await turns.ask(("a", "one")) == "", "it is asked for in every pass"
    assert await turns.ask(("b", "three")) == "engine a/one has its turn"
    time[0] += GIVEN_SECONDS
    listed.listed["a"] = [engine("one", UNDER_WAY), engine("two")]
    assert await turns.ask(("b", "three")) == "engine a/one has a release under way"
    time[0] += READ_SECONDS
    listed.listed["a"] = [engine("one"), engine("two")]
    assert await turns.ask(("b", "three")) == ""


async def test_a_turn_is_not_held_up_by_what_is_no_release() -> None:
    installing = {**UNDER_WAY, "stable": None}
    time = [100.0]
    listed = Listed(
        a=[engine("one", {key: value for key, value in installing.items() if value}), engine("two", {"format": 9})],
        b=ForbiddenError(403, "Forbidden", "no rights any more"),
    )
    turns = Turns(listed, ("a", "b"), lambda: time[0])
    assert await turns.ask(("a", "three")) == ""
    time[0] += GIVEN_SECONDS
    listed.listed["b"] = ApiError(503, "Unavailable", "later")
    for releases in (True, False):
        said = await turns.ask(("a", "three"), releases=releases)
        assert "under way in namespace b is not known" in said, "for stores, too"
        assert "code 503" in said
        assert "To mend: see why" in said
    time[0] += READ_SECONDS
    listed.listed["b"] = UnreadError("tradingengines", "it was not listed yet")
    assert "it was not listed yet" in await turns.ask(("a", "three"))
    time[0] += READ_SECONDS
    listed.listed["b"] = UnreadError("tradingengines", "forbidden", refused=True)
    assert await turns.ask(("a", "three"), releases=False) == "", "the operator acts there no more"


async def test_stores_wait_for_stores_alone() -> None:
    time = [100.0]
    listed = Listed(a=[engine("one", UNDER_WAY), engine("two", reason="StoresUpdating")])
    turns = Turns(listed, ("a",), lambda: time[0])
    assert await turns.ask(("a", "three"), releases=False) == "engine a/two replaces its stores"
    listed.listed["a"] = [engine("one", UNDER_WAY)]
    time[0] += READ_SECONDS
    assert await turns.ask(("a", "three"), releases=False) == ""
