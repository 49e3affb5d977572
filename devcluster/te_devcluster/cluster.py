"""The full cluster: bringing it up, taking it down, and making sure that nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from te_devcluster import addons, host, network, relay, storage
from te_devcluster.commands import run, uninterrupted, wait_until
from te_devcluster.console import say, step
from te_devcluster.control_plane import ControlPlane
from te_devcluster.errors import CommandError, DevclusterError, TimedOutError
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import Owner, exclusive, forget_owner, new_owner, read_owner, standing_owner, table, write_owner
from te_devcluster.node import OWN_FOLDERS, PAUSE_IMAGE, Node
from te_devcluster.paths import MARK_DIR, RUN_ROOT, STATE_ROOT, admin_kubeconfig
from te_devcluster.processes import marked_processes, stop_records
from te_devcluster.system_images import SYSTEM_IMAGES, ensure_system_images
from te_devcluster.tools import PROGRAM, gateway_crds, require, traefik
from te_devcluster.workers import Workers, result_of

READY_TIMEOUT = 120.0


@dataclass(frozen=True)
class Ports:
    """Where the host finds the cluster on 127.0.0.1."""

    api: int = 6443
    http: int = 8080


def control_plane(api_port: int) -> ControlPlane:
    """The full cluster's control plane."""
    return ControlPlane(network.HUB, STATE_ROOT, table(), api_port)


def nodes(plane: ControlPlane, plain: bool = False) -> list[Node]:
    """The two nodes."""
    return [Node(net, plane, plain) for net in network.NODES]


def require_root() -> None:
    """Network namespaces, mounts and cgroups need root."""
    if os.geteuid() != 0:
        raise DevclusterError("the cluster needs root", "run it as root")


def require_running() -> Owner:
    """The owner record of a running cluster of this checkout, for root.

    DevclusterError when there is none, it is another's, or one is not root.
    """
    owner = standing_owner()
    if owner is None or not owner.ready:
        raise DevclusterError("no cluster is up", "devcluster/bin/devcluster up")
    if not owner.mine():
        raise owner.refusal()
    require_root()  # kubeconfig, sockets and namespaces are root's: better said here than by each tool in its words
    return owner


def running_processes() -> list[str]:
    """Names of the cluster's processes that run."""
    return table().running()


def up(ports: Ports, plain: bool = False) -> Kubectl:
    """Brings the cluster up, or finds it up already (on whatever ports); on an error or interrupt nothing is left.

    `plain` leaves out what the product asks of a cluster: Gateway, and label, taint and StorageClass of the edge.
    Raises OwnedByAnotherError when another checkout's cluster runs, DevclusterError for ports in use or tools that
    are not there, TimedOutError with the last log lines when a part does not become ready.
    """
    require_root()
    with exclusive():
        owner = read_owner()
        if owner is not None and not owner.mine() and running_processes():
            raise owner.refusal()
        if owner is not None and owner.ready and intact():
            if owner.plain != plain:
                kind = "plain" if owner.plain else "full"
                raise DevclusterError(f"a cluster is up already, a {kind} one", f"{PROGRAM} down")
            say("the cluster is up already")
            return Kubectl(admin_kubeconfig())
        clean()
        check_before(ports, plain)
        mine = new_owner(ports.api, ports.http, plain=plain)
        write_owner(mine)
        try:
            kubectl = _start(ports, plain)
            write_owner(replace(mine, ready=True))
        except BaseException as error:
            with uninterrupted("cleaning up; a moment"):
                cause = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                say(f"{cause}: taking down what was started")
                _keep_logs()
                clean()
            raise
        return kubectl


def intact() -> bool:
    """True when every process that was started still runs."""
    records = table().records()
    return bool(records) and all(record.alive() for record in records)


