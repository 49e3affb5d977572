"""A real API server for fast tests: etcd and kube-apiserver in a network namespace of their own.

Any number of instances run beside each other and beside the full cluster; each has its own folders and its own free
port on 127.0.0.1. An instance whose owner died without cleaning up is removed when the next one starts.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from te_devcluster import network, ports
from te_devcluster.commands import uninterrupted
from te_devcluster.control_plane import ControlPlane
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Kubectl, Manifest
from te_devcluster.paths import RUN_ROOT, STATE_ROOT
from te_devcluster.pki import write_kubeconfig
from te_devcluster.processes import ProcessRecord, ProcessTable, marked_processes, record_of, stop_records
from te_devcluster.tools import require

INSTANCES = RUN_ROOT / "api"
STATES = STATE_ROOT / "api"
_COUNTER = itertools.count()
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


class ApiServer:
    """A control plane without nodes, as a context manager.

    `controllers` adds kube-controller-manager (garbage collection, Deployments, namespaces that end), `scheduler` the
    scheduler. With `owned=False` the instance outlives this process until `destroy_instance` or `devcluster down`.

    >>> with ApiServer() as api:  # doctest: +SKIP
    ...     api.kubectl("get", "namespaces")
    """

    def __init__(
        self,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        name: str | None = None,
        port: int | None = None,
        owned: bool = True,
    ) -> None:
        self.name = check_name(name) if name else f"{os.getpid():x}{next(_COUNTER):x}{secrets.token_hex(2)}"
        self._controllers = controllers
        self._scheduler = scheduler
        self._owned = owned
        self._port = port
        self._plane: ControlPlane | None = None

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def plane(self) -> ControlPlane:
        """The running control plane; DevclusterError before `start`."""
        if self._plane is None:
            raise DevclusterError("this API server was not started")
        return self._plane

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.plane.kubeconfig

    @property
    def kubectl_path(self) -> Path:
        """The kubectl program that belongs to this server."""
        return Path(require("kubectl"))

    @property
    def audit_log(self) -> Path:
        """The audit log: one JSON event per line for every request of a person, a test or a product's component."""
        return self.plane.audit_log

    @property
    def namespace(self) -> str:
        """The network namespace it lives in."""
        return f"te-api-{self.name}"

    def start(self) -> None:
        """Starts it and returns when it is ready (3 to 6 s); on any error nothing is left."""
        if os.geteuid() != 0:
            raise DevclusterError("an API server in a network namespace of its own needs root", "run it as root")
        clean_stale()
        owner = record_of(os.getpid(), "owner") if self._owned else None
        claim_instance(self.name, owner)
        try:
            self._start()
        except BaseException:
            destroy_instance(self.name)
            raise

    def _start(self) -> None:
        state = STATES / self.name
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        state.chmod(0o700)
        table = ProcessTable(INSTANCES / self.name, state / "logs")
        plane = ControlPlane(self.namespace, state, table, self._port or ports.free_port())
        network.create_hub(self.namespace)
        plane.prepare()
        plane.start_api()
        if self._controllers:
            plane.start_controllers()
        if self._scheduler:
            plane.start_scheduler()
        self._plane = plane

    def stop(self) -> None:
        """Ends it and removes its files; may be called twice."""
        destroy_instance(self.name)
        self._plane = None

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl as administrator and returns its standard output; CommandError when it fails."""
        return Kubectl(self.kubeconfig).run(*arguments, stdin=stdin)

    def get(self, *arguments: str) -> Manifest:
        """`kubectl get ... -o json` as administrator, parsed."""
        return Kubectl(self.kubeconfig).get(*arguments)

    def apply(self, manifests: Sequence[Manifest]) -> None:
        """Server-side applies objects as administrator."""
        Kubectl(self.kubeconfig).apply(manifests)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig that logs in as a ServiceAccount (which must be there) by a token of an hour."""
        token = self.kubectl("create", "token", name, f"--namespace={namespace}").strip()
        path = STATES / self.name / f"kubeconfig-{namespace}-{name}"
        return write_kubeconfig(path, self.plane.server, self.plane.pki.ca_data(), {"token": token}, namespace)


def check_name(name: str) -> str:
    """The name itself; DevclusterError for what is no name. It becomes folders that are removed with all in them."""
    if not _NAME.fullmatch(name):
        raise DevclusterError(f"`{name}` is no name of an API server", "use up to 40 small letters, digits and dashes")
    return name


def lock_folder(name: str) -> Path:
    """Where commands on a named instance take turns; outlives the instance, and is no instance itself."""
    return INSTANCES / f".{check_name(name)}"


def claim_instance(name: str, owner: ProcessRecord | None) -> None:
    """Makes the instance's run directory, its owner written down in the same moment; refuses a name in use."""
    INSTANCES.mkdir(parents=True, exist_ok=True)
    draft = INSTANCES / f".{name}-{os.getpid()}"
    draft.mkdir()
    (draft / "owner.json").write_text(json.dumps(asdict(owner) if owner else None))
    try:
        draft.rename(INSTANCES / name)
    except OSError as error:
        shutil.rmtree(draft)
        mend = f"devcluster/bin/devcluster down --profile api --name {name}"
        raise DevclusterError(f"an API server named `{name}` is there already", mend) from error


def instances() -> dict[str, ProcessRecord | None]:
    """The instances there are, each with its owner (None: kept until it is taken down by name)."""
    found: dict[str, ProcessRecord | None] = {}
    for path in INSTANCES.glob("[!.]*/owner.json"):
        try:
            text = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        found[path.parent.name] = ProcessRecord(**text) if text else None
    return found


def running(name: str) -> bool:
    """True when the instance is there and its API server runs (after a restart of the machine only its files are)."""
    return ProcessTable(INSTANCES / check_name(name), STATES / name / "logs").alive("kube-apiserver")


def clean_stale() -> None:
    """Removes what instances left whose owner has ended."""
    for name, owner in instances().items():
        if owner is not None and not owner.alive():
            destroy_instance(name)


def destroy_instance(name: str) -> None:
    """Ends an instance's processes and removes its namespace and files; nothing happens when there is none."""
    run_dir = INSTANCES / check_name(name)
    if not run_dir.is_dir():
        return
    with uninterrupted("cleaning up; a moment"):
        _destroy(name, run_dir)


def _destroy(name: str, run_dir: Path) -> None:
    table = ProcessTable(run_dir, STATES / name / "logs")
    table.stop(["kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "relay-api"], 1.0)
    table.stop(["etcd"], 1.0)
    stop_records(marked_processes(run_dir), 1.0)
    try:
        network.delete(f"te-api-{name}")
    except CommandError:
        if network.exists(f"te-api-{name}"):  # else another process that cleans up was faster
            raise
    shutil.rmtree(STATES / name, ignore_errors=True)
    shutil.rmtree(run_dir, ignore_errors=True)
