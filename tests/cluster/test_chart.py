"""The chart on a real API server: installed, changed, refused, removed; are the operator's rights enough?"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from te_devcluster.api_server import ApiServer
from te_devcluster.commands import wait_until
from te_devcluster.errors import CommandError
from te_devcluster.kubectl import Kubectl
from te_devcluster.paths import checkout
from te_devcluster.tools import KUBERNETES_VERSION, gateway_crds, require
from tradingengine_operator.api import API_VERSION, KIND

from tests.measured import measured
from tests.unit.operator.builders.engines import all_manifests, context

pytestmark = pytest.mark.cluster

CHART = Path("helm/tradingengine")
SYSTEM = "te-system"
DESK = "trading"
RELEASE = "demo"
NAME = "demo-tradingengine"
POLICY = f"{SYSTEM}-{NAME}-requester"
VALUES = ("--set", f"watchNamespaces={{{DESK}}}", "--set", "images.redis=localhost/tradingengine-redis:dev")
CRD = "tradingengines.tradingengine.io"


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm and returns what it said, whether or not it succeeded."""
    command = [require("helm"), *arguments]
    if kubeconfig is not None:
        command += ["--kubeconfig", str(kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=checkout())


def helm_ok(server: ApiServer, *arguments: str) -> str:
    """Runs helm against the server; the test fails with helm's own words when it fails."""
    done = helm(*arguments, kubeconfig=server.kubeconfig)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(*arguments: str) -> list[dict[str, Any]]:
    """Objects that the chart makes."""
    done = helm("template", RELEASE, str(CHART), "-n", SYSTEM, f"--kube-version={KUBERNETES_VERSION}", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server of its own, since the chart owns the CRD; with the Gateway API and the desk's namespace."""
    with ApiServer() as api:
        crds = [
            path for path in gateway_crds().glob("*.yaml") if path.name.endswith(("_httproutes.yaml", "_gateways.yaml"))
        ]
        for path in sorted(crds):
            api.kubectl("apply", "--server-side", "-f", str(path))
        api.kubectl("create", "namespace", DESK)
        yield api


def seal(server: ApiServer) -> str:
    """The word by which the policy knows what it wrote itself."""
    found: str = server.get("mutatingadmissionpolicy", POLICY)["metadata"]["annotations"]["tradingengine.io/seal"]
    assert len(found) == 24
    return found


@pytest.fixture(scope="module")
def installed(server: ApiServer) -> ApiServer:
    """The chart, installed."""
    helm_ok(server, "install", RELEASE, str(CHART), "-n", SYSTEM, "--create-namespace", *VALUES)
    return server


@pytest.fixture(scope="module")
def operator(installed: ApiServer) -> Kubectl:
    """kubectl with the rights of the operator's ServiceAccount."""
    wait_until("the CRD", lambda: bool(installed.kubectl("get", "crd", CRD, "-o", "name")), timeout=20)
    return Kubectl(installed.service_account_kubeconfig(SYSTEM, NAME))


def test_lint_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("replicas=0", "at '/replicas'"),
        ("logLevel=loud", "at '/logLevel'"),
        ("colour=red", "additional properties 'colour' not allowed"),
        ("watchNamespaces={Trading}", "at '/watchNamespaces/0'"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value: str, words: str) -> None:
    done = helm("template", RELEASE, str(CHART), "--set", value)
    assert done.returncode != 0
    assert words in done.stderr


def test_an_old_cluster_is_refused() -> None:
    done = helm("template", RELEASE, str(CHART), "--kube-version=1.34.9")
    assert done.returncode != 0
    assert "1.35" in done.stderr


CHILD = "get list watch create patch delete"
#: What the code calls, and nothing else: a right that is added here needs a caller.
RIGHTS = {
    "tradingengines": "get list watch patch",
    "tradingengines/status": "patch",
    "tradingengines/finalizers": "update",
    "configmaps": CHILD,
    "services": CHILD,
    "serviceaccounts": CHILD,
    "secrets": "get create patch delete",
    "pods": "get list watch delete",
    "persistentvolumeclaims": "get delete",
    "events": "create list",
    "deployments": CHILD,
    "statefulsets": CHILD,
    "deployments/scale": "patch",
    "jobs": CHILD,
    "horizontalpodautoscalers": CHILD,
    "poddisruptionbudgets": CHILD,
    "networkpolicies": CHILD,
    "httproutes": "get list watch create patch",
}

CLUSTER_RIGHTS = {
    "gateways": "get",
    "tradingengines": "list watch patch",
    "namespaces": "get",
    "nodes": "list",
    "storageclasses": "get",
    "mutatingadmissionpolicies": "get",
    "mutatingadmissionpolicybindings": "get",
}


def test_no_right_is_wider_than_it_must_be() -> None:
    objects = rendered("--set", "watchNamespaces={a,b}")
    roles = [entry for entry in objects if entry["kind"] in {"Role", "ClusterRole"}]
    assert {entry["metadata"].get("namespace") for entry in roles} == {SYSTEM, "a", "b", None}
    for role in roles:
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            if "secrets" in rule["resources"]:
                assert not {"list", "watch"} & set(rule["verbs"])
    own = [role for role in roles if not role["metadata"]["name"].endswith("-uninstall")]
    assert {role["metadata"]["namespace"]: granted(role) for role in own if role["kind"] == "Role"} == {
        SYSTEM: {"leases": "get create update"},
        "a": RIGHTS,
        "b": RIGHTS,
    }
    assert [granted(role) for role in own if role["kind"] == "ClusterRole"] == [CLUSTER_RIGHTS]


def granted(role: dict[str, Any]) -> dict[str, str]:
    """Verbs by resource."""
    return {resource: " ".join(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}


def test_the_cluster_role_can_be_switched_off() -> None:
    objects = rendered("--set", "clusterRole.enabled=false")
    kinds = {entry["kind"] for entry in objects}
    assert not [kind for kind in kinds if kind.startswith("ClusterRole") or "AdmissionPolicy" in kind]
    deployment = next(entry for entry in objects if entry["kind"] == "Deployment")
    env = {
        entry["name"]: entry.get("value") for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert env["TE_CLUSTER_ROLE"] == "false"


def test_images_follow_one_registry() -> None:
    objects = rendered("--set", "image.registry=registry.test/desk")
    deployment = next(entry for entry in objects if entry["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    version = yaml.safe_load((checkout() / CHART / "Chart.yaml").read_text())["appVersion"]
    assert container["image"] == f"registry.test/desk/tradingengine-operator:{version}"
    assert env["TE_IMAGE_REGISTRY"] == "registry.test/desk"
    assert env["TE_IMAGE_POSTGRES"] == f"registry.test/desk/tradingengine-postgres:{version}"
    assert env["TE_NAMESPACES"] == SYSTEM


def test_installs_what_it_renders(installed: ApiServer) -> None:
    deployment = installed.get("deployment", NAME, "-n", SYSTEM)
    assert deployment["spec"]["replicas"] == 2
    assert installed.get("crd", CRD)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert installed.get("role", NAME, "-n", DESK)["rules"]
    assert installed.get("service", f"{NAME}-metrics", "-n", SYSTEM)["spec"]["ports"][0]["port"] == 8081


def test_a_changed_value_reaches_the_cluster(installed: ApiServer) -> None:
    before, sealed = installed.get("deployment", NAME, "-n", SYSTEM), seal(installed)
    helm_ok(installed, "upgrade", RELEASE, str(CHART), "-n", SYSTEM, *VALUES, "--set", "logLevel=DEBUG")
    assert seal(installed) == sealed, "names that were stamped count on"
    after = installed.get("deployment", NAME, "-n", SYSTEM)
    env = {entry["name"]: entry.get("value") for entry in after["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["TE_LOG_LEVEL"] == "DEBUG"
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    helm_ok(installed, "upgrade", RELEASE, str(CHART), "-n", SYSTEM, *VALUES, "--set", "logLevel=DEBUG")
    assert installed.get("deployment", NAME, "-n", SYSTEM)["metadata"]["generation"] == after["metadata"]["generation"]


def may(operator: Kubectl, verb: str, resource: str, namespace: str) -> bool:
    """Whether the operator's ServiceAccount may do that."""
    answer = operator.run("auth", "can-i", verb, resource, "-n", namespace, check=False)
    return answer.strip() == "yes"


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "allowed"),
    [
        ("get", "secrets", DESK, True),
        ("list", "secrets", DESK, False),
        ("watch", "secrets", DESK, False),
        ("get", "secrets", "default", False),
        ("patch", "tradingengines.tradingengine.io/status", DESK, True),
        ("create", "tradingengines.tradingengine.io", DESK, False),
        ("patch", "deployments.apps/scale", DESK, True),
        ("create", "pods", DESK, False),
        ("create", "pods/exec", DESK, False),
        ("delete", "pods", DESK, True),
        ("delete", "persistentvolumeclaims", DESK, True),
        ("create", "persistentvolumeclaims", DESK, False),
        ("list", "persistentvolumeclaims", DESK, False),
        ("update", "leases.coordination.k8s.io", SYSTEM, True),
        ("update", "leases.coordination.k8s.io", DESK, False),
        ("delete", "httproutes.gateway.networking.k8s.io", DESK, False),
        ("get", "gateways.gateway.networking.k8s.io", DESK, True),
        ("list", "gateways.gateway.networking.k8s.io", DESK, False),
        ("get", "nodes", DESK, False),
        ("list", "nodes", DESK, True),
        ("get", "namespaces", DESK, True),
        ("list", "namespaces", DESK, False),
        ("get", "storageclasses.storage.k8s.io", DESK, True),
        ("list", "events", DESK, True),
        ("list", "events", "default", False),
        ("patch", "tradingengines.tradingengine.io", "default", True),
        ("delete", "tradingengines.tradingengine.io", DESK, False),
        ("create", "roles.rbac.authorization.k8s.io", DESK, False),
    ],
)
def test_rights_of_the_operator(operator: Kubectl, verb: str, resource: str, namespace: str, allowed: bool) -> None:
    assert may(operator, verb, resource, namespace) is allowed


def test_the_operator_lets_an_engine_go_and_never_changes_what_it_is_to_be(
    installed: ApiServer, operator: Kubectl
) -> None:
    metadata = {"name": "policy", "namespace": DESK, "finalizers": ["example.com/hold"]}
    installed.apply([{"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"version": "1.4.2"}}])
    patch = ("patch", "te", "policy", "-n", DESK, "--type=merge", "-p")

    asked = itertools.count()

    def refused() -> bool:
        change = json.dumps({"spec": {"host": f"host{next(asked)}.localhost"}})
        return "never changes the spec" in str(try_run(operator, *patch, change))

    wait_until("the policy is in force", refused, timeout=20)
    operator.run(*patch, '{"metadata": {"finalizers": null, "annotations": {"example.com/a": "b"}}}')
    assert "finalizers" not in installed.get("te", "policy", "-n", DESK)["metadata"]
    installed.kubectl(*patch, '{"spec": {"paused": true}}')
    installed.kubectl("delete", "te", "policy", "-n", DESK)


def test_who_asked_is_the_api_servers_word_and_nobody_can_forge_it(installed: ApiServer) -> None:
    """On creation, on a change of the spec and on a new command; every other edit keeps the stamp as it is."""
    by, command = "tradingengine.io/requested-by", "tradingengine.io/command"

    def stamps() -> dict[str, str]:
        found: dict[str, str] = installed.get("te", "asked", "-n", DESK)["metadata"].get("annotations") or {}
        return found

    def change(user: str, **fields: Any) -> dict[str, str]:
        groups = ("--as-group=system:masters", f"--as={user}")
        installed.kubectl(*groups, "patch", "te", "asked", "-n", DESK, "--type=merge", "-p", json.dumps(fields))
        return stamps()

    def annotated(user: str, **values: str | None) -> dict[str, str]:
        return change(user, metadata={"annotations": {name.replace("__", "/"): text for name, text in values.items()}})

    forged = {"name": "asked", "namespace": DESK, "annotations": {by: "somebody else"}}
    made = {"apiVersion": API_VERSION, "kind": KIND, "metadata": forged, "spec": {"version": "1.4.2"}}

    def stamped() -> bool:
        installed.kubectl("delete", "te", "asked", "-n", DESK, "--ignore-not-found")
        installed.kubectl("--as=asha", "--as-group=system:masters", "create", "-f", "-", stdin=json.dumps(made))
        return stamps().get(by) == "asha"

    wait_until("the policy is in force", stamped, timeout=20)
    assert change("ben", spec={"host": "other.localhost"})[by] == "ben"
    for text in ("asha", None):
        assert annotated("chandra", **{by: text})[by] == "ben", "an edit without a change of the spec keeps it"
    assert annotated("chandra", **{"example.com/note": "x"})[by] == "ben"
    assert change("dev", metadata={"annotations": None})[by] == "ben"
    given = annotated("chandra", **{command: '{"id": "1"}', f"{command}-by": "asha"})
    assert (given[f"{command}-by"], given[by]) == ("chandra", "ben")
    assert annotated("dev", **{f"{command}-by": "asha"})[f"{command}-by"] == "chandra"
    gone = annotated("dev", **{command: None})
    assert f"{command}-by" not in gone
    assert f"{command}-by" not in annotated("dev", **{f"{command}-by": "asha"})
    # What was written while nobody stamped is taken away.
    binding = installed.get("mutatingadmissionpolicybinding", POLICY)
    installed.kubectl("delete", "mutatingadmissionpolicybinding", POLICY)
    forgery = {by: "the-boss", "tradingengine.io/seal": "guessed"}
    wait_until("nobody stamps", lambda: annotated("dev", **forgery)[by] == "the-boss", timeout=20)
    installed.apply([{**binding, "metadata": {"name": POLICY, "labels": binding["metadata"]["labels"]}}])
    wait_until("the policy is in force", lambda: by not in annotated("dev", **{"example.com/note": "y"}), timeout=20)
    assert change("ben", spec={"host": "third.localhost"})[by] == "ben"
    installed.kubectl("delete", "te", "asked", "-n", DESK)


def try_run(operator: Kubectl, *arguments: str) -> str | CommandError:
    """What kubectl says, or why it failed."""
    try:
        return operator.run(*arguments)
    except CommandError as error:
        return error


def apply_strictly(operator: Kubectl, manifests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Server-side apply with unknown fields refused; the objects as the server answers them."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    answer = operator.run(
        "apply", "--server-side", "--validate=strict", "--field-manager=tradingengine-operator", "-o", "json",
        "-f", "-", stdin=listed,
    )  # fmt: skip
    items: list[dict[str, Any]] = json.loads(answer)["items"]
    return items


def test_the_operators_rights_are_enough_for_every_child(operator: Kubectl) -> None:
    manifests = all_manifests(context(namespace=DESK))
    first = apply_strictly(operator, manifests)
    assert len(first) == len(manifests)
    second = apply_strictly(operator, manifests)
    assert [entry for entry in second if entry not in first] == [], "applying the same twice must change nothing"


def test_the_route_is_read_back_as_it_was_sent(operator: Kubectl) -> None:
    route = next(entry for entry in all_manifests(context(namespace=DESK)) if entry["kind"] == "HTTPRoute")
    stored = apply_strictly(operator, [route, *all_manifests(context(namespace=DESK))[:1]])
    assert next(entry for entry in stored if entry["kind"] == "HTTPRoute")["spec"] == route["spec"]


def run_hook(server: ApiServer) -> subprocess.CompletedProcess[str]:
    """Does what the hook's Job does, with the rights that the hook has, and ends the Job with its outcome.

    There are no nodes here, so the test stands in for the kubelet and the Job controller.
    """
    hook = f"{NAME}-uninstall"
    wait_until("the hook's Job", lambda: bool(waiting_jobs(server)), timeout=30)
    container = server.get("job", hook, "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0]
    done = subprocess.run(
        [sys.executable, "-m", "tradingengine_operator", *container["args"]],
        env={
            **measured(),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(checkout() / "operator"),
            "KUBECONFIG": str(server.service_account_kubeconfig(SYSTEM, hook)),
            **{entry["name"]: entry["value"] for entry in container["env"]},
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    now = "2026-01-01T00:00:00Z"
    ended = ("SuccessCriteriaMet", "Complete") if done.returncode == 0 else ("FailureTarget", "Failed")
    conditions = [
        {"type": entry, "status": "True", "lastTransitionTime": now, "lastProbeTime": now, "reason": "Test"}
        for entry in ended
    ]
    status: dict[str, Any] = {"startTime": now, "conditions": conditions}
    status |= {"succeeded": 1, "completionTime": now} if done.returncode == 0 else {"failed": 1}
    server.kubectl(
        "patch", "job", hook, "-n", SYSTEM, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": status}),
    )  # fmt: skip
    return done


def waiting_jobs(server: ApiServer) -> list[str]:
    """Jobs of the operator's namespace that have not ended; the hook's last one may still be there."""
    items = server.get("jobs", "-n", SYSTEM)["items"]
    return [entry["metadata"]["name"] for entry in items if "conditions" not in entry.get("status", {})]


def uninstall(server: ApiServer) -> tuple[int, str, str]:
    """helm uninstall with its hook: exit code, what helm said, what the hook said."""
    command = [require("helm"), "uninstall", RELEASE, "-n", SYSTEM, "--timeout=90s"]
    command += ["--kubeconfig", str(server.kubeconfig)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            hook = run_hook(server)
            said, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, said, hook.stderr


def test_removal_is_refused_while_an_engine_exists_and_then_keeps_the_crd(installed: ApiServer) -> None:
    engine = {"apiVersion": API_VERSION, "kind": KIND, "spec": {"version": "1.4.2"}}
    installed.apply([engine | {"metadata": {"name": "desk", "namespace": DESK}}])
    code, said, hook = uninstall(installed)
    assert code != 0, said
    assert "trading/desk" in hook
    assert installed.get("deployment", NAME, "-n", SYSTEM)["spec"]["replicas"] == 2
    installed.kubectl("delete", "te", "desk", "-n", DESK)
    code, said, hook = uninstall(installed)
    assert code == 0, said + hook
    with pytest.raises(CommandError, match="NotFound"):
        installed.get("deployment", NAME, "-n", SYSTEM)
    with pytest.raises(CommandError, match="NotFound"):
        installed.get("role", NAME, "-n", DESK)
    assert installed.get("crd", CRD)["spec"]["names"]["shortNames"] == ["te"]


def test_a_kept_crd_is_taken_over_by_the_next_installation(installed: ApiServer) -> None:
    helm_ok(installed, "install", RELEASE, str(CHART), "-n", SYSTEM, *VALUES)
    assert installed.get("deployment", NAME, "-n", SYSTEM)["spec"]["replicas"] == 2
