"""Network namespaces joined by a bridge, all of them ours: the host's own network is not touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from te_devcluster.commands import run

HUB = "te-hub"
HUB_ADDRESS = "10.200.0.1"
PREFIX = 24
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
POD_RANGE = "10.244.0.0/16"
BRIDGE = "br0"
NETNS_DIR = Path("/run/netns")


@dataclass(frozen=True)
class NodeNetwork:
    """One node's place in the network. `link` is the hub's end of its veth pair: taking it down cuts the node off."""

    name: str
    address: str
    pod_range: str

    @property
    def namespace(self) -> str:
        """The network namespace of the node."""
        return f"te-{self.name}"

    @property
    def link(self) -> str:
        """The hub's side of the node's link."""
        return f"v-{self.name}"


NODES = (
    NodeNetwork("cloud", "10.200.0.2", "10.244.0.0/24"),
    NodeNetwork("edge", "10.200.0.3", "10.244.1.0/24"),
)


def node_named(name: str) -> NodeNetwork:
    """The node of that name; KeyError otherwise."""
    return {node.name: node for node in NODES}[name]


def inside(namespace: str, command: list[str]) -> list[str]:
    """The command that runs `command` in a network namespace (`ip netns exec` would hide the cgroup mounts)."""
    return ["nsenter", f"--net={NETNS_DIR / namespace}", *command]


def ip_batch(namespace: str, lines: list[str]) -> None:
    """Runs several `ip` commands, one per line, inside a namespace."""
    run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(lines) + "\n")


def exists(namespace: str) -> bool:
    """True when the namespace has its name."""
    return (NETNS_DIR / namespace).exists()


def delete(namespace: str) -> None:
    """Removes a namespace and all that was made in it; nothing happens when there is none."""
    if exists(namespace):
        run(["ip", "netns", "delete", namespace])


def create_hub(namespace: str) -> None:
    """A namespace with loopback and the bridge that holds the control plane's address. It has no default route."""
    run(["ip", "netns", "add", namespace])
    ip_batch(
        namespace,
        [
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"address add {HUB_ADDRESS}/{PREFIX} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ],
    )


def create_nodes() -> None:
    """The nodes' namespaces, their links to the hub, and the routes between the pod ranges."""
    forward(HUB)
    for node in NODES:
        run(["ip", "netns", "add", node.namespace])
        ip_batch(HUB, [f"link add {node.link} type veth peer name eth0 netns {node.namespace}"])
        ip_batch(HUB, [f"link set {node.link} master {BRIDGE}", f"link set {node.link} up"])
        ip_batch(node.namespace, node_commands(node))
        forward(node.namespace)
    ip_batch(HUB, [f"route add {node.pod_range} via {node.address}" for node in NODES])


def node_commands(node: NodeNetwork) -> list[str]:
    """What `ip` is told inside a node's namespace."""
    return [
        "link set lo up",
        f"address add {node.address}/{PREFIX} dev eth0",
        "link set eth0 up",
        f"route add default via {HUB_ADDRESS}",
        *(f"route add {other.pod_range} via {other.address}" for other in NODES if other != node),
    ]


def forward(namespace: str) -> None:
    """Lets a namespace pass packets on."""
    run(inside(namespace, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))


def cut(node: NodeNetwork) -> None:
    """Takes the hub's side of the node's link down; the node's own addresses and routes stay."""
    ip_batch(HUB, [f"link set {node.link} down"])


def heal(node: NodeNetwork) -> None:
    """Takes the link up again."""
    ip_batch(HUB, [f"link set {node.link} up"])


def is_cut(node: NodeNetwork) -> bool:
    """True while the link is down."""
    answer = run(["ip", "-n", HUB, "-brief", "link", "show", "dev", node.link]).stdout.split()
    return len(answer) < 2 or answer[1] == "DOWN"
