"""docs/admin/existing-cluster.md word by word, on a cluster that is seen only through a kubeconfig.

The tests share it and run in the order they stand in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from te_demo.existing.hand import FOLDERS, JOURNAL
from te_demo.existing.record import all_records
from te_demo.preflight import API_PORT
from te_demo.product import OPERATOR_NAMESPACE
from te_devcluster import cluster
from te_devcluster.commands import wait_until
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import standing_owner
from te_devcluster.paths import checkout
from te_devcluster.ports import free_port
from te_devcluster.tools import gateway_crds

from tests.pages import rented
from tests.pages.rented import Rented, everything, wait_same
from tests.pages.runner import Shell, Step, lines_of, steps_by_line

pytestmark = pytest.mark.pages

PAGE = checkout() / "docs" / "admin" / "existing-cluster.md"
ARTEFACTS = checkout() / "build" / "pages"
KUBECONFIG = ARTEFACTS / "yours" / "kubeconfig"
EDGE = "edge"
YOURS = ("KUBECONFIG", "REGISTRY", "NODE")


@pytest.fixture(scope="module")
def registry_port() -> int:
    """Where the registry listens on 127.0.0.1."""
    return free_port()


@pytest.fixture(scope="module")
def registry(registry_port: int) -> str:
    """The user's place in it, as REGISTRY names it."""
    return f"localhost:{registry_port}/desk"


@pytest.fixture(scope="module")
def steps(registry: str) -> dict[int, Step]:
    """What the page has its reader do, by line; PageError when that cannot be followed."""
    return steps_by_line(PAGE, dict(zip(YOURS, (str(KUBECONFIG), registry, EDGE), strict=True)))


@pytest.fixture(scope="module")
def there(steps: dict[int, Step], registry_port: int) -> Iterator[Rented]:
    """The cluster, and nothing of a demo in any. Not before the page was read: bringing it up takes a minute."""
    assert steps
    if standing_owner() is not None:
        pytest.fail("a cluster is up; end it first: make demo-down (or devcluster/bin/devcluster down)")
    assert not all_records(), "a demo is in some cluster; take it away first: make demo-down"
    try:
        yield rented.bring_up(KUBECONFIG, API_PORT, registry_port)
    finally:
        assert cluster.down() == []
        KUBECONFIG.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def before(there: Rented) -> dict[str, str]:
    """All objects before the page is followed."""
    assert not [folder for folder in (*FOLDERS, JOURNAL) if folder.exists()], "an earlier demo's folders are there"
    return everything(there.kubectl)


@pytest.fixture(scope="module")
def shell(there: Rented, before: dict[str, str]) -> Iterator[Shell]:
    """The user's shell, in the checkout. KUBECONFIG is the page's to set."""
    environment = {name: value for name, value in there.environment.items() if name != "KUBECONFIG"}
    with Shell(checkout(), environment) as made:
        yield made


def demo(there: Rented, *arguments: str) -> subprocess.Popen[str]:
    """`te_demo` as the user would start it, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "te_demo", *arguments],
        cwd=checkout(),
        env={**os.environ, **there.environment, "PYTHONPATH": str(checkout() / "devcluster")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_all_that_is_missing_is_said_at_once_and_nothing_is_changed(there: Rented, before: dict[str, str]) -> None:
    refused = demo(there, "up", "--cluster", "current")
    said, _ = refused.communicate(timeout=300)
    assert refused.returncode == 1
    missing = [line.split("  ", 1)[1].split(":")[0] for line in said.splitlines() if line.startswith("MISSING")]
    assert missing == ["way for images", "Gateway API", "Gateway", "node of the edge"], said
    assert said.count("mend: ") == len(missing)
    assert "nothing was changed" in said
    assert all_records() == []
    wait_same(there.kubectl, before)


@pytest.mark.parametrize("line", lines_of(PAGE, YOURS))
def test_the_page(line: int, steps: dict[int, Step], shell: Shell) -> None:
    steps[line].follow(shell)


def test_the_demo_ended_with_an_address_that_its_own_words_make(shell: Shell) -> None:
    assert "dashboard   http://desk.localhost:" in shell.said
    assert "as long as this runs: kubectl -n gateway port-forward service/traefik" in shell.said
    assert "make demo-canary CLUSTER=current" in shell.said
    assert "from the first failed answer to weight 0" in shell.said


def test_exactly_what_was_there_before_is_there(there: Rented, before: dict[str, str]) -> None:
    assert all_records() == []
    wait_same(there.kubectl, before)
    assert not [folder for folder in (*FOLDERS, JOURNAL) if folder.exists()]


def test_an_interrupted_demo_is_taken_away_too(there: Rented, before: dict[str, str], registry: str) -> None:
    prepare(there.kubectl)
    prepared = everything(there.kubectl)
    begun = demo(there, "up", "--cluster", "current", "--registry", registry, "--edge-node", EDGE)
    try:
        wait_until(
            "the engine is noted",
            lambda: begun.poll() is not None or any(thing.kind == "engine" for thing in things()),
            timeout=300,
            every=0.05,
        )
        time.sleep(2)  # in the middle of what follows, wherever that is
    finally:
        os.killpg(begun.pid, signal.SIGINT)
        said, _ = begun.communicate(timeout=60)
    assert begun.returncode == 130, said
    made = {thing.kind for thing in things()}
    assert made == {"label", "namespace", "crd", "release", "storageclass", "folder", "persistentvolume", "engine"}
    ended = demo(there, "down")
    said, _ = ended.communicate(timeout=400)
    assert ended.returncode == 0, said
    assert "the plain devcluster is no demo's and stays up" in said
    assert all_records() == []
    wait_same(there.kubectl, prepared)
    assert not there.kubectl.run("get", "ns", OPERATOR_NAMESPACE, "--ignore-not-found")
    assert not [folder for folder in (*FOLDERS, JOURNAL) if folder.exists()]


def prepare(kubectl: Kubectl) -> None:
    """What the page has its reader do first, but for the edge's node."""
    kubectl.apply_path(gateway_crds())
    kubectl.run("wait", "--for=condition=Established", "crd/gateways.gateway.networking.k8s.io")
    kubectl.apply_path(checkout() / rented.GATEWAY_FILE)
    kubectl.run("--namespace=gateway", "wait", "--for=condition=Programmed", "gateway/web", "--timeout=120s")


def things() -> list[Any]:
    """What the record holds right now."""
    return [thing for record in all_records() for thing in record.things]
