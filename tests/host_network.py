"""What a network namespace holds, as far as it stays the same when nobody changes it: to compare before and after."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any, TypeAlias

Network: TypeAlias = dict[str, set[str]]
"""Kind of thing -> each thing in one line."""

LASTING_FLAGS = frozenset({"UP", "PROMISC", "ALLMULTI"})
LIFETIMES = frozenset({"valid_life_time", "preferred_life_time", "expires", "dynamic", "deprecated", "tentative"})
SYSCTLS = (
    *("net/ipv4/ip_forward", "net/ipv4/ip_nonlocal_bind", "net/ipv4/ip_local_port_range"),
    *(f"net/ipv4/conf/{which}/{name}" for which in ("all", "default") for name in ("rp_filter", "route_localnet")),
    *(f"net/{family}/conf/{which}/forwarding" for family in ("ipv4", "ipv6") for which in ("all", "default")),
    "net/bridge/*",
)


def read_network(inside: Sequence[str] = ()) -> Network:
    """The namespace that `inside` (a command's first words, such as `ip netns exec NAME`) enters; none: our own.

    Counters, lifetimes, and whether a cable is plugged in are left out.
    """

    def said(*command: str) -> str:
        return subprocess.run([*inside, *command], check=True, capture_output=True, text=True, timeout=30).stdout

    def listed(*arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(said("ip", "-json", *arguments) or "[]")
        return found

    links = listed("link")
    routes = [*listed("-4", "route", "show", "table", "all"), *listed("-6", "route", "show", "table", "all")]
    legacy = "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2> /dev/null || true"
    sysctls = " ".join(f"/proc/sys/{name}" for name in SYSCTLS)
    return {
        "link": {_link(link) for link in links},
        "address": {
            _line({"dev": item["ifname"], **address})
            for item in listed("address")
            for address in item["addr_info"]
            if not address.get("temporary")
        },
        "route": {_line(route) for route in routes},
        "rule": {_line(rule) for family in ("-4", "-6") for rule in listed(family, "rule")},
        "nftables": set(said("nft", "--stateless", "list", "ruleset").splitlines()),
        "iptables": set(said("sh", "-c", legacy).split()),
        "sysctl": set(said("sh", "-c", f"grep -Hs '' {sysctls} || true").splitlines()),
    }


def _link(link: dict[str, Any]) -> str:
    kept = {name: link.get(name) for name in ("ifname", "link_type", "mtu", "address", "master")}
    return _line({**kept, "flags": sorted(LASTING_FLAGS.intersection(link["flags"]))})


def _line(thing: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in thing.items() if name not in LIFETIMES}, sort_keys=True)


def changes(before: Network, after: Network) -> list[str]:
    """`+` what came and `-` what went, by kind; empty when the namespace is as it was.

    An interface that came as a port of a bridge which was there before is its owner's (another container program's),
    as is what hangs on it.
    """
    bridged = {
        link["ifname"]
        for link in map(json.loads, after["link"] - before["link"])
        if any(json.loads(old)["ifname"] == link["master"] for old in before["link"])
    }
    found = []
    for kind in before:
        came = {line for line in after[kind] - before[kind] if not any(f'"{name}"' in line for name in bridged)}
        found += [f"+ {kind} {line}" for line in sorted(came)]
        found += [f"- {kind} {line}" for line in sorted(before[kind] - after[kind])]
    return found
