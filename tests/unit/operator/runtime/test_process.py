"""Loop, Lease, engines, health, command line."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import threading
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import pytest
from tradingengine_operator import cli
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, LeaseLostError, OperatorError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.process import lease
from tradingengine_operator.runtime.process.events import COOL_DOWN_SECONDS, Announcer
from tradingengine_operator.runtime.process.health import LATE_SECONDS, HealthServer, Watchdog
from tradingengine_operator.runtime.process.lease import LEASE_SECONDS, RENEW_DEADLINE_SECONDS, Elector
from tradingengine_operator.runtime.process.loop import BACKOFF_MOST, WITHOUT_LEASE_SECONDS, Outcome, WorkLoop
from tradingengine_operator.runtime.process.main import EXIT_LEASE_LOST, lead_or_end
from tradingengine_operator.runtime.process.metrics import OperatorMetrics
from tradingengine_operator.runtime.process.thread import loop_thread

from .fake_api import NAMESPACE, FakeApi

pytestmark = pytest.mark.unit


class Passes:
    """A reconciler that is told what to answer; it notices two passes at a time."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome | Exception] = []
        self.count = 0
        self.inside = 0
        self.done = asyncio.Event()

    async def __call__(self) -> Outcome:
        self.inside += 1
        assert self.inside == 1, "two passes at a time"
        await asyncio.sleep(0)
        self.count += 1
        self.inside -= 1
        self.done.set()
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def next_pass(passes: Passes) -> None:
    """Waits for one more pass."""
    passes.done.clear()
    async with asyncio.timeout(10):
        await passes.done.wait()


async def test_wake_ups_that_come_together_are_one_pass() -> None:
    passes, stopped = Passes(), asyncio.Event()
    loop = WorkLoop("x", passes, coalesce=0.05)
    task = asyncio.create_task(loop.run(stopped))
    await next_pass(passes)
    for _ in range(20):
        loop.wake()
    await next_pass(passes)
    assert passes.count == 2
    stopped.set()
    async with asyncio.timeout(5):
        await task


async def test_a_recheck_needs_no_wake_up_and_a_gone_engine_ends_the_loop() -> None:
    passes = Passes()
    passes.outcomes = [Outcome(recheck=0.01), Outcome(recheck=0.01), Outcome(gone=True)]
    async with asyncio.timeout(10):
        await WorkLoop("x", passes, coalesce=0.0).run(asyncio.Event())
    assert passes.count == 3


async def test_failures_back_off_and_are_counted() -> None:
    passes, results = Passes(), []
    passes.outcomes = [OperatorError("no"), RuntimeError("bug"), Outcome(failed=True), Outcome()]
    loop = WorkLoop("x", passes, observe=lambda result, _: results.append(result), rng=random.Random(1))
    pauses = []
    for _ in range(4):
        outcome = await loop.once()
        pauses.append(loop._pause(outcome))
    assert results == ["error", "error", "failed", "ok"]
    first, second, third, last = pauses
    assert first is not None
    assert second is not None
    assert third is not None
    assert 0.5 <= first <= 1.0
    assert 1.0 <= second <= 2.0
    assert 2.0 <= third <= 4.0
    assert last is None


async def test_backoff_has_an_end() -> None:
    passes = Passes()
    passes.outcomes = [Outcome(failed=True)] * 30
    loop = WorkLoop("x", passes)
    for _ in range(30):
        outcome = await loop.once()
    pause = loop._pause(outcome)
    assert pause is not None
    assert pause <= BACKOFF_MOST


async def test_a_release_with_weight_is_judged_on_through_failures() -> None:
    passes = Passes()
    passes.outcomes = [Outcome(failed=True, urgent=True, recheck=1.0)] * 8
    loop = WorkLoop("x", passes)
    for _ in range(8):
        outcome = await loop.once()
    assert loop._pause(outcome) == 1.0


async def test_a_pass_that_may_not_write_is_made_again_and_is_no_failure() -> None:
    passes, results = Passes(), list[str]()
    passes.outcomes = [LeaseLostError("not renewed")] * 20
    loop = WorkLoop("x", passes, observe=lambda result, _: results.append(result))
    for _ in range(20):
        assert loop._pause(await loop.once()) == WITHOUT_LEASE_SECONDS
    assert set(results) == {"lease-lost"}


