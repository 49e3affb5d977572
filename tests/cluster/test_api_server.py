"""The API server that the other cluster tests stand on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from te_devcluster import api_server as module
from te_devcluster import network
from te_devcluster.api_server import ApiServer, clean_stale, instances
from te_devcluster.commands import wait_until
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Kubectl
from te_devcluster.tools import KUBERNETES_VERSION
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.errors import ConflictError
from tradingengine_operator.plan import kinds

from .operator_rig import Rig

pytestmark = pytest.mark.cluster


def test_reports_the_pinned_version(api_server: ApiServer) -> None:
    version = json.loads(api_server.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == f"v{KUBERNETES_VERSION}"


def test_a_service_account_has_only_the_rights_it_was_given(api_server: ApiServer) -> None:
    api_server.kubectl("create", "namespace", "rights")
    api_server.kubectl("-n", "rights", "create", "serviceaccount", "reader")
    api_server.kubectl("-n", "rights", "create", "role", "reader", "--verb=get", "--resource=configmaps")
    api_server.kubectl("-n", "rights", "create", "rolebinding", "r", "--role=reader", "--serviceaccount=rights:reader")
    reader = Kubectl(api_server.service_account_kubeconfig("rights", "reader"))
    assert "kube-root" not in reader.run("get", "configmap", "missing", "--ignore-not-found")
    with pytest.raises(CommandError, match=r"cannot list resource .*configmaps"):
        reader.run("get", "configmaps")


def test_requests_are_audited(api_server: ApiServer) -> None:
    api_server.kubectl("create", "namespace", "audited")

    def seen() -> bool:
        events = [json.loads(line) for line in api_server.audit_log.read_text().splitlines()]
        return any(e["verb"] == "create" and e.get("objectRef", {}).get("name") == "audited" for e in events)

    wait_until("the audit event", seen, timeout=10)


def test_applies_objects_and_serves_the_kubeconfig_to_root_only(api_server: ApiServer) -> None:
    api_server.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"key": "value"}}])
    assert api_server.get("configmap", "one")["data"] == {"key": "value"}
    assert api_server.kubeconfig.stat().st_mode & 0o077 == 0


async def test_an_apply_by_force_still_writes_over_one_version_alone(rig: Rig) -> None:
    metadata = {"name": "versioned", "namespace": rig.namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "value"}}
    applier = Applier(rig.client)
    first, _ = await applier.ensure(secret, None)
    version = first["metadata"]["resourceVersion"]
    second, _ = await applier.ensure({**secret, "stringData": {"key": "other"}}, first, only_over=version)
    with pytest.raises(ConflictError):
        await applier.ensure({**secret, "stringData": {"key": "late"}}, first, only_over=version)
    assert (await rig.client.get(kinds.SECRET, rig.namespace, "versioned") or {})["data"] == second["data"]


def test_garbage_is_collected_when_there_are_controllers(controlled_api_server: ApiServer) -> None:
    server = controlled_api_server
    server.kubectl("create", "deployment", "web", "--image=localhost/none:1", "--replicas=2")
    wait_until("two pods", lambda: len(server.get("pods", "-l", "app=web")["items"]) == 2, timeout=30)
    server.kubectl("delete", "deployment", "web")
    wait_until("no pods", lambda: not server.get("pods", "-l", "app=web")["items"], timeout=60)


def test_a_name_in_use_is_refused(api_server: ApiServer) -> None:
    with pytest.raises(DevclusterError, match="there already"):
        ApiServer(name=api_server.name).start()


def test_what_a_crashed_owner_left_is_removed(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from te_devcluster.api_server import ApiServer\n"
        "server = ApiServer(name='crashed')\n"
        "server.start()\n"
        "os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, check=False, timeout=120)
    assert done.returncode == 9
    assert "crashed" in instances()
    assert network.exists("te-api-crashed")
    clean_stale()
    assert "crashed" not in instances()
    assert not network.exists("te-api-crashed")
    assert not (module.STATES / "crashed").exists()
