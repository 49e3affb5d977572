"""What users see: a rollback takes everybody back at once into pods that are still warm, and older records by a run."""

from __future__ import annotations

import time

import pytest

from .stage import Stage, Steps, promoted

pytestmark = pytest.mark.suite
SHORT: Steps = [{"weight": 10, "hold": "5s"}, {"weight": 100}]


def test_a_rollback_into_the_warm_slot_needs_no_new_pod_and_fails_nobody(desk: Stage) -> None:
    with desk.run(SHORT) as run:
        old = desk.stable()
        slot = run.other
        desk.wait("promoted", promoted(run.number), 180)
        before = {pod["metadata"]["uid"] for pod in desk.pods(slot)}
        assert before, "the pods of the release before are warm"
        asked = time.monotonic()
        assert desk.command("rollback", run.number, to=old, reason="orders look odd")["outcome"] == "Done"
        back = run.watch.wait(slot, lambda weight: weight == 100, 60, "everybody is back")
        desk.tell("rollback into the warm slot, from the command to all the weight", f"{back - asked:.1f} s")
        desk.wait("the old release serves", promoted(old), 240)
        assert {pod["metadata"]["uid"] for pod in desk.pods(slot)} == before
        bad = [answer for answer in run.load.answers if answer.bad]
        desk.tell("failed requests over a promotion and a rollback", f"{len(bad)} of {len(run.load.answers)}")
        assert bad == []


def test_a_rollback_to_an_older_record_is_a_run_of_its_own_and_fails_nobody(desk: Stage) -> None:
    oldest = desk.stable()
    with desk.run(SHORT, rollout={"warmSlot": "0s"}) as run:
        desk.wait("promoted", promoted(run.number), 180)
        wait_cold(desk, run.other)
        assert desk.command("rollback", run.number, to=oldest, reason="orders look odd")["outcome"] == "Done"
        desk.wait("the old record serves", promoted(oldest), 240)
        assert 10.0 in [weight for _, weight in run.watch.of(run.other)], "step by step"
        assert [answer for answer in run.load.answers if answer.bad] == []


def wait_cold(desk: Stage, slot: str) -> None:
    """The slot that was left has no pods any more."""
    desk.wait("the slot is empty", lambda _release: not desk.pods(slot), 120)
