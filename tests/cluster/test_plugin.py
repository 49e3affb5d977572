"""`kubectl tradingengine` on a real API server, with the rights that its page gives a person and no more."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from te_devcluster.api_server import ApiServer
from tradingengine_operator.plan import kinds

from .operator_rig import ROOT, Rig

pytestmark = pytest.mark.cluster
PAGE = ROOT / "docs" / "admin" / "releases.md"
STATE = {"format": 1, "serial": 3, "last": 2, "stable": {"slot": "a", "release": 2}}
CANDIDATE = {"slot": "b", "release": 3, "stage": "holding", "template_hash": "x"}


def person(server: ApiServer, namespace: str) -> Path:
    """A kubeconfig with the Role of the page."""
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    role = yaml.safe_load(found[1])
    role["metadata"]["namespace"] = namespace
    account = {"kind": "ServiceAccount", "name": "person", "namespace": namespace}
    metadata = {"name": "person", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]}
    binding = {"apiVersion": role["apiVersion"], "kind": "RoleBinding", "metadata": metadata}
    server.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            role,
            {**binding, "roleRef": reference, "subjects": [account]},
        ]
    )
    return server.service_account_kubeconfig(namespace, "person")


async def plugin(rig: Rig, kubeconfig: Path, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of the script that kubectl runs."""
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "operator" / "bin" / "kubectl-tradingengine"),
        *arguments,
        "-n",
        rig.namespace,
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_person_sees_compares_and_leads(rig: Rig) -> None:
    kubeconfig = person(rig.server, rig.namespace)
    await rig.apply()
    status: dict[str, Any] = {"phase": "Releasing", "release": {"number": 3}}
    status["release"]["progress"] = json.dumps(STATE | {"candidate": CANDIDATE})
    await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", {"status": status}, subresource="status")

    code, out, err = await plugin(rig, kubeconfig, "status")
    assert (code, err) == (0, "")
    assert "step 1 of 3" in out
    assert "not reachable: no pod of the operator" in out

    file = json.dumps(
        {"apiVersion": kinds.ENGINE.api_version, "kind": kinds.ENGINE.kind, "metadata": {"name": "desk"}}
        | {"spec": {"version": "0.2.0", "api": {"replicas": {"min": 1, "max": 3}}}}
    )
    code, out, err = await plugin(rig, kubeconfig, "diff", "-f", "-", "-o", "json", stdin=file)
    assert (code, err) == (0, "")
    fields = {field["path"]: field["after"] for field in json.loads(out)["fields"]}
    assert fields["spec.version"] == "0.2.0"
    assert fields["spec.gateway.throttle"] != "200ms", "what the file leaves out goes back to its default"
    assert (await rig.engine())["spec"]["version"] == "0.1.0"
    code, out, err = await plugin(rig, kubeconfig, "diff", "-f", "-", stdin=file.replace("0.2.0", "not a version"))
    assert (code, out) == (1, "")
    assert "would be refused" in err

    async def operator() -> None:
        while not (text := ((await rig.engine())["metadata"].get("annotations") or {}).get("tradingengine.io/command")):
            await asyncio.sleep(0.1)
        command = json.loads(text)
        said = {"id": command["id"], "act": command["act"], "release": 3, "outcome": "Done", "message": "weight 0"}
        answer = {"status": {"release": {"command": {**said, "at": "2026-11-28T20:00:00Z"}}}}
        await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", answer, subresource="status")

    (code, out, _), _ = await asyncio.gather(plugin(rig, kubeconfig, "abort"), operator())
    assert (code, out) == (0, "abort of release 3: Done: weight 0\n")
