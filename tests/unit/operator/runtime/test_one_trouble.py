"""One trouble hides nothing else: what cannot be read is not taken for absent, and what has weight is judged on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.errors import ApiError, ForbiddenError
from tradingengine_operator.flows.state import Placed, Stage
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.process.loop import URGENT_SECONDS, Outcome, WorkLoop
from tradingengine_operator.runtime.process.metrics import OperatorMetrics
from tradingengine_operator.runtime.reconcile import reconciler

from .fake_api import NAMESPACE, Manifest
from .rig import Bench

pytestmark = pytest.mark.unit
JUDGED_BY = (kinds.POD, kinds.DEPLOYMENT, kinds.ROUTE)
OTHERS = tuple(kind for kind in kinds.LISTED if kind not in JUDGED_BY)
SLOW = {"steps": [{"weight": 50, "hold": "30s"}, {"weight": 100}], "warmSlot": "4s", "historyLimit": 2}
_SETTLED: list[Bench] = []
_HALF_WAY: list[Bench] = []
NONSENSE = {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 10, "hold": "1s"}]}


async def running(**spec: Any) -> Bench:
    """An engine whose first release serves."""
    bench = Bench(**spec)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    return bench


async def settled() -> Bench:
    """The same, made once; the operator was just started."""
    if not _SETTLED:
        _SETTLED.append(await running())
    return _SETTLED[0].fork()


async def half_way() -> Bench:
    """An engine whose second release holds half of the visitors; the operator was just started."""
    if not _HALF_WAY:
        bench = await running(rollout=SLOW)
        bench.ask(version="1.5.0", rollout=SLOW)
        while (candidate := bench.state().candidate) is None or candidate.stage is not Stage.HOLDING:
            await bench.turn()
        _HALF_WAY.append(bench)
    return _HALF_WAY[0].fork()


def refuse(bench: Bench, kind: kinds.Kind) -> None:
    """The role lost its right to a kind."""
    bench.api.fail[kind.kind] = ForbiddenError(403, "Forbidden", f"{kind.plural} is forbidden")


def kill_canary(bench: Bench) -> None:
    """No pod of the canary is ready any more."""
    for (kind, name), pod in bench.api.objects.items():
        if kind == "Pod" and name.startswith(("desk-api-b", "desk-dashboard-b")):
            pod["status"]["conditions"][0]["status"] = "False"


def weights(bench: Bench) -> list[int]:
    """Weights of both slots on the route, in tenths of a percent."""
    return [backend["weight"] for backend in bench.api.objects["HTTPRoute", "desk"]["spec"]["rules"][-1]["backendRefs"]]


def children(bench: Bench) -> set[tuple[str, str]]:
    """Everything but events."""
    return {key for key in bench.api.objects if key[0] != "Event"}


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.plural)
async def test_a_canary_is_judged_though_a_kind_cannot_be_listed(kind: kinds.Kind) -> None:
    bench = await half_way()
    assert weights(bench) == [500, 500]
    refuse(bench, kind)
    bench.engine = bench.operator()
    outcome = await bench.turn()
    assert outcome.failed
    assert outcome.urgent
    assert outcome.recheck is not None
    assert outcome.recheck <= 1
    assert bench.state().candidate is not None, "it is not forgotten"
    assert bench.status["phase"] == "Releasing"
    ready = bench.condition("Ready")
    assert ready["reason"] == "Unread"
    assert kind.plural in ready["message"]
    kill_canary(bench)
    await bench.engine.reconcile()
    assert bench.state().withdrawn is not None
    assert bench.status["release"]["reason"] == "NoReadyEndpoint"
    assert weights(bench) == [1000, 0]


@pytest.mark.parametrize("kind", kinds.WATCHED, ids=lambda kind: kind.plural)
async def test_nothing_is_taken_down_or_made_anew_because_a_kind_cannot_be_listed(kind: kinds.Kind) -> None:
    bench = await settled()
    before, state, slots = children(bench), bench.state(), bench.status["release"]["slots"]
    secrets = {name: bench.api.objects["Secret", name]["data"] for name in bench.names(kinds.SECRET)}
    refuse(bench, kind)
    bench.engine = bench.operator()
    for _ in range(3):
        assert (await bench.turn()).failed
    assert children(bench) == before
    assert bench.state() == state
    assert bench.status["version"] == "1.4.2"
    assert bench.status["release"]["slots"] == slots
    assert {name: bench.api.objects["Secret", name]["data"] for name in bench.names(kinds.SECRET)} == secrets
    bench.api.fail.clear()
    await bench.turn()
    assert bench.status["phase"] == "Running"


@pytest.mark.parametrize("kind", JUDGED_BY, ids=lambda kind: kind.plural)
async def test_a_release_that_cannot_be_judged_is_not_forgotten_and_looked_for_each_second(kind: kinds.Kind) -> None:
    bench = await half_way()
    candidate = bench.state().candidate
    refuse(bench, kind)
    for _ in range(5):
        outcome = await bench.turn()
        assert outcome.urgent
        assert outcome.recheck == URGENT_SECONDS
    assert bench.state().candidate == candidate
    assert weights(bench) == [500, 500]
    bench.api.fail.clear()
    kill_canary(bench)
    await bench.engine.reconcile()
    assert weights(bench) == [1000, 0]


async def test_a_status_that_cannot_be_written_keeps_a_release_with_weight_urgent() -> None:
    bench = await half_way()
    plain = bench.api.apply

    async def apply(manifest: Manifest, *, manager: str = "", subresource: str = "", dry_run: bool = False) -> Manifest:
        if subresource == "status":
            raise ApiError(403, "Forbidden", "status is forbidden")
        return await plain(manifest, subresource=subresource)

    bench.api.apply = apply  # type: ignore[method-assign]
    kill_canary(bench)
    outcome = await bench.turn()
    assert outcome.failed
    assert (outcome.urgent, outcome.recheck) == (True, URGENT_SECONDS)
    assert weights(bench) == [500, 500], "nothing is done whose intent could not be stored"
    bench.api.apply = plain  # type: ignore[method-assign]
    kill_canary(bench)
    await bench.engine.reconcile()
    assert weights(bench) == [1000, 0]


async def test_an_engine_that_cannot_be_read_is_looked_for_each_second_while_it_may_have_weight() -> None:
    bench = await half_way()
    bench.api.fail[KIND] = ApiError(0, "Unreachable", "GET: ClientConnectorError")
    for _ in range(2):
        outcome = await bench.turn()
        assert (outcome.failed, outcome.urgent, outcome.recheck) == (True, True, URGENT_SECONDS)
        bench.engine = bench.operator()
    bench.api.fail.clear()
    calm = await settled()
    await calm.turn()
    calm.api.fail[KIND] = ApiError(0, "Unreachable", "GET: ClientConnectorError")
    assert not (await calm.turn()).urgent, "one that has no release under way may wait"


async def test_a_pass_that_breaks_does_not_make_a_release_with_weight_wait() -> None:
    async def first() -> Outcome:
        return Outcome(recheck=1.0, urgent=True)

    async def broken() -> Outcome:
        raise RuntimeError("a bug")

    loop = WorkLoop("desk", first)
    await loop.once()
    loop._reconcile = broken
    for _ in range(10):
        outcome = await loop.once()
        assert outcome.failed
        pause = loop._pause(outcome)
        assert pause is not None
        assert pause <= URGENT_SECONDS, "the back-off of a broken pass does not reach it"


async def test_what_a_release_stands_on_may_hang_without_keeping_it_from_being_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = await half_way()
    monkeypatch.setattr(reconciler, "FOUNDATION_SECONDS", 0.05)
    plain = bench.api.get

    async def get(kind: kinds.Kind, namespace: str, name: str) -> Manifest | None:
        if kind == kinds.SECRET:
            await asyncio.sleep(60)
        return await plain(kind, namespace, name)

    bench.api.get = get  # type: ignore[method-assign]
    kill_canary(bench)
    async with asyncio.timeout(20):
        outcome = await bench.engine.reconcile()
    assert outcome.failed
    assert bench.state().withdrawn is not None
    assert weights(bench) == [1000, 0]


async def test_nothing_is_released_anew_while_records_cannot_be_listed_and_the_status_is_lost() -> None:
    bench = await settled()
    del bench.api.objects[KIND, "desk"]["status"]
    refuse(bench, kinds.CONFIG_MAP)
    bench.engine = bench.operator()
    before = children(bench)
    for _ in range(4):
        await bench.turn()
    assert children(bench) == before
    assert bench.state().candidate is None
    bench.api.fail.clear()
    await bench.settle()
    assert bench.state().stable == Placed("a", 1)


async def test_no_password_is_made_while_it_cannot_be_known_whether_the_cache_runs() -> None:
    bench = await settled()
    for name in ("desk-cache", "desk-cache-access"):
        del bench.api.objects["Secret", name]
    refuse(bench, kinds.STATEFUL_SET)
    bench.engine = bench.operator()
    await bench.turn()
    assert not {"desk-cache", "desk-cache-access"} & bench.names(kinds.SECRET)


async def test_a_canary_is_judged_by_the_last_valid_specification_while_the_newest_makes_no_sense() -> None:
    bench = await half_way()
    bench.ask(version="1.6.0", rollout=NONSENSE)
    bench.engine = bench.operator()
    outcome = await bench.turn()
    assert outcome.urgent
    assert outcome.recheck is not None
    assert bench.condition("SpecValid")["status"] == "False"
    assert bench.condition("Ready")["reason"] == "SpecInvalid"
    assert bench.state().candidate is not None
    assert bench.status["release"]["step"] == "1/2"
    kill_canary(bench)
    await bench.engine.reconcile()
    assert bench.state().withdrawn is not None
    assert weights(bench) == [1000, 0]
    for _ in range(6):
        await bench.turn()
    bench.ask(rollout=SLOW)
    await bench.turn()
    assert bench.condition("SpecValid")["status"] == "True"
    assert bench.state().stable == Placed("a", 1)


async def test_a_release_ends_as_it_was_asked_for_though_a_newer_specification_makes_no_sense() -> None:
    bench = await half_way()
    bench.ask(version="1.6.0", rollout=NONSENSE)
    for _ in range(40):
        bench.engine = bench.operator() if bench.state().candidate is None else bench.engine
        await bench.turn()
        if bench.state().stable == Placed("b", 2) and bench.state().retiring is None:
            break
    assert bench.state().stable == Placed("b", 2)
    assert bench.state().candidate is None, "what makes no sense is not released"
    assert bench.condition("SpecValid")["status"] == "False"


async def test_an_older_operator_that_understands_no_specification_judges_a_canary_by_its_record() -> None:
    bench = await half_way()
    later: dict[str, Any] = {"version": "1.5.0", "rollout": {"steps": "as a later version has them"}}
    bench.ask(**later)
    bench.api.objects["ConfigMap", "desk-applied"]["data"]["spec.json"] = json.dumps(later)
    bench.engine = bench.operator()
    before = {key: value["metadata"]["resourceVersion"] for key, value in bench.api.objects.items()}
    for _ in range(30):
        outcome = await bench.turn()
        assert (outcome.urgent, outcome.recheck) == (True, URGENT_SECONDS)
    assert bench.condition("SpecValid")["status"] == "False"
    assert bench.status["release"]["step"] == "1/2"
    assert weights(bench) == [500, 500], "it gets no more weight from an operator that does not know what was asked for"
    kill_canary(bench)
    await bench.engine.reconcile()
    assert bench.state().withdrawn is not None
    assert weights(bench) == [1000, 0]
    after = {key: value["metadata"]["resourceVersion"] for key, value in bench.api.objects.items()}
    changed = {key for key, version in after.items() if before.get(key) != version and key[0] != "Event"}
    copied = ("ConfigMap", "desk-release-1")
    assert changed == {(KIND, "desk"), ("HTTPRoute", "desk"), copied}, "nothing else is touched"


@pytest.mark.parametrize("word", ["Paused", "Degraded", "Deleting"])
async def test_an_engine_that_is_left_alone_shows_what_is_after_the_operator_started_anew(word: str) -> None:
    bench = await half_way()
    bench.control.flat = False
    if word == "Paused":
        bench.ask(version="1.5.0", rollout=SLOW, paused=True)
    elif word == "Degraded":
        bench.ask(version="1.6.0", rollout=NONSENSE)
    for (kind, name), pod in bench.api.objects.items():
        if kind == "Pod" and name == "desk-api-b-1":
            pod["status"]["conditions"][0]["status"] = "False"
    bench.metrics = OperatorMetrics()
    bench.engine = bench.operator()
    if word == "Deleting":
        engine = bench.api.objects[KIND, "desk"]
        engine["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
        await bench.engine.mark_deleting(engine)
    else:
        await bench.engine.reconcile()
    release = bench.status["release"]
    assert bench.status["phase"] == word
    assert release["weight"] == 50
    assert [release["slots"][slot]["ready"] for slot in "ab"] == [1, 1]
    assert [release["slots"][slot]["weight"] for slot in "ab"] == [50, 50]
    assert bench.status["edge"]["state"] == "Connected"
    flat = "tradingengine_operator_edge_flat"
    assert bench.metrics.registry.get_sample_value(flat, {"namespace": NAMESPACE, "engine": "desk"}) == 0
