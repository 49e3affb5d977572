"""Releases that go wrong, ours beside Flagger's on the same cluster, programs and Gateway: what clients noticed.

Flagger runs as its makers mean it, with the shortest interval that it takes (10 s) and a threshold of one failed check;
its metric is the Gateway's own count of answers, scraped each second. Both go by 10 % of the visitors at the fault.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from te_demo import faults
from te_demo.load import Answer, Damage, Load, damage
from te_demo.person import Person
from te_demo.preflight import HTTP_PORT
from te_demo.product import OPERATOR_NAMESPACE, Product, condition, engine_manifest, explain, running
from te_demo.up import bring_up, build_all, load
from te_demo.weights import WeightWatch
from te_devcluster import build, cluster, images
from te_devcluster.commands import wait_until
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Manifest

from bench.flagger import Flagger
from bench.measure import audit_lines
from bench.operator import calls_of

Row = tuple[str, str, str]
LOGIN = "bench"
RATE = 200.0
#: How long a release has had its first weight when it breaks.
GOOD_SECONDS = 5.0
#: Flagger looks no sooner than after this; its default is ten minutes.
FLAGGER_DEADLINE = 60
FAULTS: dict[str, Callable[[Product, list[Manifest]], object]] = {
    "every call answered by 500": lambda product, pods: faults.tell(product, pods, "fail 1"),
    "pods hang (SIGSTOP)": lambda _product, pods: faults.stop(pods),
}


@dataclass(frozen=True)
class Found:
    """One release that went wrong: what clients noticed from the fault on, all that failed, calls to the API server.

    `requests` and `failed` are of the whole rollout, `reads` and `writes` too.
    """

    noticed: Damage
    zero: float
    requests: int
    failed: int
    reads: int
    writes: int

    def __str__(self) -> str:
        last = f"{self.noticed.last:.1f} s" if self.noticed.last is not None else "none"
        return (
            f"last bad answer {last}, weight 0 after {self.zero:.1f} s; {self.failed} failed of {self.requests:,};"
            f" {self.reads} reads, {self.writes} writes"
        )


def found(answers: list[Answer], fault: float, zero: float, calls: tuple[int, int]) -> Found:
    """Figures of one rollout."""
    bad = sum(answer.bad for answer in answers)
    return Found(damage(answers, fault), zero - fault, len(answers), bad, *calls)


def rows() -> list[Row]:
    """(figure, ours, Flagger's) of each fault; brings the devcluster up and takes it down again."""
    built = build_all()
    spoiled = faults.faulty_image()
    build.build(["flagger"])
    try:
        product = bring_up(built)
        load([spoiled])
        _start(product)
        with Person(HTTP_PORT) as person:
            person.log_in(LOGIN, product.set_user(LOGIN, "viewer"))
            ours = {name: _ours(product, person, name) for name in FAULTS}
        with _flagger(product) as flagger, Person(HTTP_PORT, flagger.host) as person:
            person.log_in(LOGIN, product.set_user(LOGIN, "viewer"))
            theirs = {name: _theirs(flagger, person, name) for name in FAULTS}
    finally:
        left = cluster.down()
    if left:
        raise DevclusterError("still there:\n  " + "\n  ".join(left))
    return table(ours, theirs)


def table(ours: Mapping[str, Found], theirs: Mapping[str, Found]) -> list[Row]:
    """What stands in the documents."""
    result: list[Row] = []
    for name, mine in ours.items():
        other = theirs[name]
        result += [
            (f"{name}: from the fault to the last bad answer", _last(mine), _last(other)),
            (f"{name}: from the fault to weight 0", f"{mine.zero:.1f} s", f"{other.zero:.1f} s"),
            (f"{name}: failed requests of the whole rollout", _failed(mine), _failed(other)),
            (f"{name}: calls to the API server, reads and writes", _calls(mine), _calls(other)),
        ]
    return result


def _last(each: Found) -> str:
    return f"{each.noticed.last:.1f} s" if each.noticed.last is not None else "no bad answer"


def _failed(each: Found) -> str:
    return f"{each.failed} of {each.requests:,}"


def _calls(each: Found) -> str:
    return f"{each.reads} and {each.writes}"


def _start(product: Product) -> None:
    image = images.full_name(images.image_named("apps"), faults.TAG)
    version = images.project_version()
    steps = [{"weight": 10, "hold": "20m"}, {"weight": 100}]
    changes = {
        "images": {"api": image, "dashboard": image},
        "api": {"replicas": {"min": 2, "max": 2}},
        "rollout": {"steps": steps, "checks": [{"name": "error-rate", "failureLimit": 2}]},
    }
    product.apply(engine_manifest(version, changes))
    product.wait_for("engine running", running(version), 400, tell=lambda line: say(f"  {line}"))


def _ours(product: Product, person: Person, name: str) -> Found:
    """One release of ours that breaks at its first weight."""
    say(f"ours: {name}")
    since, user = _now(), _operator(product)
    weights = product.weights()
    slot = "b" if weights.a >= weights.b else "a"
    with Load(person, RATE) as clients, WeightWatch(product) as watch:
        product.patch_spec({"risk": {"dailyLoss": 1000 + int(time.monotonic()) % 100_000}})
        watch.wait(slot, lambda weight: weight > 0, 240, "the first weight")
        time.sleep(GOOD_SECONDS)
        pods = [pod for pod in product.pods("api") if pod["metadata"]["labels"]["tradingengine.io/slot"] == slot]
        fault = time.monotonic()
        FAULTS[name](product, pods)
        zero = watch.wait(slot, lambda weight: weight == 0, 300, "weight 0")
        _settle(product)
    calls = calls_of(audit_lines(), user, since, _now())
    result = found(clients.answers, fault, zero, (len(calls.reads), len(calls.writes)))
    say(f"  {result}")
    return result


def _theirs(flagger: Flagger, person: Person, name: str) -> Found:
    """One release of Flagger's that breaks at its first weight."""
    say(f"Flagger: {name}")
    flagger.wait_idle()
    since = _now()
    with Load(person, RATE) as clients, WeightWatch(flagger.route()) as watch:
        flagger.release()
        watch.wait("canary", lambda weight: weight > 0, 240, "the first weight")
        time.sleep(GOOD_SECONDS)
        fault = time.monotonic()
        FAULTS[name](flagger.product, flagger.canary_pods())
        zero = watch.wait("canary", lambda weight: weight == 0, 900, "weight 0")
        flagger.wait_idle()
    calls = calls_of(audit_lines(), flagger.user, since, _now())
    result = found(clients.answers, fault, zero, (len(calls.reads), len(calls.writes)))
    say(f"  {result}")
    return result


@contextmanager
def _flagger(product: Product) -> Iterator[Flagger]:
    flagger = Flagger(product, FLAGGER_DEADLINE)
    flagger.start()
    try:
        yield flagger
    finally:
        flagger.stop()


def _settle(product: Product) -> None:
    wait_until(
        "the release is withdrawn and left",
        lambda: (
            product.status()["release"].get("state") == "Withdrawn" and condition(product.status(), "Ready") == "True"
        ),
        timeout=240,
        every=1.0,
        hint=lambda: explain(product.status()),
    )


def _operator(product: Product) -> str:
    """Who the operator is for the API server."""
    listed: dict[str, Any] = product.kubectl.get("--namespace", OPERATOR_NAMESPACE, "deployments")
    account = listed["items"][0]["spec"]["template"]["spec"]["serviceAccountName"]
    return f"system:serviceaccount:{OPERATOR_NAMESPACE}:{account}"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def section(found_rows: list[Row], machine: str, load_before: float) -> str:
    """The part of docs/benchmarks.md."""
    about = (
        f"Measured by `make bench-releases` on {datetime.now(UTC).date().isoformat()}: {machine}. {RATE:g} requests/s"
        f" by the same Gateway to the same programs, the fault {GOOD_SECONDS:g} s after a release got 10 % of them."
        " Ours with the default checks; Flagger 1.44.0 with interval 10 s (its least), threshold 1 and"
        f" `progressDeadlineSeconds: {FLAGGER_DEADLINE}` (its default is 600). Watches are no calls."
    )
    lines = [
        about,
        f"Load average of the machine before: {load_before:.1f}, at the end: {os.getloadavg()[1]:.1f}.",
        "",
        "| figure | ours | Flagger |",
        "|---|---|---|",
        *(f"| {name} | {mine} | {theirs} |" for name, mine, theirs in found_rows),
    ]
    return "\n".join(lines) + "\n"