async def test_a_wake_up_is_as_old_as_the_first_of_those_that_became_one() -> None:
    passes, waited = Passes(), list[float]()
    loop = WorkLoop("x", passes, queued=waited.append)
    loop.wake()
    await asyncio.sleep(0.05)
    loop.wake()
    await loop.once()
    await loop.once()
    assert [age >= 0.05 for age in waited] == [True], "a pass that nobody asked for has no age"


class Watch:
    """A clock for the Lease."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def electors(count: int) -> tuple[FakeLeases, Watch, list[Elector]]:
    """Candidates for one Lease on one clock."""
    api, watch = FakeLeases(), Watch()
    made = [Elector(cast(KubernetesClient, api), NAMESPACE, "te", f"pod-{n}", monotonic=watch) for n in range(count)]
    return api, watch, made


class FakeLeases(FakeApi):
    """Leases with a test on resourceVersion, and a server that may be away."""

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """As of the client."""
        if "down" in self.fail:
            raise self.fail["down"]
        return await super().get(kind, namespace, name)

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """As of the client."""
        from tradingengine_operator.errors import ConflictError

        if "down" in self.fail:
            raise self.fail["down"]
        old = self.objects.get((manifest["kind"], manifest["metadata"]["name"]))
        if old is None:
            raise ConflictError(409, "Conflict", "no lease")
        if old["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "lease")
        return self.put(manifest)


def leaders(*made: Elector) -> list[bool]:
    """Who may write."""
    return [elector.leading for elector in made]


async def test_one_leads_and_the_other_waits_for_a_whole_lease() -> None:
    _, watch, (first, second) = electors(2)
    assert await first.attempt()
    assert not await second.attempt()
    assert leaders(first, second) == [True, False]
    watch.now += LEASE_SECONDS - 0.1
    assert not await second.attempt()
    watch.now += 0.2
    assert leaders(first, second) == [False, False], "the first stopped writing before the second could begin"
    assert await second.attempt()
    assert leaders(first, second) == [False, True]
    with pytest.raises(LeaseLostError, match="now held by pod-1"):
        await first.attempt()


async def test_never_do_two_lead_at_a_time() -> None:
    """Also with an API server that is away now and then, for some or for all of them."""
    for seed in range(20):
        api, watch, made = electors(3)
        rng = random.Random(seed)
        for _ in range(400):
            watch.now += rng.uniform(0.1, 3.0)
            api.fail = {"down": ApiError(0, "Unreachable", "no answer")} if rng.random() < 0.3 else {}
            number = rng.randrange(len(made))
            try:
                await made[number].attempt()
            except LeaseLostError:  # such a process ends, and another one starts
                made[number] = Elector(
                    cast(KubernetesClient, api), NAMESPACE, "te", f"pod-{number}-{watch.now}", monotonic=watch
                )
            assert sum(elector.leading for elector in made) <= 1


async def test_a_leader_goes_on_when_the_api_server_is_back_and_its_standby_does_not_take_over() -> None:
    for away in (2.0, 20.0, 200.0):
        api, watch, (first, second) = electors(2)
        assert await first.attempt()
        assert not await second.attempt()
        api.fail["down"] = ApiError(0, "Unreachable", "no answer")
        for _ in range(int(away)):
            watch.now += 1.0
            for elector in (first, second):
                assert not await elector.attempt()
        with pytest.raises(LeaseLostError) if away > RENEW_DEADLINE_SECONDS else contextlib.nullcontext():
            first.guard()
        api.fail.clear()
        assert not await second.attempt(), "the first one to look is not the first one to lead"
        watch.now += 1.0
        assert await first.attempt(), away
        assert first.guard() == LEASE_SECONDS
        watch.now += LEASE_SECONDS - 1.0
        assert not await second.attempt(), "it saw a renewal"


async def test_a_leader_that_dies_while_the_api_server_is_away_is_followed() -> None:
    api, watch, (first, second) = electors(2)
    assert await first.attempt()
    assert not await second.attempt()
    api.fail["down"] = ApiError(0, "Unreachable", "no answer")
    watch.now += 60.0
    assert not await second.attempt()
    api.fail.clear()
    assert not await second.attempt()
    watch.now += LEASE_SECONDS
    assert await second.attempt()


async def test_a_leader_that_was_away_while_others_led_ends_although_nobody_holds_the_lease() -> None:
    _, watch, (first, second) = electors(2)
    assert await first.attempt()
    assert not await second.attempt()
    watch.now += LEASE_SECONDS
    assert await second.attempt()
    await second.release()
    with pytest.raises(LeaseLostError, match="held by nobody"):
        await first.attempt()


async def test_a_lost_answer_to_a_renewal_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api, watch, (first,) = electors(1)
    assert await first.attempt()
    plain = api.replace

    async def unheard(manifest: dict[str, Any]) -> dict[str, Any]:
        await plain(manifest)
        raise ApiError(0, "Unreachable", "the answer was lost")

    monkeypatch.setattr(api, "replace", unheard)
    watch.now += 3.0
    assert not await first.attempt()
    monkeypatch.setattr(api, "replace", plain)
    watch.now += 3.0
    assert await first.attempt(), "its own write is the newest one"


async def test_a_deleted_lease_is_made_again_by_who_leads_and_by_nobody_whose_time_is_over() -> None:
    api, watch, (first,) = electors(1)
    assert await first.attempt()
    await api.delete(kinds.LEASE, NAMESPACE, "te")
    api.fail["down"] = ApiError(0, "Unreachable", "no answer")
    assert not await first.attempt()
    api.fail.clear()
    assert await first.attempt()
    await api.delete(kinds.LEASE, NAMESPACE, "te")
    first._held = None
    watch.now += RENEW_DEADLINE_SECONDS
    with pytest.raises(LeaseLostError):
        await first.attempt()


async def test_a_slow_renewal_takes_nothing_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """One begins two seconds after the begin of the one before, and may last two seconds, whatever that one took."""
    api, watch, (first,) = electors(1)
    begun, slept = list[float](), list[float]()
    plain = api.replace

    async def slow(manifest: dict[str, Any]) -> dict[str, Any]:
        begun.append(watch.now)
        watch.now += 1.9
        return await plain(manifest)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        watch.now += seconds
        if len(slept) == 4:
            raise asyncio.CancelledError

    monkeypatch.setattr(api, "replace", slow)
    monkeypatch.setattr(lease, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await first.lead(lambda: None)
    assert begun == [pytest.approx(102.0), pytest.approx(104.0), pytest.approx(106.0)]
    first.guard()


async def test_without_renewal_no_write_passes() -> None:
    api, watch, (first,) = electors(1)
    assert await first.attempt()
    assert first.guard() == LEASE_SECONDS
    api.fail["down"] = ApiError(0, "Unreachable", "no answer")
    watch.now += RENEW_DEADLINE_SECONDS - 0.1
    assert not await first.attempt()
    first.guard()
    watch.now += 0.1
    with pytest.raises(LeaseLostError):
        first.guard()
    assert first.guard(begun=True) == pytest.approx(LEASE_SECONDS - RENEW_DEADLINE_SECONDS)
    watch.now += LEASE_SECONDS - RENEW_DEADLINE_SECONDS
    with pytest.raises(LeaseLostError):
        first.guard(begun=True)


async def test_a_released_lease_is_taken_at_once() -> None:
    _, _, (first, second) = electors(2)
    assert await first.attempt()
    assert not await second.attempt()
    await first.release()
    assert not first.leading
    assert await second.attempt()


class Renewals(FakeLeases):
    """Each renewal takes a second of the clock that is given; the `wanted`th sets `enough`, and none follows it."""

    def __init__(self, watch: Watch, wanted: int) -> None:
        super().__init__()
        self.watch, self.wanted, self.count, self.enough = watch, wanted, 0, threading.Event()

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """As of the client."""
        if self.enough.is_set():  # the clock stands still until the test has looked, however late it wakes
            await asyncio.Event().wait()
        self.watch.now += 1.0
        self.count += 1
        if self.count >= self.wanted:
            self.enough.set()
        return await super().replace(manifest)


class Ends(threading.Event):
    """Takes the place of `os._exit`, in whichever thread."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[int] = []

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.set()


