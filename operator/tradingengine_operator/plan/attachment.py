"""Where a route hangs: Gateway and host. The old ones stay until the new ones are proved; nothing unproved is alone.

A route may name several Gateways and hosts. So a change first adds, and takes away once the new Gateway accepted that
very generation and its data plane had time to follow. What is known not to work (a Gateway that is not there, a host
that another engine has) is not added at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tradingengine_operator.builders import Manifest
from tradingengine_operator.builders.route import parent_reference

_WEB = frozenset({"HTTP", "HTTPS"})


class GatewayKey(NamedTuple):
    """A Gateway by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Target:
    """What the specification asks for."""

    gateway: GatewayKey
    host: str


@dataclass(frozen=True)
class Attachment:
    """`parentRefs` and `hostnames` of a route. Without a parent it is attached to nothing and serves nobody."""

    parents: tuple[Manifest, ...]
    hosts: tuple[str, ...]


def attach(
    observed: Mapping[str, Any] | None, target: Target, *, usable: bool, followed: bool, yields: bool = False
) -> Attachment | None:
    """The attachment to write now; None when no route is to be made yet.

    `usable`: nothing is known that keeps the target from serving. `followed`: the data plane had the time that it
    takes to follow the last change of the route. `yields`: another engine has the better right to what is in force,
    so that this one serves nobody by it.
    """
    wanted = Attachment((parent_reference(*target.gateway),), (target.host,))
    if observed is None:
        return wanted if usable else None
    old = in_force(observed, target)
    if not usable:
        return Attachment((), old.hosts) if yields else old
    if followed and target.host in hosts_of(observed) and accepts(observed, target.gateway):
        return wanted
    kept = tuple(
        entry
        for entry in old.parents
        if gateway_of(observed, entry) != target.gateway and accepts(observed, gateway_of(observed, entry), ever=True)
    )
    serves = any(accepts(observed, gateway, ever=True) for gateway in gateways_of(observed))
    hosts = tuple(host for host in old.hosts if host != target.host) if serves else ()
    return Attachment((*kept, *wanted.parents), (*hosts, *wanted.hosts))


def in_force(observed: Mapping[str, Any], target: Target) -> Attachment:
    """By what a route serves while its target is not proved.

    Of several Gateways or hosts that is what stands beside the target's: a target that was proved stands alone.
    """
    named = tuple(dict(entry) for entry in observed["spec"].get("parentRefs") or ())
    parents = tuple(entry for entry in named if accepts(observed, gateway_of(observed, entry), ever=True)) or named
    others = tuple(entry for entry in parents if gateway_of(observed, entry) != target.gateway)
    hosts = hosts_of(observed)
    return Attachment(others or parents, tuple(host for host in hosts if host != target.host) or (target.host,))


def gateway_of(observed: Mapping[str, Any], parent: Mapping[str, Any]) -> GatewayKey:
    """The Gateway of one of a route's references; without a namespace it is the route's own."""
    return GatewayKey(parent.get("namespace", observed["metadata"]["namespace"]), str(parent.get("name", "")))


def gateways_of(observed: Mapping[str, Any]) -> tuple[GatewayKey, ...]:
    """All Gateways that a route names."""
    return tuple(gateway_of(observed, entry) for entry in observed["spec"].get("parentRefs") or ())


def hosts_of(observed: Mapping[str, Any]) -> tuple[str, ...]:
    """All hosts that a route names; none stands for any host."""
    return tuple(observed["spec"].get("hostnames") or ())


def accepts(observed: Mapping[str, Any], gateway: GatewayKey, *, ever: bool = False) -> bool:
    """Whether a Gateway accepts a route: this very generation of it, or as far as it said at all (`ever`)."""
    generation = observed["metadata"].get("generation", 0)
    return any(
        entry.get("type") == "Accepted"
        and entry.get("status") == "True"
        and (ever or entry.get("observedGeneration", 0) >= generation)
        for conditions in words_of(observed, gateway)
        for entry in conditions
    )


def words_of(observed: Mapping[str, Any], gateway: GatewayKey) -> Iterator[list[Mapping[str, Any]]]:
    """The conditions that each controller wrote for a Gateway on a route."""
    for parent in (observed.get("status") or {}).get("parents") or ():
        if gateway_of(observed, parent.get("parentRef") or {}) == gateway:
            yield list(parent.get("conditions") or ())


def admits(gateway: Mapping[str, Any], host: str, namespace: str) -> bool:
    """Whether a listener of a Gateway takes this host, as far as it can be told without asking its controller.

    A Gateway accepts a route when a listener takes ANY of its hosts, so while a route carries two of them its word
    says nothing of the new one. Listeners that are closed to the route's namespace do not count; when all of them are
    closed, that is for the Gateway to say.
    """
    spec = gateway.get("spec") or {}
    listeners = [entry for entry in spec.get("listeners") or () if entry.get("protocol", "HTTP") in _WEB]
    own = gateway["metadata"].get("namespace")
    opened = [entry for entry in listeners if own == namespace or not _closed(entry)]
    return not listeners or any(_matches(entry.get("hostname") or "", host) for entry in opened or listeners)


def _closed(listener: Mapping[str, Any]) -> bool:
    """Whether a listener takes routes of its own namespace alone, as it does unless it says otherwise."""
    namespaces = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    return bool(namespaces.get("from", "Same") == "Same")


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern[1:])
    return pattern in {"", host}
