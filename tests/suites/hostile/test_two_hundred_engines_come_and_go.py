"""Two hundred engines are made and deleted in one loop: none hangs, nothing stays, the operator stays small.

In the second hundred it is killed again and again.
"""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import pytest
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import OperatorProcess, Rig

pytestmark = pytest.mark.suite
ENGINES = 200
#: After each so many engines of the second half the operator is killed.
KILLED_EACH = 10
SIDE_BY_SIDE = 4
#: An engine lives so long at most: some are deleted before the operator heard of them, some with all their children.
LONGEST_LIFE_SECONDS = 2.0
#: What an engine that is gone may leave behind in the operator: less than its caches had of it.
MOST_GROWTH_MIB = 40.0
MADE = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.SERVICE, kinds.CONFIG_MAP, kinds.SECRET, kinds.CLAIM)


async def test_two_hundred_engines_come_and_go(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    # Nothing is played: the engines are deleted in the middle of their first install.
    rig.stage.held |= {"api", "dashboard", "database", "cache", "prometheus", "edge", "migrations", "access"}
    rng = random.Random(200)
    async with rig.operator() as operator:
        await rig.apply(deletionPolicy="delete")

        async def works() -> bool:
            return bool((await rig.engine()).get("status"))

        # One that still begins has loaded half of itself, and sees nothing of engines that live for a second.
        await rig.until("the operator works", works)
        await lives(rig, [f"first-{number}" for number in range(KILLED_EACH)], rng)
        await rig.client.delete(kinds.ENGINE, rig.namespace, "desk")
        await until_gone(rig, "desk")
        before = resident(operator.process.pid)
        await lives(rig, [f"desk-{number}" for number in range(ENGINES // 2)], rng)
        after = resident(operator.process.pid)
        assert operator.process.returncode is None
        await lives(rig, [f"late-{number}" for number in range(ENGINES // 2)], rng, operator)
        assert operator.process.returncode is None
    with capsys.disabled():
        words = f"the operator had {before:.0f} MiB before and {after:.0f} MiB after {ENGINES // 2} engines"
        print(f"\n{words}")  # noqa: T201
    assert after - before < MOST_GROWTH_MIB
    assert await left(rig) == []


async def lives(rig: Rig, engines: list[str], rng: random.Random, killed: OperatorProcess | None = None) -> None:
    """Makes and deletes engines, some side by side, and waits until all of them are gone.

    An operator that is to be `killed` is so whenever a number of engines were made, and begins anew.
    """
    places, killing = asyncio.Semaphore(SIDE_BY_SIDE), asyncio.Lock()

    async def live(name: str, seconds: float) -> None:
        async with places:
            await rig.client.apply(manifest(rig, name), manager="person")
            await asyncio.sleep(seconds)
            if killed is not None and engines.index(name) % KILLED_EACH == 0:
                async with killing:
                    await killed.again()
            await rig.client.delete(kinds.ENGINE, rig.namespace, name)
            await until_gone(rig, name)

    async with asyncio.TaskGroup() as group:
        for name in engines:
            group.create_task(live(name, rng.uniform(0, LONGEST_LIFE_SECONDS)))


def manifest(rig: Rig, name: str) -> dict[str, object]:
    """An engine that takes its data with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": rig.namespace},
        "spec": {"version": "0.1.0", "host": f"{name}.localhost", "deletionPolicy": "delete"},
    }


async def until_gone(rig: Rig, name: str) -> None:
    """Waits for the end of an engine."""
    for _ in range(600):
        if await rig.client.get(kinds.ENGINE, rig.namespace, name) is None:
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"engine {name} hangs: {await rig.client.get(kinds.ENGINE, rig.namespace, name)}")


async def left(rig: Rig) -> list[str]:
    """What is still there of the engines after the garbage collector had its time."""
    found: list[str] = []
    for _ in range(120):
        found = [
            f"{kind.kind} {entry['metadata']['name']}"
            for kind in MADE
            for entry in await rig.client.list_all(kind, rig.namespace, {names.LABEL_MANAGED_BY: names.MANAGED_BY})
        ]
        if not found:
            break
        await asyncio.sleep(0.5)
    return found


def resident(pid: int) -> float:
    """Memory of a process that is resident, in MiB."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024
