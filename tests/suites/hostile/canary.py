"""A canary that holds at 10 % until the test lets it go on or fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.cluster.operator_rig import OperatorProcess, Rig

from .proxy import Proxy, proxied

LONG = [{"weight": 10, "hold": "30m"}, {"weight": 100}]


async def spec_of(rig: Rig, **changes: Any) -> dict[str, Any]:
    """A specification whose Prometheus is played and whose first step lasts longer than any test."""
    port = rig.stage.prometheus_port
    url = f"http://127.0.0.1:{port}" if port else await rig.stage.start_prometheus()
    rollout = {"steps": LONG, "noDataBudget": "30m", "warmSlot": "5m"}
    return {"monitoring": {"prometheus": url}, "rollout": rollout, **changes}


async def holding(rig: Rig, **changes: Any) -> None:
    """Installs release 1, and brings release 2 to its first step."""
    rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
    await rig.apply(**await spec_of(rig, **changes))
    await rig.until_phase("Running", 120)
    await rig.apply(**await spec_of(rig, **changes, version="0.2.0"))

    async def there() -> bool:
        state = await rig.state()
        return state.candidate is not None and state.candidate.weight == 100

    await rig.until("release 2 has 10 %", there, 120)


async def withdrawn_after_errors(rig: Rig, timeout: float = 60.0) -> None:
    """Lets release 2 answer half of all requests with errors, and waits until it is withdrawn."""
    rig.stage.error_rates["2"] = 0.5
    await rig.until_phase("Withdrawn", timeout)


def goes_on(rig: Rig, *operators: OperatorProcess) -> None:
    """AssertionError with its last words when an operator has ended."""
    codes = [operator.process.returncode for operator in operators]
    assert codes == [None] * len(codes), f"exit codes {codes}\n{rig.log.read_text()[-3000:]}"


@asynccontextmanager
async def operated(rig: Rig, folder: Path, **options: Any) -> AsyncIterator[tuple[Proxy, OperatorProcess]]:
    """An operator that reaches the API server through a proxy."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxied(rig.server.kubeconfig))
        kubeconfig = proxy.kubeconfig(folder / "proxy")
        yield proxy, await stack.enter_async_context(rig.operator(kubeconfig=kubeconfig, **options))
