"""A cluster as one rents it: the plain devcluster, seen only through a kubeconfig, and a registry of images beside it.

The registry is Debian's `docker-registry` in the hub's network, on 127.0.0.1 of this machine too; both nodes'
containerd knows it by that name, and asks it for what docker.io would be asked for. It holds what skopeo brings.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from te_devcluster import cluster, lock, network, relay
from te_devcluster.buildah import Buildah, ImageConfig
from te_devcluster.commands import run, wait_until
from te_devcluster.kubectl import Kubectl
from te_devcluster.network import HUB, HUB_ADDRESS
from te_devcluster.paths import STATE_ROOT, admin_kubeconfig, checkout
from te_devcluster.tools import require, traefik

REGISTRY_PORT = 5000
GATEWAY_FILE = Path("demo") / "gateway.yaml"
PASSING = ("events", "nodes.metrics.k8s.io", "pods.metrics.k8s.io")
"""What comes and goes by itself."""


@dataclass(frozen=True)
class Rented:
    """What its user has: a kubeconfig, a registry `host:port`, and programs on PATH."""

    kubeconfig: Path
    registry: str
    environment: Mapping[str, str]

    @property
    def kubectl(self) -> Kubectl:
        """The test's own look at it."""
        return Kubectl(self.kubeconfig)


def bring_up(kubeconfig: Path, api_port: int, registry_port: int) -> Rented:
    """Brings it up, with the registry on that port of 127.0.0.1. `cluster.down` ends all of it."""
    cluster.up(cluster.Ports(api=api_port), plain=True)
    start_registry(registry_port)
    registry = f"localhost:{registry_port}"
    tell_nodes(registry)
    fill_registry(registry, STATE_ROOT / "registry")
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    kubeconfig.unlink(missing_ok=True)
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(admin_kubeconfig().read_text())
    return Rented(kubeconfig, registry, {"PATH": _path(), "KUBECONFIG": str(kubeconfig)})


def _path() -> str:
    """kubectl and helm first, then where this machine has what the demo builds with, then the system's own."""
    own = [str(Path(require(name)).parent) for name in ("kubectl", "helm")]
    found = [str(Path(place).parent) for name in ("python3", "node", "go") if (place := shutil.which(name))]
    system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return ":".join(dict.fromkeys([*own, *found, *system]))


def start_registry(port: int) -> None:
    """Starts it, with a relay to that port of 127.0.0.1, and waits until it answers."""
    folder = STATE_ROOT / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"{HUB_ADDRESS}:{REGISTRY_PORT}"},
    }
    file = folder / "config.yml"
    file.write_text(yaml.safe_dump(config))
    table = lock.table()
    table.start("registry", network.inside(HUB, ["docker-registry", "serve", str(file)]))
    command, environment = relay.command(HUB, [f"{port}={HUB_ADDRESS}:{REGISTRY_PORT}"])
    table.start("relay-registry", command, environment)
    wait_until("the registry answers", lambda: _answers(port), timeout=30, hint=lambda: table.log_tail("registry"))


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/", timeout=2).is_success
    except httpx.TransportError:
        return False


def tell_nodes(registry: str) -> None:
    """Both nodes find the registry by the user's name for it, and what docker.io holds there too."""
    where = f'[host."http://{HUB_ADDRESS}:{REGISTRY_PORT}"]\n  capabilities = ["pull", "resolve"]\n'
    for node in cluster.nodes(cluster.control_plane(0)):
        for name in (registry, "docker.io"):
            folder = node.registries / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts.toml").write_text(where)


def fill_registry(registry: str, folder: Path) -> None:
    """Traefik under its public name, made from the wheel's program, since nothing public answers here."""
    text = (checkout() / GATEWAY_FILE).read_text()
    found = re.search(r"image: docker\.io/(library/traefik:v(\S+))", text)
    assert found is not None
    said = run([traefik(), "version"]).stdout
    assert re.search(rf"Version:\s+v?{re.escape(found.group(2))}\b", said), said
    buildah, name = Buildah(), "localhost/te-traefik:rented"
    buildah.image_from_files(name, {"/usr/local/bin/traefik": Path(traefik())}, ImageConfig(user="65532:65532"))
    archive = folder / "traefik.tar"
    buildah.push(name, archive)
    target = f"docker://{registry}/{found.group(1)}"
    run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci-archive:{archive}", target], timeout=300)
    archive.unlink()


def everything(kubectl: Kubectl) -> dict[str, str]:
    """All objects of all kinds: which they are -> uid, labels and taints."""
    kinds = kubectl.run("api-resources", "--verbs=list", "--output=name").split()
    wanted = [kind for kind in kinds if kind.partition(".")[0] != "events" and kind not in PASSING]
    text = kubectl.run("get", ",".join(wanted), "--all-namespaces", "--output=json", "--ignore-not-found", timeout=120)
    found = {}
    for item in json.loads(text)["items"]:
        metadata = item["metadata"]
        key = f"{item['apiVersion']} {item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        taints = item.get("spec", {}).get("taints") or [] if item["kind"] == "Node" else None
        # What the node's own health puts there comes and goes by itself.
        taints = taints and [taint for taint in taints if not taint["key"].startswith("node.kubernetes.io/")]
        found[key] = json.dumps([metadata.get("uid"), metadata.get("labels"), taints], sort_keys=True)
    return found


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """One line for each object that came, went or changed."""
    gone = [f"- {key}" for key in sorted(before.keys() - after.keys())]
    new = [f"+ {key}" for key in sorted(after.keys() - before.keys())]
    other = [
        f"! {key}: {before[key]} -> {after[key]}"
        for key in sorted(before.keys() & after.keys())
        if before[key] != after[key]
    ]
    return [*gone, *new, *other]


def wait_same(kubectl: Kubectl, before: Mapping[str, str], timeout: float = 90.0) -> None:
    """Waits until all is as it was: what hangs on a deleted object goes a little later."""
    last: list[str] = []

    def same() -> bool:
        last[:] = difference(before, everything(kubectl))
        return not last

    wait_until("exactly what was there before", same, timeout=timeout, every=2.0, hint=lambda: "\n".join(last))
