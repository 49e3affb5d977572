"""The image that goes wrong when it is told to: each fault is that fault, and without one it is the product's own."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit
CALL = {"type": "http", "path": "/v1/session"}


@pytest.fixture
def told(tmp_path: Path) -> ModuleType:
    """The module, with a file of the test's for faults."""
    spec = importlib.util.spec_from_file_location("faulty", checkout() / "demo" / "faulty_release" / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.FAULT = tmp_path / "fault"  # type: ignore[attr-defined]
    return module


async def test_without_a_fault_nothing_happens(told: ModuleType) -> None:
    await told.spoiled(CALL)
    await told.spoiled({"type": "websocket", "path": "/ws"})


async def test_calls_fail_in_the_share_that_was_told_and_pages_do_not(told: ModuleType) -> None:
    told.FAULT.write_text("fail 1\n")
    with pytest.raises(RuntimeError, match="on purpose"):
        await told.spoiled(CALL)
    await told.spoiled({"type": "http", "path": "/login"})
    told.FAULT.write_text("fail 0")
    await told.spoiled(CALL)


async def test_calls_are_slow_and_the_loop_is_not(told: ModuleType) -> None:
    told.FAULT.write_text("slow 0.05")
    begun = asyncio.get_running_loop().time()
    await asyncio.gather(*(told.spoiled(CALL) for _ in range(5)))
    assert asyncio.get_running_loop().time() - begun > 0.04


async def test_the_loop_is_held_up(told: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(told.time, "sleep", slept.append)
    told.FAULT.write_text("block")
    await told.spoiled(CALL)
    assert slept == [86_400]


async def test_web_sockets_break_at_their_opening_and_while_they_are_open(told: ModuleType) -> None:
    told.FAULT.write_text("sockets")
    with pytest.raises(RuntimeError, match="on purpose"):
        await told.spoiled({"type": "websocket", "path": "/ws"})

    async def never() -> Any:
        await asyncio.sleep(60)

    with pytest.raises(RuntimeError, match="on purpose"):
        await told._breaking(never)()
    told.FAULT.unlink()

    async def message() -> Any:
        return {"type": "websocket.receive"}

    assert await told._breaking(message)() == {"type": "websocket.receive"}
