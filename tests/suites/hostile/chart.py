"""The chart's rights for an operator that lives in a namespace of its own, as it does in a real installation."""

from __future__ import annotations

from pathlib import Path

import yaml
from te_devcluster.commands import run
from te_devcluster.paths import checkout
from te_devcluster.tools import KUBERNETES_VERSION, require

from tests.cluster.operator_rig import Rig

_KINDS = {
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def chart_account(rig: Rig, home: str, *, cluster_role: bool = True) -> Path:
    """A kubeconfig with exactly the rights that the chart, installed in `home`, gives for the rig's namespace."""
    chart = str(checkout() / "helm" / "tradingengine")
    values = f"watchNamespaces={{{rig.namespace}}},clusterRole.enabled={str(cluster_role).lower()}"
    options = ["-n", home, f"--kube-version={KUBERNETES_VERSION}", "--set", values]
    text = run([require("helm"), "template", "te", chart, *options]).stdout
    found = [document for document in yaml.safe_load_all(text) if document and document["kind"] in _KINDS]
    own = [entry for entry in found if "helm.sh/hook" not in (entry["metadata"].get("annotations") or {})]
    rig.server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}}, *own])
    return rig.server.service_account_kubeconfig(home, "te-tradingengine")
