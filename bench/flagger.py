"""Flagger beside our own releases: the same API pods under a Deployment of their own, shifted by Flagger's Canary."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from te_demo import faults
from te_demo.product import Product
from te_devcluster import addons, cluster, images, network
from te_devcluster.commands import wait_until
from te_devcluster.kubectl import Manifest
from te_devcluster.paths import STATE_ROOT
from te_devcluster.tools import files_of, require

NAMESPACE, NAME, PORT = "flagger-system", "compare", 9898
PROMETHEUS_PORT = 9090
PROCESS = "flagger"


@dataclass
class Flagger:
    """The controller as a process, its Prometheus as a pod, and one Canary. `user` is who it is for the API server."""

    product: Product
    deadline: int
    host: str = f"{NAME}.localhost"
    user: str = f"system:serviceaccount:{NAMESPACE}:flagger"

    def start(self) -> None:
        """Installs all of it and waits until the Canary is initialised."""
        kubectl = self.product.kubectl
        kubectl.apply_path(files_of("flagger") / "crd.yaml")
        kubectl.apply([*_accounts(), *prometheus()])
        kubectl.run("--namespace", NAMESPACE, "rollout", "status", "deployment/prometheus", "--timeout=120s")
        kubectl.apply([self._deployment()])
        kubectl.apply(canary(self.product.namespace, self.host, self.deadline, self._prometheus()))
        plane = cluster.control_plane(0)
        command = [require("flagger"), f"-port={PORT}", f"-kubeconfig={self._kubeconfig(plane.inner_kubeconfig)}"]
        command += ["-mesh-provider=gatewayapi:v1", f"-metrics-server={self._prometheus()}"]
        command += [f"-namespace={self.product.namespace}"]
        plane.table.start(PROCESS, network.inside(network.HUB, command))
        self.wait_idle(300)

    def stop(self) -> None:
        """Ends the process; the rest goes with the cluster."""
        cluster.control_plane(0).table.stop([PROCESS])

    def route(self) -> Product:
        """What a watch of weights looks at: Flagger's route instead of the engine's."""
        return Product(self.product.kubectl, NAME, self.product.namespace)

    def release(self) -> None:
        """Another revision of the same programs."""
        stamp = {"spec": {"template": {"metadata": {"annotations": {"bench/at": str(time.time_ns())}}}}}
        self.product.kubectl.run(*self._in("patch", "deployment", NAME), "--type=merge", "-p", json.dumps(stamp))

    def canary_pods(self) -> list[Manifest]:
        """Pods of the revision that is tried."""
        found = self.product.kubectl.get("--namespace", self.product.namespace, "pods", "--selector", f"app={NAME}")
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]

    def phase(self) -> str:
        """What Flagger says of its Canary."""
        found = self.product.kubectl.get("--namespace", self.product.namespace, "canary", NAME)
        return str((found.get("status") or {}).get("phase", ""))

    def wait_idle(self, timeout: float = 600.0) -> None:
        """Nothing is under way."""
        wait_until(
            "Flagger is idle",
            lambda: self.phase() in {"Initialized", "Succeeded", "Failed"},
            timeout=timeout,
            every=1.0,
            hint=lambda: cluster.control_plane(0).table.log_tail(PROCESS, 20),
        )

    def _in(self, *arguments: str) -> list[str]:
        return ["--namespace", self.product.namespace, *arguments]

    def _prometheus(self) -> str:
        pods = self.product.kubectl.get("--namespace", NAMESPACE, "pods", "--selector", "app=prometheus")["items"]
        return f"http://{pods[0]['status']['podIP']}:{PROMETHEUS_PORT}"

    def _deployment(self) -> Manifest:
        weights = self.product.weights()
        live = "a" if weights.a >= weights.b else "b"
        name = f"{self.product.engine}-api-{live}"
        return deployment(self.product.kubectl.get(*self._in("deployment", name)))

    def _kubeconfig(self, admin: Path) -> Path:
        asked = ("--namespace", NAMESPACE, "create", "token", "flagger", "--duration=4h")
        token = self.product.kubectl.run(*asked).strip()
        document = json.loads(admin.read_text())
        document["users"] = [{"name": "user", "user": {"token": token}}]
        place = STATE_ROOT / "kubeconfigs" / "flagger"
        place.touch(mode=0o600)
        place.write_text(json.dumps(document))
        return place


def deployment(live: Manifest) -> Manifest:
    """The API's own pods under a Deployment that Flagger shifts; nothing of ours selects them."""
    template: dict[str, Any] = copy.deepcopy(live["spec"]["template"])
    template["metadata"] = {"labels": {"app": NAME}}
    template["spec"].pop("topologySpreadConstraints", None)
    container = template["spec"]["containers"][0]
    container["image"] = images.full_name(images.image_named("apps"), faults.TAG)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": live["metadata"]["namespace"], "labels": {"app": NAME}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": NAME}}, "template": template},
    }


def canary(namespace: str, host: str, deadline: int, metrics: str) -> list[Manifest]:
    """MetricTemplate and Canary: 10 % more every 10 s, withdrawn by one check that fails."""
    answers = f'traefik_service_requests_total{{service=~".*{NAME}-canary.*"'
    failed = f'sum(rate({answers},code=~"5.."}}[{{{{ interval }}}}])) or vector(0)'
    share = f"100 * ({failed}) / sum(rate({answers}}}[{{{{ interval }}}}]))"
    gateway = {"name": addons.GATEWAY, "namespace": addons.GATEWAY_NAMESPACE}
    check = {"name": "errors", "templateRef": {"name": "errors"}, "thresholdRange": {"max": 1}, "interval": "10s"}
    return [
        {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "MetricTemplate",
            "metadata": {"name": "errors", "namespace": namespace},
            "spec": {"provider": {"type": "prometheus", "address": metrics}, "query": share},
        },
        {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                "progressDeadlineSeconds": deadline,
                "service": {"port": 80, "targetPort": "http", "hosts": [host], "gatewayRefs": [gateway]},
                "analysis": {
                    "interval": "10s",
                    "threshold": 1,
                    "maxWeight": 50,
                    "stepWeight": 10,
                    "metrics": [check],
                },
            },
        },
    ]


def prometheus() -> list[Manifest]:
    """A Prometheus that scrapes the Gateway each second."""
    config = (
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: gateway, static_configs: [{{targets: ['{network.HUB_ADDRESS}:{addons.METRICS_PORT}']}}]}}\n"
    )
    container = {
        "name": "prometheus",
        "image": images.full_name(images.image_named("prometheus")),
        "command": ["prometheus"],
        "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/prometheus"},
        ],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": PROMETHEUS_PORT}, "periodSeconds": 1},
    }
    volumes = [{"name": "config", "configMap": {"name": "prometheus"}}, {"name": "data", "emptyDir": {}}]
    labels = {"app": "prometheus"}
    pod = {"containers": [container], "volumes": volumes, "securityContext": {"fsGroup": 10001}}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "prometheus", "namespace": NAMESPACE},
            "data": {"prometheus.yml": config},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "prometheus", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


def _accounts() -> list[Manifest]:
    """Its namespace, and an account that may do everything in this throw-away cluster."""
    account = {"kind": "ServiceAccount", "name": "flagger", "namespace": NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "flagger", "namespace": NAMESPACE}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "flagger"},
            "roleRef": role,
            "subjects": [account],
        },
    ]
