"""Watches are answered 410 and 429, or cut: what went away meanwhile is seen to be gone, and the process goes on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import Rig

from .canary import holding, operated, withdrawn_after_errors

pytestmark = pytest.mark.suite
#: With this answer the operator is killed too, and begins where it cannot watch.
KILLED_AT = 429


async def test_a_child_that_was_deleted_while_its_watch_was_down_is_made_again(rig: Rig, tmp_path: Path) -> None:
    async with operated(rig, tmp_path) as (proxy, operator):
        await rig.apply()
        await rig.until_phase("Running", 120)
        began = time.monotonic()
        told_gone = proxy.rule(gone=True, verbs={"watch"}, plural="services")
        with told_gone, proxy.rule(drop=lambda _event: True, plural="services"):
            await rig.client.delete(kinds.SERVICE, rig.namespace, "desk-api-a")
            proxy.cut_watches("services")
            await asyncio.sleep(2)

        async def back() -> bool:
            return await rig.client.get(kinds.SERVICE, rig.namespace, "desk-api-a") is not None

        await rig.until("the Service is back long before the resync", back, 60)
        assert operator.process.returncode is None
        assert proxy.since(began, verbs={"list"}, plural="services"), "its list told that it was gone"
        assert not proxy.since(began, verbs={"list"}, plural="pods"), "other kinds were not listed for it"


@pytest.mark.parametrize("status", [410, 429, 500])
async def test_watches_refused_for_a_while(rig: Rig, tmp_path: Path, status: int) -> None:
    async with operated(rig, tmp_path) as (proxy, operator):
        await holding(rig)
        with proxy.rule(status=status, verbs={"watch"}, retry_after=1 if status == 429 else None):
            proxy.cut_watches()
            await asyncio.sleep(10)
            assert operator.process.returncode is None
            if status == KILLED_AT:
                await operator.again()
                await asyncio.sleep(10)
        proxy.cut_watches()
        await withdrawn_after_errors(rig, 90)
        assert operator.process.returncode is None
