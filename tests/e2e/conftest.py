"""The product on the full cluster, once per module, and what is kept of a test that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from te_demo.edge import EdgeDisk
from te_demo.person import Person
from te_demo.preflight import HTTP_PORT
from te_demo.product import OPERATOR_NAMESPACE, Product
from te_demo.up import bring_up, build_all, start_engine
from te_devcluster import cluster, images
from te_devcluster.console import say
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import read_owner
from te_devcluster.paths import STATE_ROOT, admin_kubeconfig, checkout
from te_devcluster.storage import journal_path

LOGIN = "tester"
ARTEFACTS = checkout() / "build" / "e2e"


@dataclass
class Desk:
    """Everything a test needs: the engine in its cluster, a person who is logged in, the edge's disk."""

    product: Product
    person: Person
    disk: EdgeDisk
    password: str


REUSE = "TE_E2E_REUSE"
"""Set while one works on a test: the demo that is up is used, and stays up."""


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """The demo's engine, running; the cluster is taken down afterwards and must leave nothing."""
    up = read_owner() is not None and bool(cluster.running_processes())
    if up and os.environ.get(REUSE):
        with opened(Product(Kubectl(admin_kubeconfig()))) as made:
            yield made
        return
    if up:
        pytest.fail("a cluster is up; end it first: make demo-down")
    built = build_all()
    try:
        product = bring_up(built)
        try:
            start_engine(product, images.project_version())
        except BaseException:
            collect(product, ARTEFACTS / "start")
            raise
        with opened(product) as made:
            yield made
    finally:
        assert cluster.down() == []


@contextmanager
def opened(product: Product) -> Iterator[Desk]:
    """A person at the running engine, once prices are there."""
    password = product.set_user(LOGIN, "admin")
    with Person(HTTP_PORT) as person:
        person.log_in(LOGIN, password)
        person.wait_status("live prices", lambda found: found["feed"]["state"] == "live", timeout=60)
        yield Desk(product, person, EdgeDisk(journal_path(product.namespace, product.engine)), password)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Logs, events and status of the moment of failure, before the next test changes them."""
    outcome = yield
    report = outcome.get_result()
    made = getattr(item, "funcargs", {}).get("desk")
    if report.when == "call" and report.failed and isinstance(made, Desk):
        folder = ARTEFACTS / re.sub(r"[^\w.-]+", "_", item.name)
        collect(made.product, folder)
        report.sections.append(("artefacts", str(folder)))


def collect(product: Product, folder: Path) -> None:
    """Writes what the cluster says about the engine right now; a part that fails is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    kubectl, namespace = product.kubectl, product.namespace
    views = {
        "pods.txt": ("get", "pods", "--all-namespaces", "--output=wide"),
        "events.txt": ("get", "events", f"--namespace={namespace}", "--sort-by=.lastTimestamp"),
        "engine.yaml": ("get", "tradingengine", f"--namespace={namespace}", "--output=yaml"),
        "objects.txt": ("get", "all,configmap,pvc,httproute", f"--namespace={namespace}"),
        "route.yaml": ("get", "httproute", f"--namespace={namespace}", "--output=yaml"),
        "pods.yaml": ("get", "pods", f"--namespace={namespace}", "--output=yaml"),
    }
    for name, arguments in views.items():
        (folder / name).write_text(kubectl.run(*arguments, check=False))
    for space in (namespace, OPERATOR_NAMESPACE):
        listed = kubectl.run("get", "pods", f"--namespace={space}", "--output=name", check=False).split()
        for pod in listed:
            for suffix, options in (("log", ()), ("previous.log", ("--previous",))):
                text = kubectl.run("logs", f"--namespace={space}", pod, "--tail=3000", *options, check=False)
                if text:
                    (folder / f"{pod.rpartition('/')[2]}.{suffix}").write_text(text)
    for log in (STATE_ROOT / "logs").glob("*.log"):
        lines = log.read_text(errors="replace").splitlines()[-500:]
        (folder / f"cluster-{log.name}").write_text("\n".join(lines))
    say(f"kept what the cluster said in {folder}")
