"""What users see: steps last as long as they say, though the operator is killed again and again."""

from __future__ import annotations

import time

import pytest
from te_demo.product import OPERATOR_NAMESPACE
from te_devcluster.commands import wait_until

from .stage import Stage, Steps, promoted

pytestmark = pytest.mark.suite
HOLD = 60.0
STEPS: Steps = [{"weight": 10, "hold": "60s"}, {"weight": 50, "hold": "60s"}, {"weight": 100}]
KILLS = 10
#: So long a new standby has to come up before the next kill.
BETWEEN_KILLS = 14.0
#: A standby takes over when the Lease ends, 6 s after its last renewal; 5 s more are allowed each time.
LATE_EACH = 11.0


def test_steps_across_ten_kills_of_the_operator_are_never_early(desk: Stage) -> None:
    with desk.run(STEPS) as run:
        kills = 0
        while kills < KILLS and desk.release().get("stable") != run.number:
            time.sleep(BETWEEN_KILLS)
            kill_operator(desk)
            kills += 1
        desk.wait("promoted", promoted(run.number), 600)
        times = run.watch.of(run.slot)
        half = next(at for at, weight in times if weight == 50)
        whole = next(at for at, weight in times if weight == 100)
        first, second = half - run.begun, whole - half
        desk.tell(f"two steps of {HOLD:g} s across {kills} kills of the operator", f"{first:.1f} s and {second:.1f} s")
        assert kills == KILLS
        assert min(first, second) > HOLD - 1.5, "never early; the watch of this test may see a weight late"
        assert first + second < 2 * HOLD + KILLS * LATE_EACH + 30
        assert [answer for answer in run.load.answers if answer.bad] == []


def kill_operator(desk: Stage) -> None:
    """The pod that holds the Lease goes without a grace period; the other one takes over when the Lease ends."""
    found: list[str] = []

    def led() -> bool:
        found[:] = leaders(desk)
        return bool(found)

    wait_until("a pod of the operator holds the Lease", led, timeout=60, every=0.5)
    options = ("--grace-period=0", "--force", "--wait=false")
    desk.product.kubectl.run("--namespace", OPERATOR_NAMESPACE, "delete", "pod", found[0], *options)


def leaders(desk: Stage) -> list[str]:
    """Names of the operator's pods that hold a Lease: one, or none for a moment."""
    kubectl = desk.product.kubectl
    leases = kubectl.get("--namespace", OPERATOR_NAMESPACE, "leases")["items"]
    holders = {lease["spec"].get("holderIdentity") for lease in leases}
    pods = kubectl.get("--namespace", OPERATOR_NAMESPACE, "pods")["items"]
    return [pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] in holders]
