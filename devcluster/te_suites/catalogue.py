"""The suites as data. A new one is an entry here; `make suite-NAME` runs it, `make test-all` runs them all."""

from __future__ import annotations

from dataclasses import dataclass

from te_devcluster.errors import DevclusterError
from te_devcluster.tools import group_named

PYTEST = ("-m", "pytest", "-ra", "--durations=5", "--durations-min=5")


@dataclass(frozen=True)
class Suite:
    """One suite.

    `arguments` follow the Python of the environment. `inputs` are tracked files and folders: a change in one makes the
    suite due. `tools` are groups of `devcluster/tools`, built before it and inputs too. `packages` are Debian's.
    `alone` says that it needs the machine's one full cluster. `by_hand` is for one that has not yet passed as a whole:
    it is listed and can be run, and no check begins it by itself.
    """

    name: str
    about: str
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    tools: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    alone: bool = False
    by_hand: bool = False

    def paths(self) -> tuple[str, ...]:
        """All that it reads, tools' folders included."""
        return (*self.inputs, *dict.fromkeys(f"devcluster/tools/{group_named(name).module}" for name in self.tools))


CLUSTER_TOOLS = (
    "containerd", "coredns", "etcd", "gateway-api", "helm", "kubernetes", "local-path-provisioner",
    "metrics-server", "pause", "probe", "remove-pods",
)  # fmt: skip
"""What the full cluster is made of."""
CONTEXTS_AND_IMPORTS = (
    "__init__", "commands", "console", "contexts", "errors", "lock", "paths", "processes",
)  # fmt: skip
"""Modules that take part in preparing wheels; a unit test holds that it is all of them."""

STATES = "tests/suites/hostile/test_any_change_and_back.py"
OPERATED = (
    "Makefile", "devcluster/te_devcluster", "helm", "operator", "pyproject.toml", "requirements", "tests/cluster",
    "tests/conftest.py", "tests/measured.py", "tests/waiting.py",
)  # fmt: skip
"""What tests of operator processes on an API server depend on."""

OPERATED_TOOLS = ("etcd", "gateway-api", "helm", "kubernetes")

SUITES: tuple[Suite, ...] = (
    Suite(
        "install",
        "environments and wheels from an index in which every locked package has a newer, broken release",
        (*PYTEST, "-m", "suite", "tests/suites/install"),
        (
            "Makefile",
            "pyproject.toml",
            "requirements",
            *(f"devcluster/te_devcluster/{name}.py" for name in CONTEXTS_AND_IMPORTS),
            "tests/conftest.py",
            "tests/suites/install",
            "tests/unit/install/locks.py",
        ),
    ),
    Suite(
        "existing-cluster",
        "docs/admin/existing-cluster.md word by word, on two nodes that are seen only through a kubeconfig",
        (*PYTEST, "-m", "pages", "tests/pages/test_existing_cluster.py", "--verbose", "--capture=no", "--exitfirst"),
        # `make test` tries the programs themselves, `apps` and `contract`; what is tried here is the way to a cluster.
        (
            "Makefile",
            "apps/tradingengine/dashboard/frontend/package-lock.json",
            "demo",
            "devcluster/bin",
            "devcluster/te_demo",
            "devcluster/te_devcluster",
            "docs/admin/existing-cluster.md",
            "helm",
            "images",
            "operator",
            "pyproject.toml",
            "requirements",
            "tests/conftest.py",
            "tests/e2e/conftest.py",
            "tests/host_network.py",
            "tests/pages",
            "tests/status_watch.py",
        ),
        tools=CLUSTER_TOOLS,
        packages=("docker-registry", "skopeo"),
        alone=True,
    ),
    Suite(
        "desk",
        "a desk without a cluster as a person uses it: edit, break, kill, end, come back",
        (*PYTEST, "--numprocesses=2", "-m", "suite", "tests/suites/desk"),
        (
            "Makefile",
            "apps",
            "contract",
            "demo",
            "devcluster/te_demo",
            "devcluster/te_desk",
            "devcluster/te_devcluster",
            "images",
            "pyproject.toml",
            "requirements",
            "tests/conftest.py",
            "tests/integration/conftest.py",
            "tests/integration/desk",
            "tests/integration/servers.py",
            "tests/measured.py",
            "tests/suites/desk",
        ),
    ),
    Suite(
        "healthy-start",
        "no status and no event of a healthy start, promotion or change of tokens speaks of failure",
        (*PYTEST, "-m", "suite", "tests/suites/healthy"),
        (*OPERATED, "tests/healthy.py", "tests/status_watch.py", "tests/suites/healthy"),
        tools=OPERATED_TOOLS,
    ),
    Suite(
        "interrupted",
        "starts and demos that were interrupted leave no process, no file and no object",
        (*PYTEST, "--numprocesses=2", "-m", "suite", "tests/suites/interrupted"),
        (
            "Makefile",
            "demo",
            "devcluster/bin",
            "devcluster/te_demo",
            "devcluster/te_devcluster",
            "helm",
            "images",
            "operator",
            "pyproject.toml",
            "requirements",
            "tests/cluster",
            "tests/conftest.py",
            "tests/pages",
            "tests/suites/interrupted",
        ),
        tools=OPERATED_TOOLS,
    ),
    Suite(
        "hostile",
        "the operator against what users, clusters and accidents do to it, on an API server with controllers",
        (*PYTEST, "--numprocesses=2", "--dist=loadfile", "-m", "suite", "tests/suites/hostile", f"--ignore={STATES}"),
        (*OPERATED, "tests/suites/hostile"),
        tools=OPERATED_TOOLS,
        packages=("faketime",),
        by_hand=True,
    ),
    Suite(
        "releases",
        "releases that hang, fail, slow down or go back, on pods; and the operator killed at every await",
        (*PYTEST, "-m", "suite", "tests/suites/releases", "--capture=no"),
        (
            "Makefile",
            "apps",
            "contract",
            "demo",
            "devcluster/te_demo",
            "devcluster/te_devcluster",
            "helm",
            "images",
            "operator",
            "pyproject.toml",
            "requirements",
            "tests/conftest.py",
            "tests/e2e/conftest.py",
            "tests/host_network.py",
            "tests/status_watch.py",
            "tests/suites/releases",
            "tests/unit/operator",
        ),
        tools=CLUSTER_TOOLS,
        alone=True,
        by_hand=True,
    ),
    # Ten operators take both cores for ten minutes, so it has none of the others beside it.
    Suite(
        "hostile-states",
        "200 generated changes of an engine, each with one fault, and back: each comes to rest, and nothing is lost",
        (*PYTEST, "-m", "suite", STATES),
        (*OPERATED, "tests/suites/hostile"),
        tools=OPERATED_TOOLS,
        by_hand=True,
    ),
)


def suite_named(name: str, suites: tuple[Suite, ...] = SUITES) -> Suite:
    """The suite of that name; DevclusterError lists the names there are."""
    for suite in suites:
        if suite.name == name:
            return suite
    raise DevclusterError(f"no suite `{name}`", f"one of: {', '.join(suite.name for suite in suites)}")
