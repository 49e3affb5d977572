"""etcd, kube-apiserver, kube-controller-manager and scheduler as plain processes in one network namespace."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import network, relay
from te_devcluster.commands import wait_until
from te_devcluster.errors import DevclusterError
from te_devcluster.pki import Pki, control_plane_certificates, node_certificates
from te_devcluster.processes import ProcessTable
from te_devcluster.tools import require

API_PORT = 6443
ETCD_URL = "http://127.0.0.1:2379"
INNER_SERVER = f"https://{network.HUB_ADDRESS}:{API_PORT}"

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The cluster's own parts would fill the log; what products and tests do is what it is for.
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {
            "level": "None",
            "users": [
                "system:apiserver",
                "system:kube-scheduler",
                "system:kube-controller-manager",
                "system:kube-proxy",
            ],
        },
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*", "/openapi/*", "/version"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class ControlPlane:
    """Files and processes of one control plane. `api_port` is where the host finds its API server on 127.0.0.1."""

    namespace: str
    state_dir: Path
    table: ProcessTable
    api_port: int

    @property
    def pki(self) -> Pki:
        """The certificates."""
        return Pki(self.state_dir / "pki")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for the host."""
        return self.state_dir / "kubeconfig"

    @property
    def inner_kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for processes inside the namespaces."""
        return self.state_dir / "kubeconfigs" / "admin"

    @property
    def audit_log(self) -> Path:
        """One JSON event per line: who did what."""
        return self.state_dir / "audit.log"

    @property
    def server(self) -> str:
        """The API server's address for the host."""
        return f"https://127.0.0.1:{self.api_port}"

    def prepare(self, nodes: tuple[network.NodeNetwork, ...] = ()) -> None:
        """Writes certificates, kubeconfigs and the configuration files, those of the given nodes included."""
        leaves = control_plane_certificates(network.HUB_ADDRESS, network.SERVICE_ADDRESS)
        if nodes:
            leaves += node_certificates({node.name: node.address for node in nodes})
        self.pki.create(leaves)
        self.pki.write_kubeconfig(self.kubeconfig, self.server, "admin")
        users = ["admin", "kube-controller-manager", "kube-scheduler"]
        if nodes:
            users += ["kube-proxy", *(f"node-{node.name}" for node in nodes)]
        for user in users:
            self.pki.write_kubeconfig(self.state_dir / "kubeconfigs" / user, INNER_SERVER, user)
        (self.state_dir / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
        (self.state_dir / "scheduler.json").write_text(json.dumps(self._scheduler_config()))

    def _scheduler_config(self) -> dict[str, object]:
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.state_dir / "kubeconfigs" / "kube-scheduler")},
            "leaderElection": {"leaderElect": False},
        }

    def start_api(self, timeout: float = 60.0) -> None:
        """Starts etcd, the API server and the relay to it, and waits until it is ready, RBAC bootstrap included."""
        self._start("etcd", self.etcd_command())
        self._start("kube-apiserver", self.apiserver_command())
        self.start_relay("relay-api", [f"{self.api_port}={network.HUB_ADDRESS}:{API_PORT}"])
        self.wait_ready(timeout)

    def start_relay(self, name: str, forwards: list[str]) -> None:
        """Starts a relay from the host's loopback into this namespace and waits until it listens."""
        command, environment = relay.command(self.namespace, forwards)
        self.table.start(name, command, environment)
        ports = [relay.parse_forward(text)[0] for text in forwards]
        wait_until(
            f"{name} listening",
            lambda: not self.table.alive(name) or all(relay.port_taken(port) for port in ports),
            timeout=10,
            every=0.05,
        )
        if not self.table.alive(name):
            raise DevclusterError(f"{name} ended:\n{self.table.log_tail(name)}")

    def wait_ready(self, timeout: float) -> None:
        """Waits for /readyz; DevclusterError when a process ends meanwhile, TimedOutError after `timeout` seconds."""
        context = ssl.create_default_context(cafile=self.pki.crt("ca"))
        context.load_cert_chain(self.pki.crt("admin"), self.pki.key("admin"))

        def ready() -> bool:
            for name in ("etcd", "kube-apiserver"):
                if not self.table.alive(name):
                    raise DevclusterError(f"{name} ended:\n{self.table.log_tail(name)}")
            connection = http.client.HTTPSConnection("127.0.0.1", self.api_port, context=context, timeout=5)
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False
            finally:
                connection.close()

        wait_until("API server ready", ready, timeout=timeout, every=0.1)

    def start_controllers(self) -> None:
        """Starts the controller manager. Only once the API server is ready: before, it exits for want of rights."""
        self._start("kube-controller-manager", self.controller_manager_command())

    def start_scheduler(self) -> None:
        """Starts the scheduler, once the API server is ready."""
        config = str(self.state_dir / "scheduler.json")
        self._start("kube-scheduler", [require("kube-scheduler"), f"--config={config}"])

    def _start(self, name: str, command: list[str]) -> None:
        self.table.start(name, network.inside(self.namespace, command))

    def stop(self, grace: float) -> None:
        """Ends all of it. The API server does not end once etcd is gone, so etcd goes last."""
        self.table.stop(["kwok", "kube-scheduler", "kube-controller-manager"], grace)
        self.table.stop(["kube-apiserver", "relay-api"], grace)
        self.table.stop(["etcd"], grace)

    def etcd_command(self) -> list[str]:
        """etcd without fsync: the state of a development cluster need not outlive a power cut."""
        return [
            require("etcd"),
            "--name=dev",
            f"--data-dir={self.state_dir / 'etcd'}",
            f"--listen-client-urls={ETCD_URL}",
            f"--advertise-client-urls={ETCD_URL}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=dev=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--auto-compaction-retention=5m",
            "--quota-backend-bytes=2147483648",
            "--log-level=warn",
        ]

    def apiserver_command(self) -> list[str]:
        """The API server, with an audit log so that tests can prove how few rights a component uses."""
        pki = self.pki
        return [
            require("kube-apiserver"),
            f"--advertise-address={network.HUB_ADDRESS}",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--etcd-servers={ETCD_URL}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={pki.crt('ca')}",
            f"--tls-cert-file={pki.crt('apiserver')}",
            f"--tls-private-key-file={pki.key('apiserver')}",
            f"--kubelet-client-certificate={pki.crt('apiserver-kubelet-client')}",
            f"--kubelet-client-key={pki.key('apiserver-kubelet-client')}",
            f"--kubelet-certificate-authority={pki.crt('ca')}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki.folder / 'sa.pub'}",
            f"--service-account-signing-key-file={pki.key('sa')}",
            f"--service-cluster-ip-range={network.SERVICE_RANGE}",
            f"--requestheader-client-ca-file={pki.crt('front-proxy-ca')}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki.crt('front-proxy-client')}",
            f"--proxy-client-key-file={pki.key('front-proxy-client')}",
            "--enable-aggregator-routing=true",
            f"--audit-policy-file={self.state_dir / 'audit-policy.json'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=64",
            "--audit-log-maxbackup=1",
        ]

    def controller_manager_command(self) -> list[str]:
        """The controller manager, quick to notice a lost node and a new load."""
        config = self.state_dir / "kubeconfigs" / "kube-controller-manager"
        pki = self.pki
        return [
            require("kube-controller-manager"),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki.key('sa')}",
            f"--root-ca-file={pki.crt('ca')}",
            f"--cluster-signing-cert-file={pki.crt('ca')}",
            f"--cluster-signing-key-file={pki.key('ca')}",
            f"--service-cluster-ip-range={network.SERVICE_RANGE}",
            "--allocate-node-cidrs=false",
            "--node-monitor-period=2s",
            "--node-monitor-grace-period=16s",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=30s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=10s",
        ]
