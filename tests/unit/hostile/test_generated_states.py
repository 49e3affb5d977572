"""The generator of states draws from every field, repeats itself by its seed, and its oracle sees what it must."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tradingengine_operator.api import BUILT_IN, TradingEngineSpec
from tradingengine_operator.flows.policy import policy_of
from tradingengine_operator.flows.state import ReleaseState, Verdict, dump_state

from tests.suites.hostile.states.cases import DESKS, FAULTS, Fault, asks_metrics, desk_spec, draw_case
from tests.suites.hostile.states.neighbours import (
    ABSENT,
    Change,
    Path,
    Schema,
    changed,
    forbidden,
    likely_refused,
    neighbours,
    spec_schema,
)
from tests.suites.hostile.states.oracle import claims_of, differences, rest_of, snapshot

pytestmark = pytest.mark.unit
URL = "http://127.0.0.1:1"


def fields(schema: Schema, path: Path = ()) -> Iterator[Path]:
    """Every field of the schema without fields of its own; lists and maps are fields."""
    for name, child in schema["properties"].items():
        if "properties" in child and name not in forbidden(schema):
            yield from fields(child, (*path, name))
        else:
            yield (*path, name)


def test_every_field_of_the_schema_has_neighbours() -> None:
    missed = set(fields(spec_schema()))
    for desk in range(len(DESKS)):
        missed -= set(neighbours(desk_spec(desk, URL)))
    # A map is changed by its keys.
    missed = {path for path in missed if not any(path == found[: len(path)] for found in neighbours(desk_spec(3, URL)))}
    assert missed == set()


@pytest.mark.parametrize("desk", range(len(DESKS)))
def test_every_desk_is_valid(desk: int) -> None:
    TradingEngineSpec.model_validate(desk_spec(desk, URL))


def test_a_seed_repeats_itself() -> None:
    cases = [draw_case(7, number, URL) for number in range(60)]
    assert cases == [draw_case(7, number, URL) for number in range(60)]
    assert cases != [draw_case(8, number, URL) for number in range(60)]
    assert {case.fault.kind for case in cases} == set(FAULTS)
    assert {case.fault.back for case in cases} == {True, False}
    assert any(case.sick for case in cases)
    refused = sum(likely_refused(case.before, case.after) for case in cases)
    assert 0 < refused < 20, "most changes reach the operator, some are refused"
    assert all(case.after != case.before for case in cases)


@pytest.mark.parametrize("own", [[], [{"name": "queue", "query": "depth", "max": "3"}]])
def test_a_release_is_asked_about_while_any_check_is_on(own: list[dict[str, Any]]) -> None:
    """The lanes say what the operator does: one check that is switched off ends nothing."""
    off: list[dict[str, Any]] = []
    for name in ["", *BUILT_IN]:
        off += [{"name": name, "disabled": True}] if name else []
        spec = TradingEngineSpec.model_validate(desk_spec(0, URL) | {"rollout": {"checks": [*off, *own]}})
        checks = spec.to_manifest()["rollout"]["checks"]
        assert asks_metrics(checks) == bool(policy_of(spec).enabled)
    assert asks_metrics([]), "built-in checks are always on"
    assert not asks_metrics(off)


def test_a_change_leaves_the_specification_as_it_was() -> None:
    before = desk_spec(3, URL)
    kept = copy.deepcopy(before)
    after = changed(before, (Change(("api", "resources", "limits"), ABSENT), Change(("edge", "enabled"), False)))
    assert before == kept
    assert "limits" not in after["api"]["resources"]
    assert after["edge"] == {"enabled": False}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("edge", "journal", "storage"), "6Gi"),
        (("database", "embedded", "storage"), "11Gi"),
        (("edge", "nodeSelector"), {"example.com/zone": "x"}),
        (("backup",), {}),
        (("api", "replicas", "min"), 51),
    ],
)
def test_what_the_api_server_refuses_is_foreseen(path: Path, value: Any) -> None:
    before = desk_spec(0, URL)
    assert likely_refused(before, changed(before, (Change(path, value),)))
    assert not likely_refused(before, changed(before, (Change(("paused",), True),)))


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_can_be_told(kind: str) -> None:
    assert "way" in str(Fault(kind, 1, "pods", 500, 3, 2.0, back=True))


def engine(phase: str = "Running", generation: int = 2, said: int = 2, **reasons: str) -> dict[str, Any]:
    """An engine at rest; `reasons` are messages of conditions that do not hold."""
    types = {"Ready": "True", "SpecValid": "True", "DatabaseReady": "True", "CacheReady": "True", "EdgeReady": "True"}
    conditions = [
        {
            "type": type_,
            "status": "False" if type_ in reasons else status,
            "reason": "Some",
            "message": reasons.get(type_, ""),
            "observedGeneration": said,
        }
        for type_, status in {**types, "Progressing": "False"}.items()
    ]
    progress = dump_state(ReleaseState())
    return {
        "metadata": {"name": "desk", "generation": generation},
        "spec": {},
        "status": {
            "phase": phase,
            "observedGeneration": said,
            "conditions": conditions,
            "release": {"progress": progress},
        },
    }


def test_rest_is_told_from_work() -> None:
    assert rest_of(engine()) == "converged"
    assert rest_of(engine(said=1)) == "", "what was said of an older generation does not count"
    assert rest_of(engine(phase="Releasing")) == ""
    assert rest_of(engine(EdgeReady="waits")) == ""
    assert rest_of(engine(Ready="no Gateway. To mend: make one")) == "refused: Ready Some"
    assert rest_of({**engine(said=1), "spec": {"paused": True}}) == ""
    assert rest_of(engine(phase="Withdrawn")) == ""
    gone = engine(phase="Withdrawn", ReleaseHealthy="it answers with errors")
    verdict = Verdict(2, "h2", "ErrorRate", "it answers with errors", at=datetime(2026, 11, 28, tzinfo=UTC))
    gone["status"]["release"]["progress"] = dump_state(ReleaseState(withdrawn=verdict))
    assert rest_of(gone) == "withdrawn: ErrorRate"


def placed(slot: str, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An engine whose release `number` serves in a slot, and two of its children."""
    found = engine()
    state = {"format": 1, "serial": 3, "last": number, "stable": {"slot": slot, "release": number}}
    found["status"]["release"]["progress"] = str(state).replace("'", '"')
    name = f"desk-api-{slot}"
    labels = {"tradingengine.io/slot": slot, "tradingengine.io/release": str(number)}
    template = {"env": [{"name": "TE_SLOT", "value": slot}, {"name": "TE_RELEASE", "value": str(number)}]}
    deployment = {"kind": "Deployment", "metadata": {"name": name, "uid": slot, "labels": labels}, "spec": template}
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "uid": "1"}, "spec": {"storage": "1Gi"}}
    return found, [deployment, claim]


