"""Whatever is changed in an engine and goes wrong meanwhile: it comes to rest, and changed back it is what it was.

Cases are generated from the schema and from a seed, which is printed. By hand: `make operator-fuzz`, with `SEED=n` the
same again, with `CASES=n,m` only these, with `STATES=n` another number, with `DESKS=n` so many engines side by side.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from te_devcluster.api_server import ApiServer
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client

from .beside import Beside
from .states.cases import DESKS, Case, draw_case
from .states.lane import CaseError, Lane, lane_in
from .states.machine import MachineClock
from .states.oracle import snapshot

pytestmark = pytest.mark.suite
STATES = 200
#: An engine that failed is left as it is and made anew, so often in all.
FAILURES = 10


@dataclass
class Tally:
    """What came of the cases."""

    seed: int
    rests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda _: None
    slowest: float = 0.0

    def failed(self, case: Case, error: CaseError, log: Path) -> None:
        """Notes a failure, with all that repeats it."""
        again = f"make operator-fuzz SEED={self.seed} CASES={case.number}"
        words = log.read_text()[-2000:] if log.exists() else ""
        self.failures.append(f"{case}\n  {error}\n  again: {again}\n  the operator's last words:\n{words}")

    def lines(self, seconds: float) -> str:
        """The whole in a few lines."""
        rests = ", ".join(f"{name} {count}" for name, count in self.rests.most_common())
        faults = ", ".join(f"{name} {count}" for name, count in self.faults.most_common())
        whole = f"{sum(self.rests.values())} states in {seconds:.0f} s, the slowest rest after {self.slowest:.0f} s"
        return f"\nseed {self.seed}: {whole}: {rests}\nfaults: {faults}\n"


async def test_any_change_and_back(
    operated_api_server: ApiServer,
    canary_beside: Beside,
    clock: MachineClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(operated_api_server.kubeconfig))
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    numbers = _numbers()
    tally, began = Tally(seed), time.monotonic()

    def say(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)  # noqa: T201

    say(f"\n{len(numbers)} states of seed {seed}; again: make operator-fuzz SEED={seed}")
    if any(os.environ.get(name) for name in ("SEED", "CASES", "STATES")):
        tally.say = say
    with canary_beside.operated():
        async with api_client() as api, asyncio.TaskGroup() as group:
            client, places = KubernetesClient(api), asyncio.Semaphore(int(os.environ.get("DESKS") or len(DESKS)))
            for desk in range(len(DESKS)):
                own = [number for number in numbers if number % len(DESKS) == desk]
                if own:
                    desk_run = _run_desk(client, operated_api_server, clock, tmp_path, places, desk, own, tally)
                    group.create_task(desk_run)
    say(tally.lines(time.monotonic() - began))
    assert not tally.failures, f"seed {seed}: {len(tally.failures)} failed\n\n" + "\n\n".join(tally.failures)
    assert sum(tally.rests.values()) == len(numbers)


def _numbers() -> list[int]:
    chosen = os.environ.get("CASES", "")
    if chosen:
        return [int(part) for part in chosen.split(",")]
    return list(range(int(os.environ.get("STATES") or STATES)))


async def _run_desk(
    client: KubernetesClient,
    server: ApiServer,
    clock: MachineClock,
    folder: Path,
    places: asyncio.Semaphore,
    desk: int,
    numbers: list[int],
    tally: Tally,
) -> None:
    """All cases of one desk, one after the other; after a failure the desk is made anew."""
    left = list(numbers)
    while left and len(tally.failures) < FAILURES:
        namespace = f"desk-{desk}-{len(left)}"
        async with places, lane_in(client, server, clock, namespace, desk, folder) as lane:
            before = snapshot(await lane.engine(), await lane.children())
            while left and await _run_case(lane, left.pop(0), before, tally):
                pass


async def _run_case(lane: Lane, number: int, before: dict[str, str], tally: Tally) -> bool:
    """One case; whether the lane is still good for another."""
    case = draw_case(tally.seed, number, lane.prometheus)
    tally.faults[case.fault.kind] += 1
    try:
        rest = await lane.run(case, before)
    except CaseError as error:
        tally.say(f"{case}: FAILED: {error}")
        tally.rests["failed"] += 1
        tally.failed(case, error, lane.log)
        return False
    tally.say(f"{case}: {rest}")
    tally.slowest = max(tally.slowest, lane.slowest)
    tally.rests[rest.partition(":")[0]] += 1
    return True
