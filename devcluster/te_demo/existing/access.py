"""The cluster of the current kubeconfig context, through kubectl and helm of PATH or of the cache."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Kubectl
from te_devcluster.tools import HELM_VERSION, KUBERNETES_VERSION, PROGRAM, require

GROUPS = {"kubectl": ("kubernetes", KUBERNETES_VERSION), "helm": ("helm", HELM_VERSION)}


@dataclass(frozen=True)
class Access:
    """How a cluster is asked: the value of KUBECONFIG (empty: kubectl's default file) and the context in it."""

    kubeconfig: str
    context: str
    server: str


def program(name: str) -> str:
    """`kubectl` or `helm`: that of PATH, else the one that the devcluster's cache holds; DevclusterError if neither."""
    found = shutil.which(name)
    if found:
        return found
    try:
        return require(name)
    except DevclusterError as error:
        group, version = GROUPS[name]
        mend = f"install {name} {version} or newer, or build it (needs Go): {PROGRAM} build --only {group}"
        raise DevclusterError(f"no program `{name}`", mend) from error


class ContextKubectl(Kubectl):
    """kubectl and helm on one context. Failures raise CommandError with their own words."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.program = Path(program("kubectl"))
        self.kubeconfig = Path(access.kubeconfig.partition(os.pathsep)[0])

    @property
    def environment(self) -> dict[str, str]:
        """What kubectl and helm are told by environment: KUBECONFIG may name several files, a flag only one."""
        return {"KUBECONFIG": self.access.kubeconfig} if self.access.kubeconfig else {}

    def command(self, *arguments: str) -> list[str]:
        """The command that `run` runs."""
        return [str(self.program), f"--context={self.access.context}", *arguments]

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0) -> str:
        """Runs `kubectl ARGUMENTS` and returns its standard output."""
        return run(self.command(*arguments), stdin=stdin, check=check, timeout=timeout, env=self.environment).stdout

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = 240.0) -> str:
        """Runs helm on the same cluster and returns its standard output."""
        command = [program("helm"), f"--kube-context={self.access.context}", *arguments]
        return run(command, stdin=stdin, timeout=timeout, env=self.environment).stdout

    def there(self, kind: str, name: str, namespace: str = "") -> bool:
        """Whether such an object exists."""
        where = [f"--namespace={namespace}"] if namespace else []
        return bool(self.run("get", kind, name, *where, "--ignore-not-found", "--output=name").strip())


def current() -> Access:
    """The current context; DevclusterError when kubectl is not there or no context is chosen."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    command = [program("kubectl"), "config", "view", "--minify", "--output=json"]
    mend = "choose one: kubectl config get-contexts; kubectl config use-context NAME"
    try:
        found = json.loads(run(command, timeout=30).stdout)
    except DevclusterError as error:
        raise DevclusterError(f"no current context in the kubeconfig: {error.message}", mend) from error
    if not found.get("contexts") or not found.get("clusters"):
        raise DevclusterError("the kubeconfig has no current context", mend)
    return Access(_whole(kubeconfig), found["current-context"], found["clusters"][0]["cluster"].get("server", ""))


def _whole(kubeconfig: str) -> str:
    """Absolute paths: `make demo-down` may be typed elsewhere."""
    return os.pathsep.join(str(Path(path).absolute()) for path in kubeconfig.split(os.pathsep) if path)


def cluster_id(kubectl: Kubectl) -> str:
    """The uid of the namespace kube-system, which is made once in a cluster's life."""
    return str(kubectl.get("namespace", "kube-system")["metadata"]["uid"])
