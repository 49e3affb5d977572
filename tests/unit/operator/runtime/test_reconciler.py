"""Whole passes on an API server in memory: settled, killed at every write, refused, deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, ForbiddenError
from tradingengine_operator.flows.state import Placed
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy
from tradingengine_operator.runtime.parts.stores import ASK_SECONDS

from .fake_api import NAMESPACE, Killed
from .rig import Bench

pytestmark = pytest.mark.unit
CONTRACT = Path(__file__).parents[4] / "contract" / "control-v1.schema.json"


async def running(**spec: Any) -> Bench:
    """An engine whose first release serves."""
    bench = Bench(**spec)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    return bench


async def test_install() -> None:
    bench = await running()
    assert bench.state().stable == Placed("a", 1)
    assert bench.status["observedGeneration"] == bench.api.objects[KIND, "desk"]["metadata"]["generation"]
    assert {entry["type"]: entry["status"] for entry in bench.status["conditions"]} == {
        "Ready": "True",
        "Progressing": "False",
        "Degraded": "False",
        "SpecValid": "True",
        "ReferencesResolved": "True",
        "NamespaceDeletable": "True",
        "DatabaseReady": "True",
        "CacheReady": "True",
        "SecretsReady": "True",
        "ReleaseHealthy": "True",
        "EdgeReady": "True",
        "Paused": "False",
    }
    assert bench.names(kinds.DEPLOYMENT) == {"desk-api-a", "desk-dashboard-a", "desk-prometheus"}
    assert "desk-api-b" in bench.names(kinds.SERVICE)


async def test_a_settled_engine_is_not_written_to() -> None:
    bench = await running()
    before = list(bench.api.writes)
    for _ in range(3):
        outcome = await bench.turn()
        assert outcome.recheck == ASK_SECONDS, "pods are asked, nothing else"
    assert bench.api.writes == before


async def test_an_engine_whose_strategy_trades_is_not_written_to() -> None:
    bench = await running()
    before = list(bench.api.writes)
    for flat in (False, True, False):
        bench.control.flat = flat
        await bench.turn()
    assert bench.api.writes == before
    assert bench.metrics.registry.get_sample_value(
        "tradingengine_operator_edge_flat", {"namespace": NAMESPACE, "engine": "desk"}
    ) == 0  # fmt: skip
    assert "flat" not in bench.status["edge"]


async def test_another_process_changes_nothing_of_a_settled_engine() -> None:
    bench = await running()
    before = {key: value["metadata"].get("resourceVersion") for key, value in bench.api.objects.items()}
    bench.engine = bench.operator()
    await bench.turn()
    assert {key: value["metadata"].get("resourceVersion") for key, value in bench.api.objects.items()} == before


async def test_promotion_moves_route_autoscaler_and_edge() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)
    assert bench.names(kinds.AUTOSCALER) == {"desk-api-b", "desk-dashboard-b"}
    assert bench.names(kinds.DEPLOYMENT) == {"desk-api-b", "desk-dashboard-b", "desk-prometheus"}
    edge = bench.api.objects["StatefulSet", "desk-edge"]["metadata"]["labels"]["tradingengine.io/release"]
    assert edge == "2"
    assert bench.control.calls.index("drain") < len(bench.control.calls)
    assert "withdraw 1 10" in bench.control.calls
    assert bench.status["version"] == "1.5.0"


async def test_history_is_bounded() -> None:
    bench = await running()
    for minor in range(5, 9):
        bench.ask(version=f"1.{minor}.0")
        await bench.settle()
    records = {name for name in bench.names(kinds.CONFIG_MAP) if "-release-" in name}
    assert records == {"desk-release-4", "desk-release-5"}
    assert bench.names(kinds.JOB) == {"desk-migrate-4", "desk-migrate-5"}


async def test_withdrawal_says_value_and_limit_everywhere() -> None:
    bench = await running()
    bench.prometheus.rates[2] = "0.25"
    bench.ask(version="1.5.0")
    for _ in range(40):
        await bench.turn()
    assert bench.status["phase"] == "Withdrawn"
    assert "0.2500" in bench.status["release"]["message"]
    assert "0.2500" in bench.condition("ReleaseHealthy")["message"]
    assert bench.status["release"]["weight"] == 0
    assert bench.names(kinds.DEPLOYMENT) == {"desk-api-a", "desk-dashboard-a", "desk-prometheus"}
    document = bench.control.documents[-1]
    assert "0.2500" in document["reason"]


async def test_every_document_follows_the_contract() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await bench.settle()
    contract = json.loads(CONTRACT.read_text())
    schema = {"$ref": "#/$defs/ReleaseDocument", "$defs": contract["$defs"]}
    assert len(bench.control.documents) > 5
    for document in bench.control.documents:
        jsonschema.validate(document, schema)


#: Applies that change nothing: to be killed before one is to be killed before the next.
QUIET = ("apply Serv", "apply Network", "apply Pod", "apply Secret", "apply ConfigMap", "create Event")


# What follows walks hundreds of times where the tests above have been.
@pytest.mark.no_cover
async def test_killed_before_every_single_write_a_release_still_ends_the_same() -> None:
    base = await running()
    base.ask(version="1.5.0")
    left: list[tuple[str, Bench]] = []

    def remember(write: str) -> None:
        if not write.startswith(QUIET):
            left.append((write, base.fork()))

    base.api.before_write = remember
    await base.settle()
    assert len(left) > 20
    for number, (write, bench) in enumerate(left):
        await bench.settle()
        assert bench.state().stable == Placed("b", 2), f"killed before write {number}: {write}"
        assert {name for name in bench.names(kinds.CONFIG_MAP) if "-release-" in name} == {
            "desk-release-1",
            "desk-release-2",
        }
        assert bench.names(kinds.DEPLOYMENT) == {"desk-api-b", "desk-dashboard-b", "desk-prometheus"}
        replicas = bench.api.objects["Deployment", "desk-api-b"]["spec"]["replicas"]
        assert replicas == 2, f"killed before write {number}"


@pytest.mark.no_cover
async def test_killed_before_every_single_write_of_the_installation() -> None:
    total = len((await running()).api.writes)
    for number in range(1, total + 1, 5):
        bench = Bench()
        bench.api.kill_at = number
        with pytest.raises(Killed):
            await bench.settle()
        bench.api.kill_at = None
        password = bench.api.objects.get(("Secret", "desk-database"), {}).get("data")
        bench.engine = bench.operator()
        await bench.settle()
        assert bench.state().stable == Placed("a", 1), f"killed before write {number}"
        if password is not None:
            assert bench.api.objects["Secret", "desk-database"]["data"] == password


async def test_a_specification_that_makes_no_sense_is_said_and_nothing_is_touched() -> None:
    bench = await running()
    writes = len(bench.api.writes)
    bench.ask(rollout={"steps": [{"weight": 50, "hold": "1s"}, {"weight": 10, "hold": "1s"}]})
    outcome = await bench.turn()
    assert not outcome.failed
    assert bench.status["phase"] == "Degraded"
    assert "spec.rollout.steps" in bench.condition("SpecValid")["message"]
    assert all("TradingEngine" in write or "Event" in write for write in bench.api.writes[writes:])
    bench.ask()
    await bench.turn()
    assert bench.status["phase"] == "Running"


async def test_a_refused_child_does_not_stop_a_release_from_being_judged() -> None:
    bench = await running()
    bench.prometheus.rates[2] = "0.5"
    bench.ask(version="1.5.0")
    for _ in range(20):
        await bench.turn()
        candidate = bench.state().candidate
        if candidate is not None and candidate.weight:
            break
    bench.api.fail["Secret"] = ForbiddenError(403, "Forbidden", "secrets is forbidden")
    first = await bench.turn()
    assert first.failed
    assert bench.condition("Ready")["reason"] == "ApiServerRefused403"
    await bench.turn()
    assert bench.state().withdrawn is not None
    assert bench.api.objects["HTTPRoute", "desk"]["spec"]["rules"][-1]["backendRefs"][1]["weight"] == 0


async def test_an_unreachable_api_server_is_a_failed_pass() -> None:
    bench = await running()
    bench.api.fail["HTTPRoute"] = ApiError(0, "Unreachable", "GET: ClientConnectorError")
    outcome = await bench.turn()
    assert outcome.failed
    assert bench.condition("Degraded")["status"] == "True"


async def test_state_that_cannot_be_read_stops_everything_but_says_so() -> None:
    bench = await running()
    release = dict(bench.status["release"]) | {"progress": '{"format":99}'}
    bench.api.objects[KIND, "desk"]["status"]["release"] = release
    bench.engine = bench.operator()
    outcome = await bench.turn()
    assert outcome.failed
    assert bench.condition("Ready")["reason"] == "Record"
    assert bench.status["release"]["progress"] == '{"format":99}', "what it cannot read it does not overwrite"


async def test_state_comes_back_from_the_record_when_the_status_is_lost() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await bench.settle()
    del bench.api.objects[KIND, "desk"]["status"]
    bench.engine = bench.operator()
    await bench.turn()
    assert bench.state().stable == Placed("b", 2)


async def test_an_unreachable_edge_is_not_replaced() -> None:
    bench = await running()
    bench.control.reachable = False
    bench.ask(version="1.5.0")
    for _ in range(60):
        await bench.turn()
    assert bench.state().stable == Placed("b", 2)
    assert bench.condition("EdgeReady")["reason"] == "Unreachable"
    assert bench.api.objects["Pod", "desk-edge-0"]["metadata"]["labels"]["tradingengine.io/release"] == "1"


@pytest.mark.parametrize(("role", "reason"), [(True, "Allowed"), (False, "EngineFirst")])
async def test_whether_the_namespace_may_go_first_is_said(role: bool, reason: str) -> None:
    bench = Bench()
    bench.cluster_role = role
    bench.engine = bench.operator()
    await bench.turn()
    found = bench.condition("NamespaceDeletable")
    assert found["reason"] == reason
    assert ("delete the engine before its namespace" in found["message"]) is not role


async def test_engine_that_is_gone_ends_the_loop() -> None:
    bench = await running()
    bench.api.objects[KIND, "desk"]["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    assert (await bench.turn()).gone
    await bench.engine.mark_deleting(bench.api.objects[KIND, "desk"])
    assert bench.status["phase"] == "Deleting"


@pytest.mark.parametrize("policy", ["retain", "delete"])
async def test_data_of_a_deleted_engine(policy: str) -> None:
    bench = await running(deletionPolicy=policy)
    await apply_deletion_policy(cast(KubernetesClient, bench.api), bench.api.objects[KIND, "desk"])
    kept = policy == "retain"
    for name in ("desk-database", "desk-database-access", "desk-cache", "desk-cache-access"):
        assert (name in bench.names(kinds.SECRET)) is kept
    assert ("desk-release-1" in bench.names(kinds.CONFIG_MAP)) is kept
    assert ("data-desk-database-0" in bench.names(kinds.CLAIM)) is kept
    uid = bench.api.objects[KIND, "desk"]["metadata"]["uid"]
    for kind, name in ((kinds.SECRET, "desk-database"), (kinds.CONFIG_MAP, "desk-release-1")):
        found = bench.api.objects.get((kind.kind, name))
        assert found is None or uid not in str(found["metadata"].get("ownerReferences"))


async def test_secrets_appear_nowhere_but_in_secrets() -> None:
    bench = await running()
    import base64

    values = {
        base64.b64decode(text).decode()
        for (kind, _), manifest in bench.api.objects.items()
        if kind == "Secret"
        for key, text in manifest["data"].items()
        if key in {"password", "token"}
    }
    assert len(values) == 4
    rest = json.dumps([manifest for (kind, _), manifest in bench.api.objects.items() if kind != "Secret"], default=str)
    assert not [value for value in values if value in rest]
