"""What the operator asks of the API server while a canary is held, and while nothing happens at all."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.operator_rig import Rig

from .canary import holding, operated
from .proxy import Call

pytestmark = pytest.mark.suite
MINUTE = 60.0


def counted(calls: list[Call]) -> Counter[str]:
    """Calls by verb and kind, without Lease and watches."""
    return Counter(f"{call.verb} {call.plural}" for call in calls if call.plural != "leases" and call.verb != "watch")


async def test_less_than_two_a_minute_while_a_canary_is_held(rig: Rig, tmp_path: Path) -> None:
    rig.beside = ()  # nobody else's calls are counted
    async with operated(rig, tmp_path) as (proxy, _):
        await holding(rig)
        await asyncio.sleep(10)
        began = time.monotonic()
        await asyncio.sleep(MINUTE)
        found = counted(proxy.since(began))
        print("calls while a canary is held, one minute:", dict(found))  # noqa: T201 - a figure
        assert found.total() < 2
        state = await rig.state()
        assert state.candidate is not None


async def test_an_idle_minute_writes_nothing(rig: Rig, tmp_path: Path) -> None:
    rig.beside = ()
    async with operated(rig, tmp_path) as (proxy, _):
        await rig.apply()
        await rig.until_phase("Running", 120)
        await asyncio.sleep(15)
        began = time.monotonic()
        await asyncio.sleep(MINUTE)
        found = counted(proxy.since(began))
        print("calls in an idle minute:", dict(found))  # noqa: T201 - a figure
        assert found.total() == 0
