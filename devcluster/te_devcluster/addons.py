"""The cluster's own objects as plain data: names for Services, metrics for HPAs, the Gateway."""

from __future__ import annotations

from te_devcluster import network
from te_devcluster.kubectl import Manifest
from te_devcluster.system_images import COREDNS_IMAGE, METRICS_IMAGE

SYSTEM = "kube-system"
GATEWAY_NAMESPACE = "gateway"
GATEWAY = "web"
GATEWAY_CLASS = "traefik"
GATEWAY_PORT = 8080
METRICS_PORT = 8082

COREFILE = """.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods insecure
        ttl 5
    }
    prometheus :9153
    cache 5
    reload
}
"""
"""No `forward`: there is nothing outside that names could be asked of."""

_LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _meta(name: str, namespace: str = SYSTEM) -> Manifest:
    return {"name": name, "namespace": namespace, "labels": {"app": name}}


def _account(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(name)}


def _cluster_role(name: str, rules: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    }


def _binding(kind: str, name: str, role_kind: str, role: str, account: str) -> Manifest:
    metadata: Manifest = {"name": name}
    if kind == "RoleBinding":
        metadata["namespace"] = SYSTEM
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": SYSTEM}],
    }


def _deployment(name: str, pod: Manifest) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def coredns() -> list[Manifest]:
    """Names of Services and pods, for all pods of both nodes."""
    container = {
        "name": "coredns",
        "image": COREDNS_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "securityContext": _LOCKED,
        "resources": {"requests": {"cpu": "20m", "memory": "40Mi"}, "limits": {"memory": "170Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 30},
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]
    watched = {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]}
    slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    return [
        _account("coredns"),
        _cluster_role("system:coredns", [watched, slices]),
        _binding("ClusterRoleBinding", "system:coredns", "ClusterRole", "system:coredns", "coredns"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("coredns"), "data": {"Corefile": COREFILE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**_meta("kube-dns"), "labels": {"k8s-app": "kube-dns"}},
            "spec": {"clusterIP": network.DNS_ADDRESS, "selector": {"app": "coredns"}, "ports": ports},
        },
        _deployment("coredns", pod),
    ]


def _metrics_rights() -> list[Manifest]:
    name = "metrics-server"
    readers = {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    aggregated = {"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    role = _cluster_role("system:aggregated-metrics-reader", [aggregated])
    role["metadata"]["labels"] = {
        f"rbac.authorization.k8s.io/aggregate-to-{to}": "true" for to in ("view", "edit", "admin")
    }
    return [
        _account(name),
        role,
        _cluster_role(
            f"system:{name}", [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}, readers]
        ),
        _binding("ClusterRoleBinding", f"system:{name}", "ClusterRole", f"system:{name}", name),
        _binding("ClusterRoleBinding", f"{name}:system:auth-delegator", "ClusterRole", "system:auth-delegator", name),
        _binding("RoleBinding", f"{name}-auth-reader", "Role", "extension-apiserver-authentication-reader", name),
    ]


def metrics_server() -> list[Manifest]:
    """CPU and memory of pods for `kubectl top` and HPAs, every 10 s."""
    name = "metrics-server"
    container = {
        "name": name,
        "image": METRICS_IMAGE,
        "imagePullPolicy": "Never",
        "args": [
            "--secure-port=10250",
            "--cert-dir=/tmp",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-certificate-authority=/etc/cluster/ca.crt",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",  # must be below the resolution, or it panics
        ],
        "securityContext": _LOCKED,
        "resources": {"requests": {"cpu": "20m", "memory": "60Mi"}, "limits": {"memory": "200Mi"}},
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of its own
            {"name": "ca", "mountPath": "/etc/cluster", "readOnly": True},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 10250, "scheme": "HTTPS"},
            "periodSeconds": 2,
            "failureThreshold": 5,
        },
    }
    pod = {
        "serviceAccountName": name,
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}],
    }
    service = {"selector": {"app": name}, "ports": [{"name": "https", "port": 443, "targetPort": 10250}]}
    return [
        *_metrics_rights(),
        {"apiVersion": "v1", "kind": "Service", "metadata": _meta(name), "spec": service},
        _deployment(name, pod),
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "service": {"name": name, "namespace": SYSTEM},
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "insecureSkipTLSVerify": True,  # it makes its own certificate at each start
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]


def gateway() -> list[Manifest]:
    """The GatewayClass, the Gateway that all namespaces may use, and a Service at the data plane's metrics."""
    listener = {
        "name": "http",
        "port": GATEWAY_PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    metrics = "traefik-metrics"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAY_NAMESPACE}},
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": GATEWAY_CLASS},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": GATEWAY_NAMESPACE},
            "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta(metrics, GATEWAY_NAMESPACE),
            "spec": {"ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": METRICS_PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{metrics}-hub",
                "namespace": GATEWAY_NAMESPACE,
                "labels": {"kubernetes.io/service-name": metrics},
            },
            "addressType": "IPv4",
            "ports": [{"name": "metrics", "port": METRICS_PORT, "protocol": "TCP"}],
            "endpoints": [{"addresses": [network.HUB_ADDRESS], "conditions": {"ready": True}}],
        },
    ]


def traefik_command(program: str) -> list[str]:
    """Traefik as the Gateway's data plane; it learns of a changed weight within 100 ms instead of 2 s."""
    return [
        program,
        f"--entryPoints.web.address=:{GATEWAY_PORT}",
        f"--entryPoints.metrics.address={network.HUB_ADDRESS}:{METRICS_PORT}",
        "--providers.kubernetesgateway=true",
        "--providers.providersThrottleDuration=100ms",
        f"--providers.kubernetesgateway.statusaddress.ip={network.HUB_ADDRESS}",
        "--metrics.prometheus=true",
        "--metrics.prometheus.entryPoint=metrics",
        "--metrics.prometheus.addServicesLabels=true",
        "--metrics.prometheus.addRoutersLabels=true",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
        "--log.level=INFO",
    ]
