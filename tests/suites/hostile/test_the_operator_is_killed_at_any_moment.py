"""SIGKILL in the first install, in the middle of a canary, while the edge is replaced, and during deletion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import OperatorProcess, Rig

from .proxy import Call, Proxy, proxied

pytestmark = pytest.mark.suite
WRITES = frozenset({"create", "update", "patch", "delete"})
LONG = 120.0


class Keeper:
    """Starts operators, each with a Lease of its own, and kills them at a chosen write."""

    def __init__(self, rig: Rig, proxy: Proxy, kubeconfig: Path) -> None:
        self._rig = rig
        self._proxy = proxy
        self._kubeconfig = kubeconfig
        self._starts = 0
        self.process: OperatorProcess | None = None

    async def start(self) -> None:
        """Starts one."""
        self._starts += 1
        options = ["--lease", f"lease-{self._starts}", "--metrics-port", "0"]
        self.process = await OperatorProcess.start(self._rig, self._kubeconfig, options)

    @asynccontextmanager
    async def killed_at(self, **wish: Any) -> AsyncIterator[None]:
        """The block makes the operator write; at that write it is killed, and another one started."""
        with self._proxy.rule(stall=True, times=1, where=_no_lease, **{"verbs": WRITES, **wish}) as rule:
            yield

            async def hit() -> bool:
                return rule.hit.is_set()

            await self._rig.until(f"the operator writes {wish}", hit, LONG)
            assert self.process is not None
            await self.process.kill()
        await self.start()


def _no_lease(call: Call) -> bool:
    return call.plural != "leases"


async def test_the_operator_is_killed_at_any_moment(rig: Rig, tmp_path: Path) -> None:
    url = await rig.stage.start_prometheus()
    rig.stage.error_rates |= {str(number): 0.0 for number in range(1, 5)}
    rollout = {"steps": [{"weight": 10, "hold": "1s"}, {"weight": 100}], "noDataBudget": "60s", "warmSlot": "0s"}
    spec = {"monitoring": {"prometheus": url}, "rollout": rollout}
    async with proxied(rig.server.kubeconfig) as proxy:
        keeper = Keeper(rig, proxy, proxy.kubeconfig(tmp_path / "proxy"))
        await keeper.start()
        try:
            async with keeper.killed_at(skip=12):
                await rig.apply(**spec)
            await serves(rig, 1)
            claims = await claims_of(rig)
            assert len(claims) == 3, "database, cache and journal have claims"
            async with keeper.killed_at(plural="httproutes"):
                await rig.apply(**spec, version="0.2.0")
            await serves(rig, 2)
            async with keeper.killed_at(plural="statefulsets", name=names.edge("desk")):
                await rig.apply(**spec, version="0.3.0")
            await serves(rig, 3)
            async with keeper.killed_at(plural="tradingengines"):
                await rig.client.delete(kinds.ENGINE, rig.namespace, "desk")

            async def gone() -> bool:
                return await rig.client.get(kinds.ENGINE, rig.namespace, "desk") is None

            await rig.until("the engine is gone", gone, LONG)
            assert await claims_of(rig) == claims, "what the policy keeps is kept"
        finally:
            if keeper.process is not None:
                await keeper.process.end()


async def claims_of(rig: Rig) -> dict[str, str]:
    """Claims that are not about to go, by name."""
    found = await rig.client.list_all(kinds.CLAIM, rig.namespace)
    return {
        entry["metadata"]["name"]: entry["metadata"]["uid"]
        for entry in found
        if not entry["metadata"].get("deletionTimestamp")
    }


async def serves(rig: Rig, number: int) -> None:
    """Waits until a release serves, and the edge runs it and takes orders."""

    async def promoted() -> bool:
        state = await rig.state()
        return state.stable is not None and state.stable.release == number and state.candidate is None

    async def edge() -> bool:
        pods = [(pod.release, pod.state) for pod in rig.stage.of("edge")]
        return pods == [(str(number), "serving")] and (await rig.condition("EdgeReady")).get("status") == "True"

    await rig.until(f"release {number} serves", promoted, LONG)
    await rig.until(f"the edge runs release {number}", edge, LONG)
