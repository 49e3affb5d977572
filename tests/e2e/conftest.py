"""One full cluster for all tests, the product on it, and what is kept of a test that failed."""

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
from te_demo.preflight import API_PORT, HTTP_PORT
from te_demo.product import OPERATOR_NAMESPACE, Product
from te_demo.up import bring_up, build_all, start_engine
from te_devcluster import cluster, images
from te_devcluster.console import say
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import read_owner
from te_devcluster.paths import STATE_ROOT, admin_kubeconfig, checkout
from te_devcluster.storage import journal_path

from tests.host_network import Network, read_network
from tests.status_watch import StatusWatch

LOGIN = "tester"
ARTEFACTS = checkout() / "build" / "e2e"


@dataclass
class Desk:
    """Everything a test needs: the engine in its cluster, a person who is logged in, the edge's disk."""

    product: Product
    person: Person
    disk: EdgeDisk
    password: str
    start: StatusWatch | None
    """What `kubectl get te -w` saw from before the apply on; None when the demo was up already."""


REUSE = "TE_E2E_REUSE"
"""Set while one works on a test: the demo that is up is used, and stays up."""


@pytest.fixture(scope="session")
def reused() -> bool:
    """Whether the demo that is up is the one to work on."""
    up = read_owner() is not None and bool(cluster.running_processes())
    if up and not os.environ.get(REUSE):
        pytest.fail("a cluster is up; end it first: make demo-down (or devcluster/bin/devcluster down)")
    return up


@pytest.fixture(scope="session")
def host_before(reused: bool) -> Network:
    """The host's own network before anything is up; empty when a demo was up already."""
    return {} if reused else read_network()


@pytest.fixture(scope="session")
def cluster_up(reused: bool, host_before: Network) -> Iterator[Kubectl]:
    """The full cluster, once for all tests; it is taken down afterwards and must leave nothing."""
    if reused:
        yield Kubectl(admin_kubeconfig())
        return
    try:
        yield cluster.up(cluster.Ports(API_PORT, HTTP_PORT))
    finally:
        assert cluster.down() == []


@pytest.fixture(scope="module")
def desk(cluster_up: Kubectl, reused: bool) -> Iterator[Desk]:
    """The demo's engine, running."""
    if reused:
        with opened(Product(cluster_up), None) as made:
            yield made
        return
    product = bring_up(build_all())
    with StatusWatch(cluster_up.kubeconfig, product.namespace) as watch:
        try:
            start_engine(product, images.project_version())
        except BaseException:
            collect(product, ARTEFACTS / "start")
            raise
        watch.mark()
        with opened(product, watch) as made:
            yield made


@contextmanager
def opened(product: Product, start: StatusWatch | None) -> Iterator[Desk]:
    """A person at the running engine, once prices are there."""
    password = product.set_user(LOGIN, "admin")
    with Person(HTTP_PORT) as person:
        person.log_in(LOGIN, password)
        person.wait_status("live prices", lambda found: found["feed"]["state"] == "live", timeout=60)
        yield Desk(product, person, EdgeDisk(journal_path(product.namespace, product.engine)), password, start)


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
