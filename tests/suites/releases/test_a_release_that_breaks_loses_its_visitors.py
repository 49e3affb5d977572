"""What users see: whatever breaks in a new release, its visitors go back within seconds, and nobody else notices."""

from __future__ import annotations

import time

import pytest
from te_demo import faults

from .stage import Stage

pytestmark = pytest.mark.suite


@pytest.mark.parametrize(
    ("fault", "figure", "limit"),
    [
        ("fail 1", "every call fails", 5.0),
        ("fail 0.05", "5 % of the calls fail", 60.0),
        ("slow 3", "answers take 3 s", 5.0),
    ],
    ids=["every call fails", "a twentieth of the calls fails", "answers take three seconds"],
)
def test_calls_that_break(desk: Stage, fault: str, figure: str, limit: float) -> None:
    with desk.run(rate=100.0) as run:
        time.sleep(8.0)
        begun = time.monotonic()
        faults.tell(desk.product, desk.pods(run.slot), fault)
        desk.withdrawn(run, begun, limit, figure)


def test_pods_that_are_gone(desk: Stage) -> None:
    """Deleted at once, and their replacements are deleted too: nobody is behind the weight."""
    with desk.run() as run:
        time.sleep(8.0)
        begun = time.monotonic()
        for name in ("api", "dashboard"):
            desk.product.kubectl.run(
                "--namespace", desk.product.namespace, "scale", "deployment", f"desk-{name}-{run.slot}", "--replicas=0"
            )  # fmt: skip
        selector = f"tradingengine.io/slot={run.slot}"
        desk.product.kubectl.run(
            "--namespace", desk.product.namespace, "delete", "pods", "--selector", selector, "--grace-period=0",
            "--force", "--wait=false",
        )  # fmt: skip
        desk.withdrawn(run, begun, 5.0, "pods gone")


def test_web_sockets_that_break(desk: Stage) -> None:
    with desk.run() as run, desk.person.live(["NSE:RELIANCE"]):
        time.sleep(35.0)  # a check of WebSockets is applicable after half a minute of them
        begun = time.monotonic()
        faults.tell(desk.product, desk.pods(run.slot), "sockets")
        desk.withdrawn(run, begun, 10.0, "WebSockets break")
