"""Every status that is written while an engine starts, or changes its release, and all is well: no word of failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.flows.edge_words import TOKEN_SECONDS
from tradingengine_operator.flows.pod_observation import life_of

from tests.healthy import event_words, failure_words, phases, told

from .fake_api import Manifest
from .rig import Bench

pytestmark = pytest.mark.unit


class Watched:
    """An engine on a slow cluster, whose every written status is kept."""

    def __init__(self, **spec: Any) -> None:
        self.bench = Bench(**spec)
        self.bench.api.pace = timedelta(seconds=6)
        self.statuses: list[Manifest] = []
        self._apply = self.bench.api.apply
        self.bench.api.apply = self._kept  # type: ignore[method-assign]

    async def _kept(self, manifest: Manifest, **options: Any) -> Manifest:
        applied = await self._apply(manifest, **options)
        if manifest["kind"] == KIND:
            self.statuses.append(applied["status"])
        return applied

    async def turn(self, turns: int = 1) -> None:
        """Passes; the edge's control API answers some seconds after the kubelet says that its pod started."""
        for _ in range(turns):
            self._edge_answers()
            await self.bench.turn()

    def _edge_answers(self) -> None:
        pod, control = self.bench.api.objects.get(("Pod", "desk-edge-0")), self.bench.control
        life = life_of(pod) if pod is not None and pod.get("status") else None
        age = (self.bench.now - life.begun).total_seconds() if life is not None and life.started else 0
        control.reachable, control.opening, control.recovered = age >= 10, 10 <= age < 14, age >= 18

    async def until(self, phase: str, turns: int = 120) -> None:
        """Turns until the phase, and the edge is ready."""
        for _ in range(turns):
            await self.turn()
            if self.bench.status["phase"] == phase and self.bench.condition("EdgeReady")["reason"] == "Ready":
                return
        raise AssertionError("\n".join(told(self.statuses)))

    def words(self) -> list[str]:
        """What spoke of failure, in statuses and events."""
        events = [entry for (kind, _), entry in self.bench.api.objects.items() if kind == "Event"]
        return [entry for status in self.statuses for entry in failure_words(status)] + event_words(events)


async def test_a_first_start_and_a_minute_on() -> None:
    watched = Watched()
    await watched.until("Running")
    await watched.turn(30)
    assert watched.words() == [], "\n".join(told(watched.statuses))
    assert phases(watched.statuses) == ["Preparing", "Running"]
    states = list(dict.fromkeys(status["edge"]["state"] for status in watched.statuses))
    assert states == ["Waiting", "Starting", "Connected"]


async def test_a_good_release_whose_operator_starts_anew_in_it() -> None:
    watched = Watched()
    await watched.until("Running")
    watched.statuses.clear()
    watched.bench.ask(version="1.5.0")
    await watched.turn(8)
    watched.bench.engine = watched.bench.operator()
    await watched.until("Running")
    await watched.turn(30)
    assert watched.words() == [], "\n".join(told(watched.statuses))
    assert phases(watched.statuses) == ["Releasing", "Running"]
    assert list(dict.fromkeys(status["edge"]["state"] for status in watched.statuses)) == ["Connected", "Updating"]
    assert watched.statuses[-1]["edge"]["state"] == "Connected"
    assert watched.bench.status["edge"]["release"] == 2


async def test_pods_that_wait_for_a_new_control_token() -> None:
    watched = Watched()
    await watched.until("Running")
    watched.statuses.clear()
    watched.bench.control.other_token = True
    await watched.turn(int(TOKEN_SECONDS / 2) - 1)
    assert watched.words() == [], "\n".join(told(watched.statuses))
    assert watched.bench.condition("EdgeReady")["reason"] == "WaitsForToken"
    watched.bench.control.other_token = False
    await watched.turn(2)
    assert watched.bench.condition("EdgeReady")["reason"] == "Ready"
    assert watched.words() == []


async def test_a_token_that_never_comes_is_said() -> None:
    watched = Watched()
    await watched.until("Running")
    watched.bench.control.other_token = True
    await watched.turn(int(TOKEN_SECONDS / 2) + 2)
    said = watched.bench.condition("EdgeReady")
    assert (watched.bench.status["edge"]["state"], said["reason"]) == ("Refusing", "TokenRefused")
    assert "delete the edge's pod" in said["message"]


async def test_an_engine_whose_edge_never_starts_says_so_and_serves() -> None:
    watched = Watched()
    await watched.until("Running")
    pod = watched.bench.api.objects["Pod", "desk-edge-0"]
    watched.bench.api.pace = timedelta(minutes=10)
    pod["metadata"] |= {"creationTimestamp": "2026-11-21T09:30:00Z", "uid": "anew"}
    watched.bench.now = watched.bench.now.replace(hour=9, minute=30, second=0)
    watched.bench.api.play()
    watched.bench.control.reachable = False
    await watched.bench.engine.reconcile()
    assert watched.bench.condition("EdgeReady")["reason"] == "Restarting"
    watched.bench.now += timedelta(minutes=3)
    watched.bench.api.play()
    await watched.bench.engine.reconcile()
    said = watched.bench.condition("EdgeReady")
    assert (watched.bench.status["edge"]["state"], said["reason"]) == ("DidNotStart", "DidNotStart")
    assert "ContainerCreating" in said["message"]
    assert "kubectl describe pod -n trading desk-edge-0" in said["message"]
