"""What is up, in figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from te_devcluster import api_server, network
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import read_owner, table
from te_devcluster.paths import admin_kubeconfig


def resident_mb(pid: int) -> int:
    """Resident memory of a process in MiB, 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return 0


def cpu_seconds(pid: int) -> float:
    """Processor seconds a process has used, its threads included, 0.0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def collect() -> dict[str, Any]:
    """The state of the full cluster and of the API servers beside it, as JSON values."""
    owner = read_owner()
    report: dict[str, Any] = {
        "up": False,
        "owner": None,
        "processes": [],
        "nodes": [],
        "pods": [],
        "apiServers": sorted(api_server.instances()),
    }
    if owner is None:
        return report
    report["owner"] = {"checkout": owner.checkout, "pid": owner.pid, "since": owner.since}
    report["addresses"] = {"api": f"https://127.0.0.1:{owner.api_port}", "http": f"http://127.0.0.1:{owner.http_port}"}
    report["kubeconfig"] = str(admin_kubeconfig())
    report["processes"] = [
        {
            "name": record.name,
            "pid": record.pid,
            "alive": record.alive(),
            "memoryMB": resident_mb(record.pid) if record.alive() else 0,
        }
        for record in table().records()
    ]
    alive = [process["alive"] for process in report["processes"]]
    report["up"] = owner.ready and bool(alive) and all(alive)
    if report["up"]:
        report["nodes"], report["pods"] = _from_api()
    return report


def _from_api() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    try:
        kubectl = Kubectl(admin_kubeconfig())
        nodes = kubectl.get("nodes")["items"]
        pods = kubectl.get("pods", "--all-namespaces")["items"]
        cut = {net.name for net in network.NODES if network.is_cut(net)}
    except DevclusterError:
        return [], []
    return (
        [
            {"name": node["metadata"]["name"], "ready": _ready(node), "cut": node["metadata"]["name"] in cut}
            for node in nodes
        ],
        [
            {
                "namespace": pod["metadata"]["namespace"],
                "name": pod["metadata"]["name"],
                "node": pod["spec"].get("nodeName", ""),
                "phase": pod["status"].get("phase", ""),
                "ready": _ready(pod),
            }
            for pod in pods
        ],
    )


def _ready(thing: dict[str, Any]) -> bool:
    conditions = thing["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def as_text(report: dict[str, Any]) -> str:
    """The same for people."""
    lines = []
    if report["owner"] is None:
        lines.append("no cluster is up")
    else:
        owner = report["owner"]
        state = "up" if report["up"] else "NOT WHOLE (run `up` to start anew)"
        lines.append(f"{state}; brought up by {owner['checkout']} at {owner['since']}")
        lines.append(f"API server {report['addresses']['api']}   Gateway {report['addresses']['http']}")
        lines.append(f"export KUBECONFIG={report['kubeconfig']}")
        for node in report["nodes"]:
            link = ", cut off" if node["cut"] else ""
            lines.append(f"node {node['name']:28} {'Ready' if node['ready'] else 'NotReady'}{link}")
        for pod in report["pods"]:
            name = f"{pod['namespace']}/{pod['name']}"
            lines.append(f"pod {name:50} {pod['phase']:10} {'ready' if pod['ready'] else 'not ready':10} {pod['node']}")
        for process in report["processes"]:
            state = f"{process['memoryMB']} MiB" if process["alive"] else "ENDED"
            lines.append(f"process {process['name']:26} {process['pid']:>8} {state}")
    if report["apiServers"]:
        lines.append(f"API servers beside it: {', '.join(report['apiServers'])}")
    return "\n".join(lines)