async def block_the_main_loop(
    monkeypatch: pytest.MonkeyPatch, *, until: Callable[[Renewals, Ends], threading.Event], wanted: int
) -> tuple[Elector, Renewals, Ends, bool]:
    """Elects apart from a main loop that stands still until an event of the election's thread.

    Whether the event came, and the Lease as it then is, before the main loop went on.
    """
    monkeypatch.setattr(lease, "RETRY_SECONDS", 0.0)
    watch, ends = Watch(), Ends()
    monkeypatch.setattr(os, "_exit", ends)
    api = Renewals(watch, wanted)
    watchdog = Watchdog(OperatorMetrics(), monotonic=watch)
    elector = Elector(
        cast(KubernetesClient, api), NAMESPACE, "te", "pod-1", alive=lambda: not watchdog.late, monotonic=watch
    )
    async with loop_thread("lease") as thread:
        election = thread.call(lead_or_end(elector, lambda: None))
        came = until(api, ends).wait(20)  # blocks the loop of this test, as a busy pass does
        election.cancel()
    return elector, api, ends, came


async def test_a_busy_main_loop_keeps_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = math.ceil(RENEW_DEADLINE_SECONDS) * 2
    assert seconds < LATE_SECONDS
    elector, _, ends, came = await block_the_main_loop(monkeypatch, until=lambda api, _: api.enough, wanted=seconds)
    assert came, "renewals go on while the main loop is busy"
    elector.guard()
    assert ends.codes == []


