"""The chart's rights for an operator that runs outside of the cluster: exactly those, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from te_devcluster.api_server import ApiServer
from te_devcluster.commands import run
from te_devcluster.paths import checkout
from te_devcluster.tools import KUBERNETES_VERSION, require

#: Name of the operator's ServiceAccount.
ACCOUNT = "te-tradingengine"
_KINDS = frozenset(
    {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }
)


def chart_account(server: ApiServer, home: str, watched: Sequence[str] = (), *, cluster_role: bool = False) -> Path:
    """A kubeconfig with the rights of the chart, installed in `home` for the namespaces `watched` (none: `home`)."""
    chart = str(checkout() / "helm" / "tradingengine")
    values = f"watchNamespaces={{{','.join(watched or [home])}}},clusterRole.enabled={str(cluster_role).lower()}"
    options = ["-n", home, f"--kube-version={KUBERNETES_VERSION}", "--set", values]
    text = run([require("helm"), "template", "te", chart, *options]).stdout
    found = [document for document in yaml.safe_load_all(text) if document and document["kind"] in _KINDS]
    own = [entry for entry in found if "helm.sh/hook" not in (entry["metadata"].get("annotations") or {})]
    server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}}, *own])
    return server.service_account_kubeconfig(home, ACCOUNT)
