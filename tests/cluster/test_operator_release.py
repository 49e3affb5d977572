"""Releases on a real API server with played nodes: promoted, withdrawn, killed at any moment and gone on with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.flows.pod_observation import is_ready
from tradingengine_operator.flows.state import Stage as FlowStage
from tradingengine_operator.plan import kinds

from .operator_rig import Rig

pytestmark = pytest.mark.cluster
STEPS = [{"weight": 10, "hold": "1s"}, {"weight": 50, "hold": "1s"}, {"weight": 100}]


async def spec_of(rig: Rig, **changes: Any) -> dict[str, Any]:
    """A specification whose Prometheus is played."""
    port = rig.stage.prometheus_port
    url = f"http://127.0.0.1:{port}" if port else await rig.stage.start_prometheus()
    return {
        "monitoring": {"prometheus": url},
        "rollout": {"steps": STEPS, "noDataBudget": "5s", "warmSlot": "5m"},
        **changes,
    }


async def weights_of(rig: Rig) -> dict[str, list[int]]:
    """Weights of each rule of the route, slot a first."""
    route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
    assert route is not None
    return {rule["name"]: [entry["weight"] for entry in rule["backendRefs"]] for rule in route["spec"]["rules"]}


async def installed(rig: Rig) -> None:
    """Applies the first release and waits until it runs."""
    await rig.apply(**await spec_of(rig))
    await rig.until_phase("Running")


async def prober_is_as_it_should_be(rig: Rig) -> None:
    """It is ready while a canary has weight, and may do nothing but ask."""
    (pod,) = await rig.client.list_all(kinds.POD, rig.namespace, {names.LABEL_COMPONENT: "prober"})
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert is_ready(pod)
    assert spec["automountServiceAccountToken"] is False
    assert [volume["name"] for volume in spec["volumes"]] == ["tmp", "probe"]
    assert (container["args"], container["securityContext"]["readOnlyRootFilesystem"]) == (["prober"], True)
    serving = await rig.client.get(kinds.DEPLOYMENT, rig.namespace, "desk-api-a")
    assert serving is not None
    assert container["image"] == serving["spec"]["template"]["spec"]["containers"][0]["image"]
    for kind in (kinds.SERVICE, kinds.SERVICE_ACCOUNT, kinds.NETWORK_POLICY, kinds.SECRET):
        assert await rig.client.get(kind, rig.namespace, "desk-prober") is not None, kind.kind


async def test_install_then_promotion(rig: Rig) -> None:
    async with rig.operator():
        await installed(rig)
        state = await rig.state()
        assert state.stable is not None
        assert (state.stable.slot, state.stable.release) == ("a", 1)
        rig.stage.error_rates["2"] = 0.0
        await rig.apply(**await spec_of(rig, version="0.2.0"))

        async def promoted() -> bool:
            found = await rig.state()
            return found.stable is not None and found.stable.release == 2

        await rig.until("release 2 is promoted", promoted)

        async def routed() -> bool:
            weights = await weights_of(rig)
            return weights["api"] == weights["dashboard"] == [0, 1000] and "api-release-a" not in weights

        await rig.until("the route sends everybody to slot b and follows no old cookie", routed)
        assert "api-release-b" in await weights_of(rig)

        async def warm() -> bool:
            return all(pod.state == "withdrawn" for pod in rig.stage.of("api", "a"))

        await rig.until("the old slot was told to withdraw", warm)
        assert rig.stage.of("api", "a"), "the old slot stays warm"

        async def edge_moved() -> bool:
            return [pod.release for pod in rig.stage.of("edge")] == ["2"]

        await rig.until("the edge was replaced after promotion", edge_moved)


async def test_bad_release_is_withdrawn(rig: Rig) -> None:
    async with rig.operator():
        await installed(rig)
        rig.stage.error_rates |= {"1": 0.0, "2": 0.5}
        match = {"headers": [{"name": "x-canary", "value": "always"}]}
        spec = await spec_of(rig, version="0.2.0")
        await rig.apply(**spec | {"rollout": spec["rollout"] | {"match": match}})
        await rig.until_phase("Withdrawn")

        async def gone() -> bool:
            return not rig.stage.of("api", "b")

        # The record and the events are written after the phase.
        await rig.until("the canary's pods are gone", gone)
        state = await rig.state()
        assert state.withdrawn is not None
        assert (state.withdrawn.reason, state.withdrawn.value, state.withdrawn.limit) == ("ErrorRate", "0.5000", "0.01")
        assert state.stable is not None
        assert state.stable.release == 1
        condition = await rig.condition("ReleaseHealthy")
        assert condition["status"] == "False"
        record = await rig.client.get(kinds.CONFIG_MAP, rig.namespace, "desk-release-2")
        assert record is not None
        noted = json.loads(record["metadata"]["annotations"][names.ANNOTATION_OUTCOME])
        assert (noted["check"], noted["value"], noted["limit"]) == ("error-rate", "0.5000", "0.01")
        told = rig.server.get("events", "-n", rig.namespace)["items"]
        events = {entry["reason"]: entry["message"] for entry in told}
        for words in (condition["message"], events["ReleaseWithdrawn"]):
            assert f"(check error-rate, value 0.5000, limit 0.01, at {noted['at']}); query: {noted['query']}" in words
        route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
        assert route is not None
        assert {rule["name"] for rule in route["spec"]["rules"]} == {
            "api-release-a",
            "dashboard-release-a",
            "api",
            "dashboard",
        }
        # By the pods' own counters, before their WebSockets were closed and they went.
        told = rig.server.get("events", "-n", rig.namespace)["items"]
        assert [entry for entry in told if entry["reason"] == "WithdrawalConfirmed"]


async def test_restart_of_a_canary_container_withdraws_and_a_pod_that_was_taken_away_does_not(rig: Rig) -> None:
    async with rig.operator():
        await installed(rig)
        rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
        steps = [{"weight": 10, "hold": "10m"}, {"weight": 100}]
        rollout = {"steps": steps, "noDataBudget": "5s", "warmSlot": "5m"}
        await rig.apply(**await spec_of(rig, version="0.2.0", rollout=rollout))

        async def holding() -> bool:
            candidate = (await rig.state()).candidate
            return candidate is not None and candidate.stage is FlowStage.HOLDING

        await rig.until("the canary has weight", holding)
        await prober_is_as_it_should_be(rig)
        (taken,) = rig.stage.of("dashboard", "b")
        evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
        await rig.stage.set_status(taken.name, evicted)
        await rig.client.delete(kinds.POD, rig.namespace, taken.name)

        async def replaced() -> bool:
            pods = rig.stage.of("dashboard", "b")
            return bool(pods) and pods[0].name != taken.name

        await rig.until("the only dashboard pod of the canary is replaced", replaced)
        assert await holding(), "a drained node is no fault of the release"
        await rig.stage.restart_container(rig.stage.of("api", "b")[0])
        await rig.until_phase("Withdrawn")
        verdict = (await rig.state()).withdrawn
        assert verdict is not None
        assert verdict.reason == "ContainerRestarted"

        async def left() -> bool:
            return await rig.client.get(kinds.DEPLOYMENT, rig.namespace, "desk-prober") is None

        await rig.until("nothing is judged any more, and nothing asks", left)


async def test_killed_again_and_again_it_goes_on(rig: Rig) -> None:
    """SIGKILL at every stage of a release: the release is still promoted, with the times of before."""
    async with rig.operator():
        await installed(rig)
    rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
    await rig.apply(**await spec_of(rig, version="0.2.0"))
    # A Lease of its own for each, or every start would wait for the end of the killed one's.
    for stage in FlowStage:
        async with rig.operator(lease=f"lease-{stage}") as process:

            async def reached(wanted: FlowStage = stage) -> bool:
                state = await rig.state()
                done = state.stable is not None and state.stable.release == 2
                order = list(FlowStage)
                here = state.candidate is not None and order.index(state.candidate.stage) >= order.index(wanted)
                return done or here

            await rig.until(f"stage {stage} is reached", reached)
            await process.kill()
    before = await rig.state()
    async with rig.operator(lease="lease-last"):

        async def promoted() -> bool:
            found = await rig.state()
            return found.stable is not None and found.stable.release == 2

        await rig.until("release 2 is promoted after all", promoted)
    after = await rig.state()
    assert after.serial > before.serial or before == after
    records = await rig.client.list_all(kinds.CONFIG_MAP, rig.namespace, {"app.kubernetes.io/component": "release"})
    assert sorted(record["metadata"]["name"] for record in records) == ["desk-release-1", "desk-release-2"]
    jobs = await rig.client.list_all(kinds.JOB, rig.namespace)
    assert sorted(job["metadata"]["name"] for job in jobs) == ["desk-migrate-1", "desk-migrate-2"]


async def test_new_specification_in_mid_run(rig: Rig) -> None:
    async with rig.operator():
        await installed(rig)
        rig.stage.error_rates |= {"1": 0.0, "2": 0.0, "3": 0.0}
        steps = [{"weight": 10, "hold": "10m"}, {"weight": 100}]
        await rig.apply(**await spec_of(rig, version="0.2.0", rollout={"steps": steps}))

        async def holding() -> bool:
            candidate = (await rig.state()).candidate
            return candidate is not None and candidate.stage is FlowStage.HOLDING

        await rig.until("release 2 has weight", holding)
        await rig.apply(**await spec_of(rig, version="0.3.0"))

        async def promoted() -> bool:
            found = await rig.state()
            return found.stable is not None and found.stable.release == 3

        await rig.until("release 3 is promoted", promoted)
        assert {pod.release for pod in rig.stage.of("api", "b")} == {"3"}


async def test_foreign_rules_survive_a_release(rig: Rig) -> None:
    async with rig.operator():
        await installed(rig)
        route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
        assert route is not None
        foreign = {
            "name": "docs",
            "matches": [{"path": {"type": "PathPrefix", "value": "/manual"}}],
            "backendRefs": [{"group": "", "kind": "Service", "name": "manual", "port": 80, "weight": 1}],
        }
        await rig.client.json_patch(
            kinds.ROUTE, rig.namespace, "desk", [{"op": "add", "path": "/spec/rules/0", "value": foreign}]
        )
        rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
        await rig.apply(**await spec_of(rig, version="0.2.0"))

        async def promoted() -> bool:
            found = await rig.state()
            return found.stable is not None and found.stable.release == 2

        await rig.until("release 2 is promoted", promoted)
        route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
        assert route is not None
        assert route["spec"]["rules"][0] == foreign
