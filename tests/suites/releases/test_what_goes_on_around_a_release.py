"""What users see: a drained node, an autoscaler at work and a closed market change nothing in how a release ends."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from .stage import Stage, Steps, promoted

pytestmark = pytest.mark.suite
SHORT: Steps = [{"weight": 10, "hold": "10s"}, {"weight": 100}]


def test_a_node_that_is_drained_fails_nobody_and_the_release_goes_on(desk: Stage) -> None:
    """Each pod of both slots is evicted, as a drain does it; budgets for disruptions have their say."""
    with desk.run([{"weight": 10, "hold": "40s"}, {"weight": 100}]) as run:
        for slot in (run.slot, run.other):
            for pod in desk.pods(slot):
                evict(desk, pod["metadata"]["name"])
        desk.wait("promoted", promoted(run.number), 300)
        bad = [answer for answer in run.load.answers if answer.bad]
        desk.tell("failed requests while every pod was evicted", f"{len(bad)} of {len(run.load.answers)}")
        assert bad == []


def test_an_autoscaler_at_work_gives_the_new_release_as_many_pods_before_more_weight(desk: Stage) -> None:
    """The live slot grows in mid-run, and shrinks for nobody while its load may come back."""
    busy = {"api": {"replicas": {"min": 2, "max": 3}, "targetCPU": 10}}
    with desk.run([{"weight": 10, "hold": "60s"}, {"weight": 100}], rate=100.0, **busy) as run:
        desk.wait("promoted", promoted(run.number), 400)
        pods = len(desk.pods(run.slot))
        desk.tell("pods of the new release when it got everybody, autoscaler at work", str(pods))
        assert pods >= len(desk.pods(run.other)), "no fewer than those that carried the load"
        assert [answer for answer in run.load.answers if answer.bad] == []
    desk.product.patch_spec({"api": {"replicas": {"min": 2, "max": 2}, "targetCPU": 60}})


def test_a_release_waits_for_the_close_and_a_command_lets_it_run(desk: Stage) -> None:
    markets_are_open(desk)
    try:
        stable, number = desk.stable(), desk.newest() + 1
        desk.wish(SHORT, rollout={"window": "outsideMarketHours"})
        waits = desk.wait("it waits", lambda release: bool(release.get("nextWindow")), 60)
        assert waits["stable"] == stable
        assert waits["state"] == "Stable"
        answer = desk.command("start", number, reason="a hotfix cannot wait")
        assert answer["outcome"] == "Done", answer
        desk.wait("promoted", lambda release: release.get("stable") != stable and release["state"] == "Stable", 240)
    finally:
        desk.product.kubectl.run("--namespace", desk.product.namespace, "delete", "configmap", "tradingengine-calendar")
        desk.product.patch_spec({"rollout": {"window": "any"}})


def markets_are_open(desk: Stage) -> None:
    """By the namespace's own dates, all day, today and tomorrow, where the markets are."""
    today = (datetime.now(UTC) + timedelta(hours=5, minutes=30)).date()
    open_ = [{"phase": "open", "start": "00:00:00", "end": "23:59:00"}]
    days = [
        {"date": (today + timedelta(days=count)).isoformat(), "name": "a test", "phases": open_} for count in (0, 1)
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "tradingengine-calendar", "namespace": desk.product.namespace},
        "data": {"NSE_EQ.json": json.dumps({"segment": "NSE_EQ", "days": days})},
    }
    desk.product.kubectl.apply([manifest])


def evict(desk: Stage, pod: str) -> None:
    """As `kubectl drain` does: refused while the budget allows none, and tried again."""
    path = f"/api/v1/namespaces/{desk.product.namespace}/pods/{pod}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    end = time.monotonic() + 120
    while time.monotonic() < end:
        said = desk.product.kubectl.run("create", "--raw", path, "--filename=-", stdin=json.dumps(body), check=False)
        if '"Success"' in said:
            return
        time.sleep(1.0)
    raise AssertionError(f"{pod} could not be evicted")