def test_another_number_in_the_other_slot_is_the_same() -> None:
    assert differences(snapshot(*placed("a", 1)), snapshot(*placed("b", 7))) == []


def test_what_is_not_as_it_was_is_named() -> None:
    before, (found, children) = snapshot(*placed("a", 1)), placed("b", 7)
    children[0]["spec"]["env"][1]["value"] = "6"
    children[1]["spec"]["storage"] = "2Gi"
    said = differences(before, snapshot(found, children))
    assert len(said) == 2
    assert "TE_RELEASE" in said[0]
    assert "another than the live one" in said[0]
    assert said[1] == 'PersistentVolumeClaim/data.spec.storage: "1Gi" -> "2Gi"'
    assert differences(before, snapshot(found, children[:1])), "a child that is gone is a difference"


def test_how_many_pods_an_autoscaler_wants_is_its_own_within_its_bounds() -> None:
    engine, (deployment, claim) = placed("a", 1)
    target = {"kind": "Deployment", "name": "desk-api-a"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3}
    scaler = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "desk-api-a", "uid": "2"}, "spec": spec}

    def scaled(replicas: int) -> dict[str, str]:
        sized = {**deployment, "spec": {**deployment["spec"], "replicas": replicas}}
        return snapshot(engine, [sized, claim, scaler])

    assert differences(scaled(1), scaled(2)) == []
    assert len(differences(scaled(1), scaled(4))) == 1
    assert len(differences(scaled(1), scaled(0))) == 1


def test_a_claim_that_came_is_no_difference_and_one_that_went_is() -> None:
    engine, (deployment, claim) = placed("a", 1)
    assert differences(snapshot(engine, [deployment]), snapshot(engine, [deployment, claim])) == []
    assert differences(snapshot(engine, [deployment, claim]), snapshot(engine, [deployment])) != []


def test_a_claim_that_is_about_to_go_is_lost() -> None:
    _, children = placed("a", 1)
    assert claims_of(children) == {"data": "1"}
    children[1]["metadata"]["deletionTimestamp"] = "2026-11-28T10:00:00Z"
    assert claims_of(children) == {}
