"""A running canary beside everything that the suite does: good releases have to be promoted, bad ones withdrawn.

Its engine has a namespace of its own, and whichever operator a test runs looks after it, too: it is killed, cut off and
misled together with the test's engine, and another one goes on where it stopped. What is done to other engines, and to
the operator, must not change how a release of this one ends.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from te_devcluster.api_server import ApiServer
from te_devcluster.ports import free_port
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import OperatorProcess, Place, Rig, rig_in

from .states.machine import MachineClock

NAMESPACE = "beside"
HOLD_SECONDS = 20
STEPS = [{"weight": 10, "hold": f"{HOLD_SECONDS}s"}, {"weight": 100}]
#: A release that nobody disturbs any more ends within this.
END_SECONDS = 120.0
EVERY_SECONDS = 0.5
_MOST_OF_BAD, _WHOLE = 100, 1000
Answer = TypeVar("Answer")


class Beside:
    """Releases of one engine, one after the other: release 2 is good, 3 is bad, 4 is good, and so on.

    They are asked for and looked at in a thread with a loop of its own. `wrong` says what went wrong; `ended` are the
    releases that ended, with their ends.
    """

    def __init__(self, server: ApiServer, log: Path, clock: MachineClock) -> None:
        self._server = server
        self._clock = clock
        self._log = log
        self._port = free_port()
        self._begun, self._stopping, self._done = threading.Event(), threading.Event(), threading.Event()
        self._left = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rig: Rig | None = None
        self.under_way = "the first install"
        self.ended: list[str] = []
        self.wrong = ""

    @property
    def place(self) -> Place:
        """Where the pods of a test's engine have to answer, so that its operator can look after this one, too."""
        return Place(control_port=self._port, beside=(NAMESPACE,))

    def start(self) -> None:
        """Starts it; returns when it has its connection, which is named in the environment."""
        self._thread.start()
        self._begun.wait(60)
        self.check()

    def check(self) -> None:
        """AssertionError when a release has ended as it must not, or has more weight than it may."""
        before = ", ".join(self.ended) or "nothing"
        assert not self.wrong, f"beside the tests: {self.wrong}; under way: {self.under_way}; before: {before}"

    @contextmanager
    def operated(self) -> Iterator[None]:
        """An operator that looks after this engine alone, for as long as the block lasts."""
        process = self._call(self._operator())
        try:
            yield
        finally:
            self._call(process.end())

    def stop(self) -> None:
        """Lets the release under way end, undisturbed, and ends; at least a good and a bad one have ended then."""
        try:
            self.check()
            with self.operated():
                self._stopping.set()
                end = self._clock.seconds() + (2 * END_SECONDS if len(self.ended) < 2 else END_SECONDS)
                while not self._done.wait(EVERY_SECONDS) and self._clock.seconds() < end:
                    pass
                if not self._done.is_set():
                    self.wrong = self.wrong or f"{self.under_way} did not end within {END_SECONDS:g} s"
        finally:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._left.set)
            self._thread.join(END_SECONDS)
        self.check()

    def _call(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        """Runs it in the thread's loop, where the connections live."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(60)

    async def _operator(self) -> OperatorProcess:
        assert self._rig is not None
        return await OperatorProcess.start(self._rig, self._server.kubeconfig, ["--metrics-port", "0"])

    def _run(self) -> None:
        try:
            asyncio.run(self._releases())
        except Exception as error:  # noqa: BLE001 - the end of the thread, told by whoever looks
            self.wrong = self.wrong or f"{type(error).__name__}: {error}"
        finally:
            self._begun.set()
            self._done.set()

    async def _releases(self) -> None:
        self._loop = asyncio.get_running_loop()
        own = Place(control_port=self._port, network=78)
        with pytest.MonkeyPatch.context() as patch:
            async with rig_in(self._server, NAMESPACE, self._log, patch, place=own) as rig:
                patch.undo()
                self._rig = rig
                self._begun.set()
                rounds = asyncio.create_task(self._rounds(rig))
                rounds.add_done_callback(self._ended)
                await self._left.wait()
                rounds.cancel()
                await asyncio.wait({rounds})

    def _ended(self, rounds: asyncio.Task[None]) -> None:
        error = None if rounds.cancelled() else rounds.exception()
        if error is not None:
            self.wrong = f"{type(error).__name__}: {error}"
        self._done.set()

    async def _rounds(self, rig: Rig) -> None:
        url = await rig.stage.start_prometheus()
        rollout = {"steps": STEPS, "noDataBudget": "60s", "warmSlot": "0s"}
        spec = {"host": "beside.localhost", "monitoring": {"prometheus": url}, "rollout": rollout}
        rig.stage.error_rates["1"] = 0.0
        await rig.apply(**spec)
        while await rig.phase() != "Running":
            await asyncio.sleep(EVERY_SECONDS)
        claims, number = await _claims(rig), 1
        while not self._stopping.is_set() or len(self.ended) < 2:
            number += 1
            bad = number % 2 == 1
            self.under_way = f"release {number}, a {'bad' if bad else 'good'} one"
            rig.stage.error_rates[str(number)] = 0.5 if bad else 0.0
            await rig.apply(**spec, version=f"0.{number}.0")
            self.ended.append(f"release {number} {await _end(rig, number, bad=bad)}")
            assert await _claims(rig) >= claims, "a claim was lost"


async def _end(rig: Rig, number: int, *, bad: bool) -> str:
    """How a release ended. AssertionError when it must not end so, or while it has more weight than it may."""
    carries: float | None = None
    while True:
        state = await rig.state()
        weight = await _weight(rig, state, number)
        if weight and carries is None:
            carries = time.monotonic()
        assert not bad or weight <= _MOST_OF_BAD, f"release {number} answers with errors and has weight {weight / 10:g}"
        if state.withdrawn is not None and state.withdrawn.release == number:
            verdict = f"withdrawn: {state.withdrawn.reason}"
            right = bad and state.withdrawn.reason == "ErrorRate"
            assert right, f"release {number} answers {'with errors' if bad else 'well'} and was {verdict}"
            return verdict
        if state.stable is not None and state.stable.release == number:
            assert not bad, f"release {number} answers with errors and was promoted"
            # Half of it: whoever looks here may be late. A jump of the clock would leave nothing of it.
            held = time.monotonic() - (carries or time.monotonic())
            assert held > HOLD_SECONDS / 2, f"release {number} was promoted after {held:.1f} s of {HOLD_SECONDS}"
            return "promoted"
        await asyncio.sleep(EVERY_SECONDS)


async def _weight(rig: Rig, state: ReleaseState, number: int) -> int:
    """What the route sends to the release while it is the candidate, in tenths of a percent."""
    route = await rig.client.get(kinds.ROUTE, rig.namespace, "desk")
    candidate = state.candidate
    if route is None or candidate is None or candidate.release != number:
        return 0
    weights = {entry["name"][-1]: int(entry["weight"]) for entry in route["spec"]["rules"][-1]["backendRefs"]}
    assert sum(weights.values()) == _WHOLE, f"the route's weights are {weights}"
    return weights.get(candidate.slot, 0)


async def _claims(rig: Rig) -> set[str]:
    """Uids of the claims that are not about to go."""
    found = await rig.client.list_all(kinds.CLAIM, rig.namespace)
    return {entry["metadata"]["uid"] for entry in found if not entry["metadata"].get("deletionTimestamp")}
