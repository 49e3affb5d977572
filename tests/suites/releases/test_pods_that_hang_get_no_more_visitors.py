"""What users see: pods of a new release that hang lose their visitors within seconds, and never get more of them."""

from __future__ import annotations

import time

import pytest
from te_demo import faults

from .stage import Stage, Steps

pytestmark = pytest.mark.suite
#: The hold ends while the pods hang: a release that was judged on old samples would get more weight then.
STEPS: Steps = [{"weight": 10, "hold": "12s"}, {"weight": 50, "hold": "12s"}, {"weight": 100}]
LIMIT = 5.0


def test_pods_that_were_stopped_lose_their_visitors(desk: Stage) -> None:
    with desk.run(STEPS) as run:
        time.sleep(8.0)
        faults.stop(desk.pods(run.slot))
        desk.withdrawn(run, time.monotonic(), LIMIT, "pods hang (SIGSTOP)")


def test_pods_whose_event_loop_is_blocked_lose_their_visitors(desk: Stage) -> None:
    with desk.run(STEPS) as run:
        time.sleep(8.0)
        fault = time.monotonic()
        faults.tell(desk.product, desk.pods(run.slot), "block")
        desk.withdrawn(run, fault, LIMIT, "pods hang (event loop blocked)")


def test_one_stopped_pod_of_two_is_enough(desk: Stage) -> None:
    with desk.run(STEPS) as run:
        time.sleep(8.0)
        faults.stop(desk.pods(run.slot)[:1])
        desk.withdrawn(run, time.monotonic(), LIMIT, "one pod of two hangs (SIGSTOP)")