async def test_a_stuck_main_loop_loses_the_lease_and_the_process_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    elector, api, ends, came = await block_the_main_loop(monkeypatch, until=lambda _, ends: ends, wanted=10**9)
    assert came, "renewals go on although the main loop is stuck"
    assert ends.codes == [EXIT_LEASE_LOST]
    assert api.count == math.floor(LATE_SECONDS) + 1, "renewed until the bound, and not once more"
    with pytest.raises(LeaseLostError):
        elector.guard()
    assert "the main loop is stuck" in caplog.text


async def test_a_stuck_standby_does_not_take_the_lease() -> None:
    api, watch, (first,) = electors(1)
    second = Elector(cast(KubernetesClient, api), NAMESPACE, "te", "pod-2", alive=lambda: False, monotonic=watch)
    assert not await second.attempt()
    assert await first.attempt()


async def test_the_guard_may_be_asked_while_the_lease_is_lost() -> None:
    """The election's thread takes the Lease away between two looks of the writer's."""
    api, watch, _ = electors(0)
    alive = True

    def clock() -> float:
        if not alive:
            elector._renewed = None
        return watch()

    elector = Elector(cast(KubernetesClient, api), NAMESPACE, "te", "pod-1", monotonic=clock)
    assert await elector.attempt()
    alive = False
    elector.guard()
    with pytest.raises(LeaseLostError):
        elector.guard()


async def test_events_are_not_repeated_within_their_time() -> None:
    api, watch = FakeApi(), Watch()
    announcer = Announcer(cast(KubernetesClient, api), "x", watch)
    engine = {"metadata": {"name": "desk", "namespace": NAMESPACE, "uid": "u"}}
    for _ in range(3):
        await announcer.announce(engine, "Ready", "serving")
    assert len(await api.list_all(kinds.EVENT, NAMESPACE)) == 1
    watch.now += COOL_DOWN_SECONDS
    await announcer.announce(engine, "Ready", "serving")
    await announcer.announce(engine, "Ready", "something else", warning=True)
    events = await api.list_all(kinds.EVENT, NAMESPACE)
    assert sorted(event["type"] for event in events) == ["Normal", "Normal", "Warning"]


async def test_health_tells_a_stuck_pass() -> None:
    metrics = OperatorMetrics()
    watchdog, stuck = Watchdog(metrics), list[str]()
    server = HealthServer(metrics, watchdog, lambda: stuck, lambda: True)
    port = await server.start(0, "127.0.0.1")
    async with aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{port}"
        assert (await session.get(f"{base}/healthz")).status == 200
        assert (await session.get(f"{base}/readyz")).status == 200
        assert "tradingengine_operator_lease_held" in await (await session.get(f"{base}/metrics")).text()
        stuck.append("trading/desk")
        answer = await session.get(f"{base}/healthz")
        assert answer.status == 500
        assert (await answer.json())["engines"] == ["trading/desk"]
    await server.stop()


def test_a_wrong_command_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["walk"])
    assert caught.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_without_a_namespace_it_says_how_to_name_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TE_NAMESPACES", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["uninstall-check"]) == 1
    assert "mend: give --namespace" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    assert "examples:" in capsys.readouterr().out
