"""The kinds that the operator works with, and where the API server keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradingengine_operator.api import API_VERSION, KIND, PLURAL


@dataclass(frozen=True)
class Kind:
    """A kind of the API server; all of them are namespaced but `cluster` ones."""

    api_version: str
    kind: str
    plural: str
    cluster: bool = False

    @property
    def group(self) -> str:
        """API group, empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Version within the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Path of the collection, of an object, or of its subresource."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        parts = [root] if self.cluster else [root, "namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


ENGINE = Kind(API_VERSION, KIND, PLURAL)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
POD = Kind("v1", "Pod", "pods")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT = Kind("v1", "Event", "events")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
JOB = Kind("batch/v1", "Job", "jobs")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
NAMESPACE = Kind("v1", "Namespace", "namespaces", cluster=True)
NODE = Kind("v1", "Node", "nodes", cluster=True)
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", cluster=True)
MUTATING_POLICY = Kind(
    "admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", cluster=True
)
MUTATING_BINDING = Kind(
    "admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", cluster=True
)

#: Children that are listed in every pass, by label.
LISTED: tuple[Kind, ...] = (
    CONFIG_MAP,
    SERVICE,
    SERVICE_ACCOUNT,
    POD,
    DEPLOYMENT,
    STATEFUL_SET,
    JOB,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
)
#: Children whose changes wake the loop.
WATCHED: tuple[Kind, ...] = (*LISTED, ROUTE)

_BY_NAME = {
    (entry.api_version, entry.kind): entry for entry in (*LISTED, ENGINE, SECRET, CLAIM, EVENT, ROUTE, GATEWAY, LEASE)
}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of a manifest; KeyError for one that the operator does not know."""
    return _BY_NAME[manifest["apiVersion"], manifest["kind"]]
