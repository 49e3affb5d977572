"""What users see: a release that breaks loses its visitors, also while the operator may not do its other work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tradingengine_operator.flows.state import Stage
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import Rig

from .proxy import proxied

pytestmark = pytest.mark.suite
ROLLOUT = {"steps": [{"weight": 50, "hold": "10m"}, {"weight": 100}], "noDataBudget": "5m", "warmSlot": "5m"}


async def weights(rig: Rig) -> list[int]:
    """Weights of both slots on the route, in tenths of a percent."""
    route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
    assert route is not None
    return [entry["weight"] for entry in route["spec"]["rules"][-1]["backendRefs"]]


async def half_way(rig: Rig) -> None:
    """A second release with half of the visitors; the operator that brought it there ends."""
    url = await rig.stage.start_prometheus()
    spec: dict[str, Any] = {"monitoring": {"prometheus": url}, "rollout": ROLLOUT}
    rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
    await rig.apply(**spec)
    async with rig.operator():
        await rig.until_phase("Running")
        await rig.apply(**spec, version="0.2.0")

        async def holding() -> bool:
            candidate = (await rig.state()).candidate
            return candidate is not None and candidate.stage is Stage.HOLDING

        await rig.until("the second release holds half of the visitors", holding)
    assert await weights(rig) == [500, 500]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"status": 403, "plural": "networkpolicies"}, "Unread"),
        ({"status": 403, "plural": "secrets"}, "ApiServerRefused403"),
    ],
    ids=["its right to network policies is gone", "its right to secrets is gone"],
)
async def test_a_bad_canary_goes(rig: Rig, tmp_path: Path, trouble: dict[str, Any], reason: str) -> None:
    await half_way(rig)
    async with proxied(rig.server.kubeconfig) as proxy:
        with proxy.rule(**trouble):
            async with rig.operator(kubeconfig=proxy.kubeconfig(tmp_path / "through")):

                async def said() -> bool:
                    return (await rig.condition("Ready")).get("reason") == reason

                await rig.until(f"Ready says {reason}", said)
                state = await rig.state()
                assert state.candidate is not None, "the release is not forgotten"
                assert await rig.phase() == "Releasing"
                assert await weights(rig) == [500, 500]
                rig.stage.unready.add("2")

                async def gone() -> bool:
                    return await weights(rig) == [1000, 0]

                await rig.until("nobody is sent to the bad release", gone)
                verdict = (await rig.state()).withdrawn
                assert verdict is not None
                assert verdict.reason == "NoReadyEndpoint"