def check_before(ports: Ports, plain: bool = False) -> None:
    """Refuses to start what could not end well: missing tools, ports in use."""
    for binary in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"):
        require(binary)
    for binary in ("kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "remove-pods", "local-path-provisioner"):
        require(binary)
    wanted = [(ports.api, "--api-port")]
    if not plain:
        traefik()
        gateway_crds()
        wanted.append((ports.http, "--http-port"))
    for port, option in wanted:
        if relay.port_taken(port):
            raise DevclusterError(f"port {port} on 127.0.0.1 is in use", f"name another with {option}")


def _start(ports: Ports, plain: bool) -> Kubectl:
    STATE_ROOT.mkdir(parents=True, exist_ok=True)
    STATE_ROOT.chmod(0o711)
    plane = control_plane(ports.api)
    with step("images of the cluster's own pods"):
        archives = ensure_system_images()
    with step("certificates, namespaces"):
        host.raise_inotify_limit()
        host.make_mount_points(list(OWN_FOLDERS))
        plane.prepare(network.NODES)
        network.create_hub(network.HUB)
        network.create_nodes()
    both = nodes(plane, plain)
    # containerd and its images need no API server: they start beside it.
    with Workers(len(both)) as pool:
        runtimes = [pool.submit(_start_runtime, node, archives) for node in both]
        with step("API server ready"):
            plane.start_api()
        plane.start_controllers()
        plane.start_scheduler()
        with step("container runtimes ready, images imported"):
            for runtime in runtimes:
                result_of(runtime)
    for node in both:
        node.start_kubelet()
    kubectl = Kubectl(plane.kubeconfig)
    with step("add-ons applied"):
        _start_addons(plane, kubectl, ports, plain)
    with step("nodes and DNS ready" if plain else "nodes, DNS and Gateway ready"):
        wait_ready(plane, kubectl, plain)
    return kubectl


def _start_runtime(node: Node, archives: dict[str, Path]) -> None:
    node.start_runtime()
    for image in SYSTEM_IMAGES:
        if image.edge or node.name == "cloud" or node.plain:  # no taint keeps their pods from the edge
            node.import_image(archives[image.name])
    node.pin(PAUSE_IMAGE)


def _start_addons(plane: ControlPlane, kubectl: Kubectl, ports: Ports, plain: bool) -> None:
    if plain:
        _start_storage(plane, kubectl, journals=False)
        return
    # The Gateway's CRDs are large and slow to apply; nothing else waits for them.
    with Workers(2) as pool:
        parts = [pool.submit(_start_gateway, plane, kubectl, ports), pool.submit(_start_storage, plane, kubectl)]
        for part in parts:
            result_of(part)


def _start_gateway(plane: ControlPlane, kubectl: Kubectl, ports: Ports) -> None:
    kubectl.apply_path(gateway_crds())
    names = [f"crd/{name}.gateway.networking.k8s.io" for name in ("gatewayclasses", "gateways", "httproutes")]
    kubectl.run("wait", "--for=condition=Established", "--timeout=30s", *names)
    command = network.inside(network.HUB, addons.traefik_command(traefik()))
    plane.table.start("traefik", command, {"KUBECONFIG": str(plane.inner_kubeconfig)})
    plane.start_relay("relay-http", [f"{ports.http}={network.HUB_ADDRESS}:{addons.GATEWAY_PORT}"])
    kubectl.apply(addons.gateway())


def _start_storage(plane: ControlPlane, kubectl: Kubectl, *, journals: bool = True) -> None:
    config = json.dumps(storage.provisioner_config())
    helper = json.dumps(storage.helper_pod())
    kubectl.apply(
        [
            *addons.coredns(),
            *addons.metrics_server(),
            *storage.storage_classes()[: None if journals else 1],
            *storage.provisioner_objects(config, helper),
        ]
    )
    folder = STATE_ROOT / "local-path"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config)
    (folder / "helperPod.yaml").write_text(helper)
    command = [require("local-path-provisioner"), "start", f"--config={folder / 'config.json'}"]
    command += [f"--kubeconfig={plane.inner_kubeconfig}", f"--namespace={storage.PROVISIONER_NAMESPACE}"]
    command += [f"--helper-pod-file={folder / 'helperPod.yaml'}", "--configmap-name=local-path-config"]
    plane.table.start("local-path-provisioner", network.inside(network.HUB, command))


def wait_ready(plane: ControlPlane, kubectl: Kubectl, plain: bool = False) -> None:
    """Waits for both nodes, CoreDNS, the Gateway if it has one; metrics follow within half a minute, unwaited for."""
    end = time.monotonic() + READY_TIMEOUT

    def watch(*arguments: str) -> None:
        left = max(1, int(end - time.monotonic()))
        kubectl.run("wait", f"--timeout={left}s", *arguments, timeout=left + 10)

    wait_until(
        "both nodes registered",
        lambda: _all_alive(plane) and len(kubectl.get("nodes")["items"]) == len(network.NODES),
        timeout=READY_TIMEOUT,
        every=0.3,
        hint=lambda: plane.table.log_tail("kubelet-cloud"),
    )
    try:
        watch("--for=condition=Ready", "node", "--all")
        if not plain:
            watch("--for=condition=Programmed", f"--namespace={addons.GATEWAY_NAMESPACE}", f"gateway/{addons.GATEWAY}")
        watch("--for=condition=Available", f"--namespace={addons.SYSTEM}", "deployment/coredns")
    except CommandError as error:
        raise TimedOutError(f"{error.message}\n{_why_not_ready(plane, kubectl)}") from error


