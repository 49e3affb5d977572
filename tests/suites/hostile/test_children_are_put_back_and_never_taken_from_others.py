"""Children that somebody edits, deletes, or had before: mended, put back, or left to whoever has them and said."""

from __future__ import annotations

from typing import Any

import pytest
from te_devcluster.errors import CommandError
from tradingengine_operator.api import API_VERSION, KIND, MAX_NAME
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from tests import waiting
from tests.cluster.operator_rig import Rig
from tests.cluster.test_operator_steady import settled

pytestmark = pytest.mark.suite
MENDED = (
    kinds.SERVICE,
    kinds.SERVICE_ACCOUNT,
    kinds.NETWORK_POLICY,
    kinds.DISRUPTION_BUDGET,
    kinds.AUTOSCALER,
    kinds.DEPLOYMENT,
    kinds.STATEFUL_SET,
)
OWN = {names.LABEL_MANAGED_BY: names.MANAGED_BY}


async def children(rig: Rig) -> dict[tuple[str, str], dict[str, Any]]:
    """The engine's children that are mended."""
    return {
        (kind.kind, entry["metadata"]["name"]): entry
        for kind in MENDED
        for entry in await rig.client.list_all(kind, rig.namespace, OWN)
    }


async def test_every_child_that_is_deleted_is_put_back_and_no_claim_is_lost(rig: Rig) -> None:
    await rig.apply()
    async with rig.operator():
        await settled(rig)
        before = await children(rig)
        claims = {entry["metadata"]["uid"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
        assert {kind for kind, _ in before} == {kind.kind for kind in MENDED}
        for kind, name in before:
            await rig.client.delete(next(entry for entry in MENDED if entry.kind == kind), rig.namespace, name)

        async def back() -> bool:
            now = await children(rig)
            return now.keys() >= before.keys() and all(
                now[key]["metadata"]["uid"] != entry["metadata"]["uid"] for key, entry in before.items()
            )

        await rig.until("every child is there again", back)
        await settled(rig)
        kept = {entry["metadata"]["uid"] for entry in await rig.client.list_all(kinds.CLAIM, rig.namespace)}
        assert kept == claims


EDITS: dict[kinds.Kind, tuple[str, dict[str, Any]]] = {
    kinds.DEPLOYMENT: (
        "desk-dashboard-a",
        {"spec": {"template": {"metadata": {"labels": {names.LABEL_RELEASE: "9"}}}}},
    ),
    kinds.STATEFUL_SET: (
        "desk-database",
        {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}},
    ),
    kinds.NETWORK_POLICY: ("desk-database", {"spec": {"ingress": None}}),
    kinds.SERVICE_ACCOUNT: ("desk-api", {"automountServiceAccountToken": True}),
    kinds.AUTOSCALER: ("desk-api-a", {"spec": {"maxReplicas": 50}}),
    kinds.DISRUPTION_BUDGET: ("desk-edge", {"metadata": {"labels": {names.LABEL_MANAGED_BY: None}}}),
}


@pytest.mark.parametrize("killed", [False, True], ids=["at once", "while nobody looks"])
async def test_every_child_that_is_edited_is_mended(rig: Rig, killed: bool) -> None:
    await rig.apply()
    async with rig.operator() as operator:
        await settled(rig)
        before = await children(rig)
        if killed:
            await operator.kill()
        for kind, (name, patch) in EDITS.items():
            await rig.client.merge_patch(kind, rig.namespace, name, patch)
        if killed:
            await operator.again()

        async def mended() -> bool:
            now = await children(rig)
            return all(
                key in now
                and now[key].get("spec") == before[key].get("spec")
                and now[key]["metadata"].get("labels") == before[key]["metadata"].get("labels")
                and now[key].get("automountServiceAccountToken") == before[key].get("automountServiceAccountToken")
                for key in ((kind.kind, name) for kind, (name, _) in EDITS.items())
            )

        await rig.until("every child is as it was", mended)


async def test_a_name_that_somebody_else_has_is_said_and_left_alone(rig: Rig) -> None:
    spec = {"selector": {"app": "mine"}, "ports": [{"name": "sql", "port": 5432}]}
    metadata = {"name": "desk-database", "namespace": rig.namespace, "labels": {"app": "mine"}}
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    stored = await rig.client.apply(foreign, manager="person")
    await rig.apply()
    async with rig.operator():

        async def said() -> bool:
            return (await rig.condition("Ready")).get("reason") == "NameTaken"

        await rig.until("the name is said to be taken", said, timeout=20)
        message = (await rig.condition("Ready"))["message"]
        assert "Service desk-database is there already" in message
        assert f"kubectl -n {rig.namespace} get services desk-database" in message
        now = await rig.client.get(kinds.SERVICE, rig.namespace, "desk-database")
        assert now is not None
        assert now["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
        await rig.client.delete(kinds.SERVICE, rig.namespace, "desk-database")
        await rig.until_phase("Running")


async def test_an_engine_with_the_longest_name_runs_and_a_longer_one_is_refused(rig: Rig) -> None:
    name = "d" * MAX_NAME

    def engine(name: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": rig.namespace}
        spec = {"version": "0.1.0", "api": {"replicas": {"min": 1, "max": 2}}, "gateway": {"throttle": "200ms"}}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}

    with pytest.raises(CommandError, match=f"at most {MAX_NAME} characters"):
        rig.server.apply([engine(name + "d")])
    rig.server.apply([engine(name)])
    async with rig.operator() as operator:

        async def begun() -> bool:
            return bool(await rig.client.list_all(kinds.POD, rig.namespace))

        await waiting.until(begun, "its first pods are there", timeout=60.0, every=0.1, clock=rig.clock)
        await operator.again()

        async def runs() -> bool:
            found = await rig.client.get(kinds.ENGINE, rig.namespace, name)
            conditions = ((found or {}).get("status") or {}).get("conditions") or ()
            said = {entry["type"]: entry["status"] for entry in conditions}
            return said.get("Ready") == "True" and said.get("EdgeReady") == "True"

        await waiting.until(runs, "the engine runs", timeout=60.0, every=0.5, clock=rig.clock)
    pods = await rig.client.list_all(kinds.POD, rig.namespace)
    found = {entry["metadata"]["name"] for entry in pods}
    assert {f"{name}-database-0", f"{name}-cache-0", f"{name}-edge-0"} <= found
    labels = [value for entry in pods for value in entry["metadata"]["labels"].values()]
    assert max(map(len, labels)) <= 63
