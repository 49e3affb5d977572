"""One node: containerd, kubelet and kube-proxy in a network namespace and a mount namespace of their own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import host, network
from te_devcluster.commands import run, wait_until
from te_devcluster.control_plane import ControlPlane
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.network import NodeNetwork
from te_devcluster.paths import RUN_ROOT, node_dir
from te_devcluster.tools import binary_path, require

PAUSE_IMAGE = "localhost/te-pause:dev"
CNI_PLUGINS = "/usr/lib/cni"
PLANE_LABEL = "tradingengine.io/plane"
OWN_FOLDERS = ("/var/lib/kubelet", "/var/log/pods", "/var/log/containers", "/var/lib/cni", "/run/containerd")
"""Paths that programs take as theirs alone: each node sees its own folder there."""
KEPT_SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""The kubelet sets these for the whole machine unless they already read so; each node is shown files that do."""
RESERVED_SHARE = {"cloud": 0.25, "edge": 0.5}
"""Both nodes see the whole machine; this much of it each leaves alone."""


@dataclass(frozen=True)
class Node:
    """Files and processes of one node."""

    net: NodeNetwork
    plane: ControlPlane
    plain: bool = False
    """Neither label nor taint of ours, as a node that one rents."""

    @property
    def name(self) -> str:
        """The node's name in Kubernetes."""
        return self.net.name

    @property
    def dir(self) -> Path:
        """All that the node keeps on disk."""
        return node_dir(self.name)

    @property
    def run_dir(self) -> Path:
        """Its sockets."""
        return RUN_ROOT / "nodes" / self.name

    @property
    def socket(self) -> Path:
        """containerd's socket; reachable from the host."""
        return self.run_dir / "containerd.sock"

    @property
    def static_pods(self) -> Path:
        """The folder whose manifests the edge's kubelet runs without the API server."""
        return self.dir / "static-pods"

    @property
    def registries(self) -> Path:
        """One folder per registry of images with a `hosts.toml`; containerd reads it anew at each pull."""
        return self.dir / "certs.d"

    def process(self, program: str) -> str:
        """The name of one of the node's processes in the table."""
        return f"{program}-{self.name}"

    def start_runtime(self, timeout: float = 30.0) -> None:
        """Writes the configuration, starts the mount namespace's holder and containerd, and waits for its socket."""
        self._write_files()
        script = self.dir / "anchor.sh"
        anchor = ["unshare", "--mount", "--propagation", "private", "sh", str(script)]
        self.plane.table.start(self.process("anchor"), anchor)
        ready = self.run_dir / "anchored"
        self._wait("anchor", ready.exists, timeout)
        self._start("containerd", [require("containerd"), "--config", str(self.dir / "containerd.toml")])
        self._wait("containerd", self._containerd_answers, timeout)

    def _wait(self, program: str, condition: Callable[[], bool], timeout: float) -> None:
        name = self.process(program)
        table = self.plane.table

        def holds() -> bool:
            if not table.alive(name):
                raise DevclusterError(f"{name} ended:\n{table.log_tail(name)}")
            return condition()

        wait_until(f"{name} ready", holds, timeout=timeout, every=0.05, hint=lambda: table.log_tail(name))

    def _containerd_answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            return run([require("ctr"), "-a", str(self.socket), "version"], check=False, timeout=5).returncode == 0
        except CommandError:
            return False

    def start_kubelet(self) -> None:
        """Starts the kubelet and kube-proxy; the API server must be ready, the pause image imported."""
        config = self.dir / "kubelet.json"
        config.write_text(json.dumps(self.kubelet_config(host.create_cgroups(self.name)), indent=1))
        self._start(
            "kubelet",
            [
                require("kubelet"),
                f"--config={config}",
                f"--kubeconfig={self.plane.state_dir / 'kubeconfigs' / f'node-{self.name}'}",
                f"--hostname-override={self.name}",
                f"--node-ip={self.net.address}",
                *([] if self.plain else [f"--node-labels={PLANE_LABEL}={self.name}"]),
            ],
        )
        self._start(
            "kube-proxy",
            [
                require("kube-proxy"),
                f"--config={self.dir / 'kube-proxy.json'}",
                f"--hostname-override={self.name}",
            ],
        )

    def _start(self, program: str, command: list[str]) -> None:
        anchor = self.plane.table.get(self.process("anchor"))
        if anchor is None:
            raise DevclusterError(f"{self.process('anchor')} was not started")
        enter = ["nsenter", f"--net={network.NETNS_DIR / self.net.namespace}", f"--mount=/proc/{anchor.pid}/ns/mnt"]
        # containerd finds its shim and runc, and the kubelet nft and mount, by PATH.
        path = f"{binary_path('containerd').parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.plane.table.start(self.process(program), [*enter, *command], {"PATH": path})

    def import_image(self, archive: Path) -> None:
        """Brings an oci-archive into the node's image store; the names inside the archive are kept."""
        command = [require("ctr"), "-a", str(self.socket), "-n", "k8s.io", "images", "import", str(archive)]
        run(command, timeout=300)

    def pin(self, image: str) -> None:
        """Keeps an image from being collected as garbage."""
        label = "io.cri-containerd.pinned=pinned"
        run([require("ctr"), "-a", str(self.socket), "-n", "k8s.io", "images", "label", image, label])

    def remove_pods(self, timeout: float) -> None:
        """Asks containerd to end and remove all pods; a containerd that is gone or hangs is left to the cgroups."""
        if not self.plane.table.alive(self.process("containerd")) or not binary_path("remove-pods").is_file():
            return
        command = [require("remove-pods"), f"-socket={self.socket}", f"-timeout={timeout:.0f}s"]
        try:
            run(command, check=False, timeout=timeout)
        except DevclusterError:
            return

    def _write_files(self) -> None:
        for folder in (
            self.dir,
            self.run_dir,
            self.static_pods,
            self.dir / "volumes",
            self.dir / "cni",
            self.registries,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        (self.dir / "containerd.toml").write_text(self.containerd_config())
        (self.dir / "cni" / "10-devcluster.conflist").write_text(json.dumps(self.cni_config()))
        (self.dir / "kube-proxy.json").write_text(json.dumps(self.proxy_config()))
        machine_id = self.name.encode().hex().ljust(32, "0")
        (self.dir / "machine-id").write_text(machine_id + "\n")
        shutil.rmtree(self.dir / "sysctl", ignore_errors=True)
        (self.dir / "sysctl").mkdir()
        for name, value in KEPT_SYSCTLS.items():
            (self.dir / "sysctl" / name.replace("/", ".")).write_text(value + "\n")
        (self.dir / "anchor.sh").write_text(self.anchor_script())

    def anchor_script(self) -> str:
        """Makes the node's mount namespace what it must be, and stays: containerd and kubelet enter by its pid."""
        lines = ["set -e", "mount --make-rshared /"]
        for folder in OWN_FOLDERS:
            own = self.dir / "own" / folder.strip("/").replace("/", "-")
            lines += [f"mkdir -p {own}", f"mount --bind {own} {folder}"]
        for name in KEPT_SYSCTLS:
            lines.append(f"mount --bind {self.dir / 'sysctl' / name.replace('/', '.')} /proc/sys/{name}")
        lines.append(f"test ! -e /etc/machine-id || mount --bind {self.dir / 'machine-id'} /etc/machine-id")
        lines += [f"touch {self.run_dir / 'anchored'}", "exec sleep infinity"]
        return "\n".join(lines) + "\n"

    def containerd_config(self) -> str:
        """containerd's configuration (version 2, which containerd 2 converts by itself).

        `restrict_oom_score_adj`: without CAP_SYS_RESOURCE a negative score cannot be set and every sandbox would die.
        `enable_unprivileged_ports`: CoreDNS listens on port 53 without rights.
        NRI is off: its socket has one place on the machine, and the second containerd would fail on it.
        """
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        return f"""version = 2
root = "{self.dir / "containerd"}"
state = "{self.run_dir / "containerd"}"
oom_score = 0
[grpc]
  address = "{self.socket}"
[ttrpc]
  address = "{self.socket}.ttrpc"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.dir / "opt"}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  [{cri}.registry]
    config_path = "{self.registries}"
  [{cri}.cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{self.dir / "cni"}"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
"""

    def cni_config(self) -> dict[str, object]:
        """A point-to-point link per pod, addresses from the node's own range, and host ports."""
        ptp = {
            "type": "ptp",
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": "/var/lib/cni/networks",
                "ranges": [[{"subnet": self.net.pod_range}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "devcluster", "plugins": [ptp, portmap]}

    def kubelet_config(self, cgroup_root: str) -> dict[str, object]:
        """The kubelet's configuration: cgroup v1 is allowed, nothing is evicted for the host's disk, no host limits."""
        memory, cpus = machine()
        share = RESERVED_SHARE[self.name]
        pki = self.plane.pki
        config: dict[str, object] = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup_root,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "resolvConf": "",
            "clusterDNS": [network.DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "oomScoreAdj": 0,
            "maxOpenFiles": 20000,
            "failSwapOn": False,
            "maxPods": 40,
            "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "enforceNodeAllocatable": ["pods"],
            "systemReserved": {"cpu": f"{int(cpus * 1000 * share)}m", "memory": f"{int(memory * share)}Mi"},
            "nodeStatusUpdateFrequency": "4s",
            "nodeLeaseDurationSeconds": 12,
            "serializeImagePulls": False,
            "authentication": {
                "x509": {"clientCAFile": pki.crt("ca")},
                "webhook": {"enabled": True},
                "anonymous": {"enabled": False},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": pki.crt(f"node-{self.name}"),
            "tlsPrivateKeyFile": pki.key(f"node-{self.name}"),
            "volumePluginDir": str(self.dir / "volume-plugins"),
        }
        if self.name == "edge":
            config["staticPodPath"] = str(self.static_pods)
            if not self.plain:
                config["registerWithTaints"] = [{"key": PLANE_LABEL, "value": "edge", "effect": "NoSchedule"}]
        return config

    def proxy_config(self) -> dict[str, object]:
        """kube-proxy by nftables; conntrack limits are left alone, they are not writable in a namespace."""
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": network.POD_RANGE,
            "oomScoreAdj": 0,
            "clientConnection": {"kubeconfig": str(self.plane.state_dir / "kubeconfigs" / "kube-proxy")},
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }


def machine() -> tuple[int, int]:
    """The machine's memory in MiB and its processors."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return pages // (1024 * 1024), os.cpu_count() or 1
