"""A pod that makes and removes folders on the edge's disk: on a cluster of somebody's there is no other way to it.

It is in a namespace of its own, which the demo makes and removes each time, since a folder of the node's is what the
Pod Security Standards `baseline` and `restricted` refuse.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from te_devcluster.commands import wait_until
from te_devcluster.console import step
from te_devcluster.errors import CommandError, DevclusterError, TimedOutError
from te_devcluster.kubectl import Manifest
from te_devcluster.storage import JOURNAL_USER

from te_demo.existing.access import ContextKubectl
from te_demo.existing.record import LABEL, Record, Thing
from te_demo.product import ENGINE, NAMESPACE

HAND_NAMESPACE = "tradingengine-demo"
POD = "edge-disk"
DISK = Path("/var/lib")
"""The folder of the node's that the pod sees, at ROOT."""
ROOT = Path("/node")
FOLDERS = (DISK / "tradingengine", DISK / "tradingengine" / "journals")
JOURNAL = FOLDERS[-1] / f"{NAMESPACE}-{ENGINE}"
FOLDER = "folder"
PULL_SECONDS = 300.0


def pod(node: str, image: str, mark: str) -> Manifest:
    """Root on the node's disk and nothing else: no token, no network of the node, a life of ten minutes at most."""
    security = {
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "hand",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "600"],
        "securityContext": security,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [{"name": "disk", "mountPath": str(ROOT)}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": HAND_NAMESPACE, "labels": {LABEL: mark}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 600,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "volumes": [{"name": "disk", "hostPath": {"path": str(DISK), "type": "Directory"}}],
        },
    }


def namespace(name: str, mark: str, labels: dict[str, str] | None = None) -> Manifest:
    """A namespace that says who made it."""
    metadata = {"name": name, "labels": {LABEL: mark, **(labels or {})}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


class Hand:
    """The pod, as long as the block lasts. The record holds its namespace meanwhile."""

    def __init__(self, kubectl: ContextKubectl, record: Record, node: str, image: str) -> None:
        self._kubectl = kubectl
        self._record = record
        self._node = node
        self._image = image
        self._thing = Thing("namespace", HAND_NAMESPACE)

    def __enter__(self) -> Hand:
        if self._kubectl.there("namespace", HAND_NAMESPACE) and not self._record.has("namespace", HAND_NAMESPACE):
            raise DevclusterError(
                f"there is a namespace {HAND_NAMESPACE} that the demo did not make",
                f"kubectl delete ns {HAND_NAMESPACE}",
            )
        self._record.note(self._thing)
        privileged = {"pod-security.kubernetes.io/enforce": "privileged"}
        self._kubectl.apply([namespace(HAND_NAMESPACE, self._record.mark, privileged)])
        wait_until(
            "the namespace's service account",
            lambda: self._kubectl.there("serviceaccount", "default", HAND_NAMESPACE),
            timeout=30,
        )
        # One of an interrupted run may have come to its end, and would never be ready again.
        self._kubectl.run("delete", "pod", POD, f"--namespace={HAND_NAMESPACE}", "--ignore-not-found", "--timeout=60s")
        self._kubectl.apply([pod(self._node, self._image, self._record.mark)])
        self._wait()
        return self

    def _wait(self) -> None:
        with step(f"a pod on {self._node} that sees the edge's disk"):
            where = f"--namespace={HAND_NAMESPACE}"
            arguments = ["wait", where, "--for=condition=Ready", f"pod/{POD}", f"--timeout={PULL_SECONDS:.0f}s"]
            try:
                self._kubectl.run(*arguments, timeout=PULL_SECONDS + 10)
            except CommandError as error:
                events = self._kubectl.run("get", "events", where, "--output=custom-columns=:.message", check=False)
                said = "\n".join(events.strip().splitlines()[-5:])
                raise TimedOutError(
                    f"the pod {HAND_NAMESPACE}/{POD} on the node {self._node} does not start:\n{said}",
                    "can the node pull its image? kubectl describe pod says more",
                ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:  # after a failure it is left for a look; the record has it
            self.remove()

    def remove(self) -> None:
        """The pod and its namespace."""
        self._kubectl.run("delete", "namespace", HAND_NAMESPACE, "--ignore-not-found", "--timeout=90s", timeout=100)
        self._record.done(self._thing)

    def exec(self, *command: str, check: bool = True) -> str:
        """Runs a command in the pod."""
        return self._kubectl.run("exec", f"--namespace={HAND_NAMESPACE}", POD, "--", *command, check=check)

    def there(self, folder: Path) -> bool:
        """Whether the node has it."""
        return self.exec("sh", "-c", 'test -d "$1" && echo yes || echo no', "sh", seen(folder)).strip() == "yes"

    def make_journal(self) -> None:
        """The folder of the engine's journal, of the edge's user, and those above it; each is noted first.

        DevclusterError when it holds something that the demo did not put there: an earlier engine's journal.
        """
        for folder in (*FOLDERS, JOURNAL):
            if not self.there(folder):
                self._record.note(Thing(FOLDER, str(folder), detail=self._node))
                self.exec("mkdir", "-m", "0755", seen(folder))
        if not self._record.has(FOLDER, str(JOURNAL)) and self.exec("ls", "-A", seen(JOURNAL)).strip():
            raise DevclusterError(
                f"the folder {JOURNAL} on the node {self._node} holds an earlier engine's journal",
                "move it away, or remove it, on that machine",
            )
        self.exec("chown", f"{JOURNAL_USER}:{JOURNAL_USER}", seen(JOURNAL))
        self.exec("chmod", "0770", seen(JOURNAL))

    def remove_folder(self, folder: Path) -> bool:
        """Removes the journal with all that is in it, or a folder above it if it is empty; whether it is gone."""
        if folder == JOURNAL:
            self.exec("rm", "-rf", seen(folder))
        else:
            self.exec("sh", "-c", 'rmdir "$1" 2>/dev/null || true', "sh", seen(folder))
        return not self.there(folder)


def seen(folder: Path) -> str:
    """Where the pod sees a folder of the node's."""
    return str(ROOT / folder.relative_to(DISK))
