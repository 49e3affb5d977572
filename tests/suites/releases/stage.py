"""The devcluster with an engine whose releases can be broken while they run, clients who ask, and figures."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from te_demo import faults
from te_demo.load import Damage, Load, damage
from te_demo.person import Person
from te_demo.product import Product, condition, explain
from te_demo.weights import WeightWatch
from te_devcluster import images
from te_devcluster.commands import wait_until
from te_devcluster.console import say
from te_devcluster.kubectl import Manifest
from te_devcluster.paths import checkout

#: Requests a second of clients.
RATE = 50.0
#: What is measured has limits of its own in the documents; a test, on a machine that others use, bears so many times.
BEARABLE = 3.0
#: So long a release gets from its wish to its first weight.
START_SECONDS = 300.0
FIGURES = checkout() / "build" / "releases" / "figures.json"
IMAGE = images.full_name(images.image_named("apps"), faults.TAG)
Steps = Sequence[Mapping[str, object]]
#: 10 % for as long as a test needs.
HELD = [{"weight": 10, "hold": "20m"}, {"weight": 100}]
CHECKS = [{"name": "error-rate", "minSamples": 20}, {"name": "latency-p95", "minSamples": 20}]


def rollout(steps: Steps | None = None, **more: Any) -> dict[str, Any]:
    """`spec.rollout` with these steps."""
    base = {"steps": list(steps or HELD), "checks": CHECKS, "noDataBudget": "1m", "window": "any", "warmSlot": "10m"}
    return base | more


def engine_changes() -> dict[str, Any]:
    """What the suite's engine has otherwise than the demo's."""
    return {
        "images": {"api": IMAGE, "dashboard": IMAGE},
        "api": {"replicas": {"min": 2, "max": 2}},
        "rollout": rollout([{"weight": 10, "hold": "5s"}, {"weight": 100}]),
    }


@dataclass
class Run:
    """A release that has weight: its number and slot, who asks, and what the route says."""

    number: int
    slot: str
    load: Load
    watch: WeightWatch
    begun: float

    @property
    def other(self) -> str:
        """The slot of the release that serves."""
        return "b" if self.slot == "a" else "a"


@dataclass
class Stage:
    """One engine on the devcluster."""

    product: Product
    person: Person
    figures: dict[str, str] = field(default_factory=dict)
    _wishes: Iterator[int] = field(default_factory=lambda: itertools.count(int(time.time()) % 100_000 + 1000))

    def tell(self, figure: str, value: str) -> None:
        """Prints a figure and keeps it in the file that the documents quote."""
        say(f"  {figure}: {value}")
        self.figures[figure] = value
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
        FIGURES.write_text(json.dumps(known | self.figures, indent=2))

    def release(self) -> dict[str, Any]:
        """`status.release`."""
        found: dict[str, Any] = self.product.status().get("release") or {}
        return found

    def stable(self) -> int:
        """The number of the release that serves."""
        return int(self.release()["stable"])

    def newest(self) -> int:
        """The highest number that a record has."""
        selector = "app.kubernetes.io/component=release"
        found = self.product.kubectl.get("--namespace", self.product.namespace, "configmaps", "--selector", selector)
        return max(int(item["metadata"]["name"].rpartition("-")[2]) for item in found["items"])

    def slot_of(self, number: int) -> str:
        """The slot in which a release stands; empty when in none."""
        slots = self.release().get("slots") or {}
        return next((slot for slot, entry in slots.items() if entry.get("release") == number), "")

    def pods(self, slot: str, component: str = "api") -> list[Manifest]:
        """Pods of a slot that are not on their way out."""
        label = "tradingengine.io/slot"
        return [pod for pod in self.product.pods(component) if pod["metadata"]["labels"].get(label) == slot]

    def wish(self, steps: Steps | None = None, **changes: Any) -> None:
        """Asks for another release: the same programs with another configuration."""
        more = changes.pop("rollout", {})
        risk = {"dailyLoss": next(self._wishes)}
        self.product.patch_spec({"risk": risk, "rollout": rollout(steps, **more), **changes})

    @contextmanager
    def run(self, steps: Steps | None = None, rate: float = RATE, **changes: Any) -> Iterator[Run]:
        """A new release with its first weight, and clients who ask from before it came; afterwards all is at rest."""
        self.rest()
        stable = self.stable()
        slot = "b" if self.slot_of(stable) == "a" else "a"
        try:
            with Load(self.person, rate) as load, WeightWatch(self.product) as watch:
                self.wish(steps, **changes)
                begun = watch.wait(slot, lambda weight: weight > 0, START_SECONDS, "the new release's first weight")
                yield Run(int(self.release()["number"]), slot, load, watch, begun)
        finally:  # the next test begins at rest, whatever became of this one
            self.rest(abort=True)

    def command(self, act: str, release: int, **more: Any) -> dict[str, Any]:
        """Gives a command as a person does, and waits for its acknowledgement."""
        ident = f"t{time.monotonic_ns()}"
        text = json.dumps({"id": ident, "act": act, "release": release, **more})
        self.product.kubectl.run(
            "--namespace", self.product.namespace, "annotate", "tradingengine", self.product.engine, "--overwrite",
            f"tradingengine.io/command={text}",
        )  # fmt: skip
        wait_until(f"{act} acknowledged", lambda: (self.release().get("command") or {}).get("id") == ident, timeout=30)
        found: dict[str, Any] = self.release()["command"]
        return found

    def wait(self, what: str, holds: Callable[[dict[str, Any]], bool], timeout: float) -> dict[str, Any]:
        """Waits for a condition on `status.release`."""
        wait_until(
            what, lambda: holds(self.release()), timeout=timeout, every=0.5, hint=lambda: explain(self.product.status())
        )
        return self.release()

    def rest(self, *, abort: bool = False) -> None:
        """Nothing is under way, every pod is whole, and the engine is ready; what was broken is made anew."""
        found = self.release()
        if abort and found.get("state") not in {"Stable", "Withdrawn", None}:
            self.command("abort", int(found["number"]), reason="the test is over")
        wait_until(
            "everything is at rest",
            lambda: (
                self.release().get("state") in {"Stable", "Withdrawn"}
                and condition(self.product.status(), "Ready") == "True"
                and condition(self.product.status(), "EdgeReady") == "True"
            ),
            timeout=240,
            every=1.0,
            hint=lambda: explain(self.product.status()),
        )

    def withdrawn(self, run: Run, fault: float, limit: float, figure: str) -> Damage:
        """Waits until a release that was broken at `fault` has lost its weight, and says what clients noticed.

        AssertionError when that took too long, the weight rose, or the stable release let anybody down.
        """
        zero = run.watch.wait(run.slot, lambda weight: weight == 0, 90, "the broken release has no weight")
        time.sleep(3.0)  # what was sent before is answered, or given up
        found = damage(run.load.answers, fault)
        verdict = self.product.status()["conditions"]
        words = next(item["reason"] for item in verdict if item["type"] == "ReleaseHealthy")
        last = found.last or 0.0
        self.tell(figure, f"last bad answer {last:.1f} s, weight 0 after {zero - fault:.1f} s ({words}); {found}")
        rises = [weight for at, weight in run.watch.of(run.slot) if at > fault + (found.first or 0.0)]
        assert rises == [0.0], f"weights after the fault: {rises}"
        assert found.slots <= {run.slot}, f"the release that serves let people down: {found}"
        assert zero - fault < BEARABLE * limit, f"it took {zero - fault:.1f} s"
        assert last < BEARABLE * limit, str(found)
        return found


def promoted(number: int) -> Callable[[dict[str, Any]], bool]:
    """The condition: this release serves, and nothing is under way."""
    return lambda release: release.get("stable") == number and release.get("state") == "Stable"
