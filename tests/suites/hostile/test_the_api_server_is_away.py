"""The API server is away for a while in mid-run: the same process goes on, and the canary ends as it must."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import Rig

from .canary import goes_on, holding, operated, withdrawn_after_errors
from .proxy import proxied

pytestmark = pytest.mark.suite
#: Longer than a Lease, and than every retry of one call.
BLIND_SECONDS = 20


async def holder(rig: Rig) -> str:
    """Who holds the Lease."""
    lease = await rig.client.get(kinds.LEASE, rig.namespace, "tradingengine-operator")
    return str(lease["spec"].get("holderIdentity") or "") if lease is not None else ""


@pytest.mark.parametrize("seconds", [2, 20, 200])
async def test_the_same_process_judges_on(rig: Rig, tmp_path: Path, seconds: int) -> None:
    async with proxied(rig.server.kubeconfig) as proxy:
        account = proxy.kubeconfig(tmp_path / "proxy")
        async with rig.operator(kubeconfig=account) as first, rig.operator(kubeconfig=account) as second:
            await holding(rig)
            leader = await holder(rig)
            async with proxy.away():
                await asyncio.sleep(seconds)
                back = time.monotonic()
            goes_on(rig, first, second)
            await withdrawn_after_errors(rig, 90)
            assert await holder(rig) == leader, "nobody took over who only looked first"
            goes_on(rig, first, second)

            async def watched() -> bool:
                return bool(proxy.since(back, verbs={"watch"}))

            # The release is judged by what is read in every pass: it may be withdrawn before the first watch is back.
            await rig.until("watches are opened again", watched)
            await rig.apply(api={"replicas": {"min": 2, "max": 3}})

            async def followed() -> bool:
                engine = await rig.engine()
                return bool(engine["status"].get("observedGeneration") == engine["metadata"]["generation"])

            await rig.until("a change is followed", followed)
        assert [first.process.returncode, second.process.returncode] == [0, 0]


async def test_an_operator_that_is_killed_meanwhile_begins_without_a_server(rig: Rig, tmp_path: Path) -> None:
    async with operated(rig, tmp_path) as (proxy, operator):
        await holding(rig)
        async with proxy.away():
            await asyncio.sleep(5)
            await operator.again()
            await asyncio.sleep(BLIND_SECONDS)
            goes_on(rig, operator)  # it waits for the server, and costs no restart
        await withdrawn_after_errors(rig, 90)
        goes_on(rig, operator)


async def test_a_server_that_is_silent_keeps_every_write_back(rig: Rig, tmp_path: Path) -> None:
    """It takes connections and never answers: no write may wait there until somebody else leads."""
    async with operated(rig, tmp_path) as (proxy, operator):
        await holding(rig)
        with proxy.rule(stall=True):
            rig.stage.error_rates["2"] = 0.5
            await asyncio.sleep(15)
            assert operator.process.returncode is None
            late = time.monotonic()
            await asyncio.sleep(5)
        writes = proxy.since(late, verbs={"create", "patch", "update", "delete"})
        assert {call.plural for call in writes} <= {"leases"}, "only the Lease is tried for"
        await rig.until_phase("Withdrawn", 90)


async def test_who_lost_the_lease_to_another_one_ends(rig: Rig, tmp_path: Path) -> None:
    """Only the leader is cut off: its standby takes over, and it ends as soon as it sees that."""
    async with (
        proxied(rig.server.kubeconfig) as proxy,
        rig.operator(kubeconfig=proxy.kubeconfig(tmp_path / "proxy")) as cut_off,
    ):
        await holding(rig)
        leader = await holder(rig)
        async with rig.operator() as standby:
            async with proxy.away():

                async def taken() -> bool:
                    return await holder(rig) not in {"", leader}

                await rig.until("the standby leads", taken, 60)
                assert cut_off.process.returncode is None, "it writes nothing, and that is enough"
                await withdrawn_after_errors(rig, 90)
            async with asyncio.timeout(30):
                assert await cut_off.process.wait() == 3
            assert standby.process.returncode is None
