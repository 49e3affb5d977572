"""What users see: a release that nobody visits is judged on the prober, and promoted only when it is good."""

from __future__ import annotations

import time

import pytest
from te_demo import faults
from te_demo.weights import WeightWatch

from .stage import START_SECONDS, Stage, promoted

pytestmark = pytest.mark.suite


def test_a_night_release_without_visitors_is_promoted_on_the_prober(desk: Stage) -> None:
    begun, number = time.monotonic(), desk.newest() + 1
    desk.wish([{"weight": 10, "hold": "20s"}, {"weight": 50, "hold": "20s"}, {"weight": 100}])
    desk.wait("promoted", promoted(number), START_SECONDS + 120)
    desk.tell("a night release without a visitor, from the wish to everybody", f"{time.monotonic() - begun:.0f} s")


def test_a_bad_night_release_is_withdrawn_on_the_prober(desk: Stage) -> None:
    stable = desk.stable()
    slot = "b" if desk.slot_of(stable) == "a" else "a"
    with WeightWatch(desk.product) as watch:
        desk.wish([{"weight": 10, "hold": "30s"}, {"weight": 100}])
        watch.wait(slot, lambda weight: weight > 0, START_SECONDS, "the first weight")
        time.sleep(8.0)
        fault = time.monotonic()
        faults.tell(desk.product, desk.pods(slot), "fail 1")
        zero = watch.wait(slot, lambda weight: weight == 0, 60, "the weight is gone")
        desk.tell("at night, every call fails: from the fault to weight 0", f"{zero - fault:.1f} s")
        assert max(weight for _, weight in watch.of(slot)) == 10.0
    assert desk.stable() == stable
