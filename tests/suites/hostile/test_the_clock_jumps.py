"""The clock of the operator's machine jumps by an hour, forth and back, in the middle of a canary.

Only the operator's process sees it: libfaketime adds what a file says to its wall time, as often as it asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tradingengine_operator.flows.state import Stage

from tests.cluster.operator_rig import Rig

from .canary import holding, spec_of, withdrawn_after_errors
from .proxy import proxied

pytestmark = pytest.mark.suite
LIBRARIES = Path("/usr/lib")
#: Long enough for many looks at a canary.
LOOKS_SECONDS = 8.0
#: How long the Gateway may take to follow a change: a release that lost its weight is waited for twice as long.
THROTTLE = "5s"


def faked(offset: Path) -> dict[str, str]:
    """Environment of a process whose wall time, and nothing else, is moved by what the file says."""
    found = sorted(LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is not installed; mend: apt-get install faketime, or make suite-hostile"
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


async def still_holding(rig: Rig) -> bool:
    """Whether release 2 has its first weight and nothing more."""
    state = await rig.state()
    candidate = state.candidate
    return candidate is not None and (candidate.stage, candidate.weight) == (Stage.HOLDING, 100)


@pytest.mark.parametrize("jump", ["+3600", "-3600"], ids=["ahead", "back"])
async def test_a_canary_is_neither_promoted_nor_forgotten(rig: Rig, tmp_path: Path, jump: str) -> None:
    """An hour that nobody judged counts nothing of a hold of half an hour, and what is bad goes at once."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    # By way of the proxy: a server's certificate of today is not valid yet an hour ago.
    async with proxied(rig.server.kubeconfig) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path / "proxy")
        async with rig.operator(kubeconfig=kubeconfig, environment=faked(offset)) as process:
            await holding(rig, gateway={"throttle": THROTTLE})
            offset.write_text(jump)
            await asyncio.sleep(LOOKS_SECONDS)
            assert await still_holding(rig), "a jump is no time in which a release was judged"
            offset.write_text("+0")
            await asyncio.sleep(LOOKS_SECONDS)
            assert await still_holding(rig), "nor is the way back"
            assert process.process.returncode is None, "the Lease is a matter of monotonic time"
            offset.write_text(jump)
            await withdrawn_after_errors(rig)
            # Another one goes on, on a node whose clock is right: the times that it finds are to come, or long over.
            await process.kill()
            assert (await rig.state()).retiring is not None
            offset.write_text("+0")
            await process.again()
            await rig.until("the bad release is gone", gone_down(rig), 120)


def gone_down(rig: Rig) -> Callable[[], Awaitable[bool]]:
    """Whether the release that was withdrawn has left its slot, to the end of its connections and pods."""

    async def done() -> bool:
        return (await rig.state()).retiring is None

    return done


async def test_a_release_is_promoted_under_a_clock_that_went_back(rig: Rig, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    steps = [{"weight": 10, "hold": "5s"}, {"weight": 100}]
    async with proxied(rig.server.kubeconfig) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path / "proxy")
        async with rig.operator(kubeconfig=kubeconfig, environment=faked(offset)):
            spec = await spec_of(rig, rollout={"steps": steps, "noDataBudget": "60s", "warmSlot": "0s"})
            rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
            await rig.apply(**spec)
            await rig.until_phase("Running", 120)
            await rig.apply(**{**spec, "version": "0.2.0"})

            async def begun() -> bool:
                candidate = (await rig.state()).candidate
                return candidate is not None and candidate.weight > 0

            await rig.until("release 2 has weight", begun, 120)
            offset.write_text("-3600")

            async def promoted() -> bool:
                state = await rig.state()
                return state.stable is not None and state.stable.release == 2 and state.retiring is None

            await rig.until("release 2 is promoted and the old one is gone", promoted, 120)