def _all_alive(plane: ControlPlane) -> bool:
    for record in plane.table.records():
        if not plane.table.alive(record.name):
            raise DevclusterError(f"{record.name} ended:\n{plane.table.log_tail(record.name)}")
    return True


def _why_not_ready(plane: ControlPlane, kubectl: Kubectl) -> str:
    pods = kubectl.run("get", "nodes,pods", "--all-namespaces", check=False)
    tails = [f"{name}:\n{plane.table.log_tail(name, 5)}" for name in ("kubelet-cloud", "kubelet-edge", "traefik")]
    return "\n".join([pods, *tails])


def _keep_logs() -> None:
    """The logs of a start that failed are the only witness of why: they survive the cleaning."""
    logs = STATE_ROOT / "logs"
    kept = STATE_ROOT / "logs-of-failed-start"
    if logs.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        try:
            shutil.copytree(logs, kept)
        except OSError as error:  # a full disk may be why the start failed: the cleaning must not fail of it too
            say(f"the logs could not be kept: {error}")
        else:
            say(f"the logs are kept in {kept}")


def down(force: bool = False) -> list[str]:
    """Takes the cluster down and returns what stayed behind (nothing, if all is well).

    Raises OwnedByAnotherError when it is another checkout's and `force` is not set.
    """
    require_root()
    with exclusive():
        owner = read_owner()
        if owner is not None and not owner.mine() and running_processes() and not force:
            raise owner.refusal()
        clean()
        return leftovers()


def clean() -> None:
    """Ends and removes all of the full cluster, whatever state it is in; an interrupt waits until it is done."""
    with uninterrupted("cleaning up; a moment"):
        processes = table()
        records = {record.name for record in processes.records()}
        plane = control_plane(0)
        both = nodes(plane)

        def named(*programs: str) -> list[str]:
            return [name for program in programs for node in both if (name := node.process(program)) in records]

        processes.stop(named("kubelet", "kube-proxy"), 3.0)
        with Workers(len(both)) as pool:
            for node in both:
                pool.submit(node.remove_pods, 4.0)
        processes.stop([*named("containerd"), "traefik", "local-path-provisioner", "relay-http"], 2.0)
        host.remove_cgroups()
        processes.stop(named("anchor"), 0.5)
        plane.stop(2.0)
        stop_records(marked_processes(MARK_DIR), 1.0)
        _remove_files()


def _remove_files() -> None:
    for point in host.our_mounts(Path("/proc/self/mountinfo").read_text()):
        run(["umount", "--lazy", point], check=False)
    for namespace in (*(net.namespace for net in network.NODES), network.HUB):
        with contextlib.suppress(CommandError):  # `leftovers` names it; the rest is cleaned all the same
            network.delete(namespace)
    host.remove_cgroups()
    host.restore_inotify_limit()
    host.remove_mount_points()
    # Single API servers beside the cluster keep their folders, and so do the logs of a failed start.
    for root, kept in ((RUN_ROOT, {"api", "lock", "owner.json"}), (STATE_ROOT, {"api", "logs-of-failed-start"})):
        for path in root.glob("*"):
            if path.name in kept:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    forget_owner()


def leftovers() -> list[str]:
    """What of the full cluster is still there: processes, mounts, namespaces, cgroups; one line each."""
    found = [f"process {record.pid} ({record.name})" for record in marked_processes(MARK_DIR)]
    found += [f"process {record.pid} in our cgroups" for record in host.cgroup_processes()]
    mounts = host.our_mounts(Path("/proc/self/mountinfo").read_text())
    found += [f"mount {point}" for point in mounts]
    spaces = [network.HUB, *(net.namespace for net in network.NODES)]
    found += [f"network namespace {name}" for name in spaces if network.exists(name)]
    found += [f"cgroup {folder}" for folder in host.cgroup_folders() if folder.name.startswith(host.CGROUP_PREFIX)]
    return found
