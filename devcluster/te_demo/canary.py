"""`make demo-canary`: a good release promoted and a bad one withdrawn, while a client keeps asking."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from te_devcluster import cluster, images
from te_devcluster.console import say, step
from te_devcluster.errors import DevclusterError, TimedOutError
from te_devcluster.kubectl import Kubectl
from te_devcluster.paths import admin_kubeconfig, checkout

from te_demo import preflight
from te_demo.person import Person
from te_demo.product import Product, condition, explain, running
from te_demo.traffic import Tally, Traffic
from te_demo.up import load
from te_demo.visitors import Visitors

LOGIN = "canary-client"
BAD_RELEASE = Path("demo") / "bad_release"


@dataclass(frozen=True)
class Outcome:
    """What clients noticed of one release. Seconds are None when nothing failed."""

    version: str
    tally: Tally
    seconds: float
    fault_to_zero: float | None
    visitors: Visitors


def next_versions(version: str) -> tuple[str, str]:
    """The two patch releases after this one."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        raise DevclusterError(f"`{version}` is no version like 1.2.3")
    major, minor, patch = (int(part) for part in found.groups())
    return f"{major}.{minor}.{patch + 1}", f"{major}.{minor}.{patch + 2}"


def good_release(version: str) -> list[images.Built]:
    """The same content under another version."""
    return images.build_images(["apps", "edge"], version)


def bad_release(version: str) -> list[images.Built]:
    """An API that answers 500 some seconds after its first visitor; the edge is the good one."""
    spoiled = images.build_overlay("apps", version, checkout() / BAD_RELEASE)
    return [spoiled, *images.build_images(["edge"], version)]


def promote(
    product: Product, person: Person, version: str, timeout: float = 300.0, changes: Mapping[str, Any] | None = None
) -> Outcome:
    """Asks for a version and waits until it is the stable release, and whoever has a page open is there too."""
    begun = time.monotonic()
    with Traffic(person) as traffic, Visitors(person) as visitors:
        product.patch_spec({"version": version, **(changes or {})})
        status = product.wait_for(f"{version} promoted", running(version), timeout, tell=lambda line: say(f"  {line}"))
        visitors.wait_home(str(status["release"]["stable"]))
    return Outcome(version, traffic.tally, time.monotonic() - begun, None, visitors)


def withdraw(
    product: Product, person: Person, version: str, timeout: float = 300.0, changes: Mapping[str, Any] | None = None
) -> Outcome:
    """Asks for a version that fails, and waits until it is withdrawn and left; measures fault to weight 0."""
    begun = time.monotonic()
    with Traffic(person) as traffic, Visitors(person) as visitors:
        before = product.weights()
        live = "a" if before.a >= before.b else "b"
        product.patch_spec({"version": version, **(changes or {})})
        zero = _watch_weight(product, traffic.tally, live, begun + timeout)
        say(f"  weight is 0 again, {zero - (traffic.tally.first_failure or zero):.1f} s after the first failure")
        status = product.wait_for("withdrawn", _withdrawn, timeout, tell=lambda line: say(f"  {line}"))
        visitors.wait_home(str(status["release"]["stable"]))
    first = traffic.tally.first_failure
    return Outcome(version, traffic.tally, time.monotonic() - begun, zero - first if first else None, visitors)


def _watch_weight(product: Product, tally: Tally, live: str, end: float) -> float:
    """Waits until the canary had weight and lost it; returns when (monotonic)."""
    had = False
    while time.monotonic() < end:
        weights = product.weights()
        share = weights.b if live == "a" else weights.a
        if share > 0 and not had:
            say(f"  the new release gets {share:g} % of new visitors")
        had = had or share > 0
        if had and share == 0:
            return time.monotonic()
        time.sleep(0.1)
    raise TimedOutError(f"the weight never came and went ({tally.total()} requests)", explain(product.status()))


def _withdrawn(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Withdrawn" and condition(status, "ReleaseHealthy") == "False"


def report(outcome: Outcome) -> str:
    """Figures of one release for people."""
    lines = [f"  {outcome.version}: {outcome.tally.total()} requests in {outcome.seconds:.0f} s"]
    slots = sorted({slot for slot, _ in outcome.tally.answers})
    for slot in slots:
        found = {kind: count for (where, kind), count in outcome.tally.answers.items() if where == slot}
        failed = {kind: count for kind, count in found.items() if kind != "ok"}
        words = ", ".join(f"{count} x {kind}" for kind, count in sorted(failed.items())) or "no failure"
        lines.append(f"    slot {slot}: {sum(found.values())} answers, {words}")
    lines.append(f"    {outcome.visitors.report()}")
    if outcome.fault_to_zero is not None:
        lines.append(f"    from the first failed answer to weight 0: {outcome.fault_to_zero:.1f} s")
    return "\n".join(lines)


@dataclass(frozen=True)
class Stage:
    """Where it is played: a running engine, who comes by its Gateway, and the way of images into the cluster.

    `bring` returns what the engine's spec says of these images besides the version.
    """

    product: Product
    person: Callable[[], AbstractContextManager[Person]]
    bring: Callable[[list[images.Built]], Mapping[str, Any]]


def canary() -> str:
    """Both releases on the running demo of the devcluster; returns what clients noticed, for people."""
    cluster.require_running()

    def bring(built: list[images.Built]) -> Mapping[str, Any]:
        load(built)
        return {}

    return play(Stage(Product(Kubectl(admin_kubeconfig())), lambda: Person(preflight.HTTP_PORT), bring))


def play(stage: Stage) -> str:
    """Both releases, one after the other; returns what clients noticed, for people."""
    product = stage.product
    status = product.status()
    stable = status.get("version")
    if not stable or condition(status, "Ready") != "True":
        raise DevclusterError("the demo's engine is not ready", "make demo")
    good, bad = next_versions(stable)
    with step("two new releases built"):
        good_images, bad_images = good_release(good), bad_release(bad)
    of_good, of_bad = stage.bring(good_images), stage.bring(bad_images)
    with stage.person() as person:
        person.log_in(LOGIN, product.set_user(LOGIN, "viewer"))
        say(f"{stable} -> {good}: a good release")
        promoted = promote(product, person, good, changes=of_good)
        say(f"{good} -> {bad}: a release whose API fails after a while")
        withdrawn = withdraw(product, person, bad, changes=of_bad)
    product.patch_spec({"version": good, **of_good})
    product.wait_for(f"back at {good}", running(good), 120, tell=lambda line: say(f"  {line}"))
    return f"\nWhat clients noticed:\n{report(promoted)}\n{report(withdrawn)}\n"
