"""The end-to-end tests compare the host's network before and after: here is proved that they would see a change."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.host_network import changes, read_network

pytestmark = pytest.mark.integration


@pytest.fixture
def inside() -> Iterator[list[str]]:
    """The words that enter a network namespace of this test's own, with a bridge of somebody's in it."""
    name = f"te-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        words = ["ip", "netns", "exec", name]
        subprocess.run(
            [*words, "sh", "-ec", "ip link set lo up; ip link add their address 02:00:00:00:00:02 type bridge"],
            check=True,
        )
        yield words
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_nothing_changes_while_nobody_does_anything(inside: list[str]) -> None:
    before = read_network(inside)
    subprocess.run([*inside, "sh", "-ec", "ip neigh add 127.0.0.9 lladdr 02:00:00:00:00:01 dev lo"], check=True)
    assert changes(before, read_network(inside)) == []
    assert before["link"]
    assert before["address"]
    assert before["route"]
    assert before["sysctl"]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("ip link add x type bridge", "+ link"),
        ("ip link add x type veth peer name y", "+ link"),
        ("ip link set lo mtu 1500", "- link"),
        ("ip address add 10.200.0.1/32 dev lo", "+ address"),
        ("ip route add 10.244.0.0/24 dev lo", "+ route"),
        ("ip route add blackhole 10.244.0.0/24 table 77", "+ route"),
        ("ip rule add from 10.244.0.0/24 table 77", "+ rule"),
        ("nft add table ip kube-proxy", "+ nftables"),
        ("echo 1 > /proc/sys/net/ipv4/ip_forward", "+ sysctl /proc/sys/net/ipv4/ip_forward:1"),
        ("echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet", "+ sysctl"),
    ],
)
def test_each_change_is_seen(inside: list[str], script: str, kind: str) -> None:
    before = read_network(inside)
    subprocess.run([*inside, "sh", "-ec", script], check=True)
    found = changes(before, read_network(inside))
    assert any(line.startswith(kind) for line in found), found


def test_counters_are_no_change(inside: list[str]) -> None:
    setup = "nft add table t; nft add chain t c { type filter hook output priority 0 \\; }; nft add rule t c counter"
    subprocess.run([*inside, "sh", "-ec", setup], check=True)
    before = read_network(inside)
    subprocess.run([*inside, "bash", "-ec", "echo x > /dev/udp/127.0.0.1/9"], check=True)
    listed = subprocess.run([*inside, "nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout
    assert "counter packets" in listed
    assert "counter packets 0 " not in listed
    assert changes(before, read_network(inside)) == []


def test_a_port_of_a_bridge_that_was_there_is_its_owner_s(inside: list[str]) -> None:
    other = f"{inside[-1]}-b"
    script = f"ip link add port0 type veth peer name peer0 netns {other}; ip link set port0 master their up"
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        before = read_network(inside)
        subprocess.run([*inside, "sh", "-ec", script], check=True)
        after = read_network(inside)
    finally:
        subprocess.run(["ip", "netns", "delete", other], check=True)
    assert "port0" in " ".join(after["link"])
    assert changes(before, after) == []
