"""Which Gateway takes the engine's route, and how this machine comes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Manifest

from te_demo.existing.sight import Seen
from te_demo.person import HOST
from te_demo.product import NAMESPACE

TRAEFIK = "traefik.io/gateway-controller"
NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
"""What implementations put on the Service of a Gateway's data plane."""
ENVOY_LABELS = ("gateway.envoyproxy.io/owning-gateway-namespace", "gateway.envoyproxy.io/owning-gateway-name")
Reachable = Callable[[str, int], bool]
"""Whether a connection to (address, port) from this machine comes about."""


@dataclass(frozen=True)
class Service:
    """The Service in front of a Gateway's data plane, and its port that leads to the listener."""

    namespace: str
    name: str
    port: int


@dataclass(frozen=True)
class Gateway:
    """A Gateway with an HTTP listener that takes routes from the demo's namespace."""

    namespace: str
    name: str
    controller: str
    port: int
    addresses: tuple[str, ...]

    @property
    def traefik(self) -> bool:
        """Whose data plane decides how fast it follows changes."""
        return self.controller == TRAEFIK


@dataclass(frozen=True)
class Reach:
    """How this machine comes to the Gateway: an address, or a port-forward to `service`."""

    host: str
    port: int
    address: str = ""
    service: Service | None = None


def choose(seen: Seen, wanted: str) -> Gateway:
    """The Gateway of that `namespace/name`, or the only one that fits; DevclusterError says why there is none."""
    if seen.gateways is None:
        raise DevclusterError("there are no Gateways without the Gateway API", "install its CRDs first")
    named = [item for item in seen.gateways if not wanted or _full_name(item) == wanted]
    if wanted and not named:
        raise DevclusterError(f"there is no Gateway {wanted}", "look with: kubectl get gateways --all-namespaces")
    why: list[str] = []
    fitting: list[Gateway] = []
    for item in named:
        reason = unfit(item, seen.namespace(NAMESPACE))
        if reason:
            why.append(f"{_full_name(item)} {reason}")
        else:
            fitting.append(_gateway(item, seen.gateway_classes))
    if not fitting:
        detail = "; ".join(why) or "there is none"
        raise DevclusterError(detail, "kubectl apply -f demo/gateway.yaml    # a small Traefik, or any other Gateway")
    if len(fitting) > 1:
        names = " or ".join(f"GATEWAY={one.namespace}/{one.name}" for one in fitting)
        raise DevclusterError(f"{len(fitting)} Gateways would do", f"say which: {names}")
    return fitting[0]


def _full_name(item: Manifest) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def unfit(item: Manifest, namespace: Manifest | None) -> str:
    """Why a Gateway does not do, as the end of a sentence; empty when it does."""
    listeners = [one for one in item["spec"].get("listeners", []) if one.get("protocol") == "HTTP"]
    if not listeners:
        return "has no listener of protocol HTTP"
    if not any(_admits(one, item["metadata"]["namespace"], namespace) for one in listeners):
        return f"takes no routes from the namespace {NAMESPACE}"
    conditions = item.get("status", {}).get("conditions", [])
    programmed = [one for one in conditions if one["type"] == "Programmed"]
    if not programmed or programmed[0]["status"] != "True":
        said = programmed[0].get("message", "") if programmed else "nobody works for it"
        return f"is not programmed: {said}".rstrip(": ")
    return ""


def _admits(listener: Mapping[str, Any], home: str, namespace: Manifest | None) -> bool:
    allowed = listener.get("allowedRoutes", {})
    kinds = allowed.get("kinds") or [{"kind": "HTTPRoute"}]
    if all(kind["kind"] != "HTTPRoute" for kind in kinds):
        return False
    rule = allowed.get("namespaces", {})
    source = rule.get("from", "Same")
    if source == "Selector":
        labels = {"kubernetes.io/metadata.name": NAMESPACE}
        labels |= (namespace or {}).get("metadata", {}).get("labels", {})
        return _selects(rule.get("selector", {}), labels)
    return bool(source == "All" or (source == "Same" and home == NAMESPACE))


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    pairs: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in pairs.items()):
        return False
    return all(_meets(term, labels) for term in selector.get("matchExpressions") or [])


def _meets(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = term["key"], term.get("values") or []
    answers = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return answers[term["operator"]]


def _gateway(item: Manifest, classes: Sequence[Manifest]) -> Gateway:
    class_name = item["spec"].get("gatewayClassName", "")
    controllers = [one["spec"]["controllerName"] for one in classes if one["metadata"]["name"] == class_name]
    listener = next(one for one in item["spec"]["listeners"] if one.get("protocol") == "HTTP")
    addresses = tuple(one["value"] for one in item.get("status", {}).get("addresses", []) if one.get("value"))
    return Gateway(
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        controller=controllers[0] if controllers else "",
        port=int(listener["port"]),
        addresses=addresses,
    )


def find_service(gateway: Gateway, services: Sequence[Manifest], wanted: str = "") -> Service | None:
    """The Service of the data plane: the one named `namespace/name[:port]`, a labelled one, or one with its address.

    DevclusterError when the named one is not there. Only a Service that selects pods can be forwarded to.
    """
    if wanted:
        return _named_service(gateway, services, wanted)
    for item in services:
        metadata, spec = item["metadata"], item["spec"]
        labels = metadata.get("labels") or {}
        home, name = (labels.get(key) for key in ENVOY_LABELS)
        labelled = metadata["namespace"] == gateway.namespace and labels.get(NAME_LABEL) == gateway.name
        owned = (home, name) == (gateway.namespace, gateway.name)
        if spec.get("selector") and (labelled or owned or _addresses(item) & set(gateway.addresses)):
            port = _service_port(gateway, spec.get("ports") or [])
            if port is not None:
                return Service(metadata["namespace"], metadata["name"], port)
    return None


def _named_service(gateway: Gateway, services: Sequence[Manifest], wanted: str) -> Service:
    full_name, _, port_text = wanted.partition(":")
    namespace, _, name = full_name.partition("/")
    for item in services:
        if (item["metadata"]["namespace"], item["metadata"]["name"]) == (namespace, name):
            port = int(port_text) if port_text.isdigit() else _service_port(gateway, item["spec"].get("ports") or [])
            if port is not None:
                return Service(namespace, name, port)
            raise DevclusterError(f"none of its ports leads to {gateway.port}", f"say which: {full_name}:PORT")
    raise DevclusterError(f"there is no Service {full_name}", "look with: kubectl get services --all-namespaces")


def _addresses(service: Manifest) -> set[str]:
    spec = service["spec"]
    ingress = (service.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    found = {one.get("ip") or one.get("hostname") or "" for one in ingress}
    found |= {*(spec.get("externalIPs") or []), spec.get("clusterIP") or ""}
    return found - {"", "None"}


def _service_port(gateway: Gateway, ports: Sequence[Mapping[str, Any]]) -> int | None:
    def same(port: Mapping[str, Any]) -> bool:
        return gateway.port in (port["port"], port.get("targetPort"))

    def usual(port: Mapping[str, Any]) -> bool:
        return port.get("name") in ("web", "http")

    for fits in (same, usual):
        for port in ports:
            if fits(port):
                return int(port["port"])
    return int(ports[0]["port"]) if len(ports) == 1 else None


def find_reach(gateway: Gateway, service: Service | None, host: str, reachable: Reachable) -> Reach:
    """How this machine comes to the Gateway under that host name; DevclusterError when it does not.

    A browser takes every name below `localhost` for its own machine, so only a loopback address answers to one.
    """
    local = host == "localhost" or host.endswith(".localhost")
    for address in gateway.addresses:
        if (not local or _loopback(address)) and reachable(address, gateway.port):
            return Reach(host, gateway.port, address=address)
    if service is not None:
        return Reach(host, service.port, service=service)
    known = ", ".join(gateway.addresses) or "none"
    mend = "name the Service in front of its data plane, for kubectl port-forward: GATEWAY_SERVICE=namespace/name"
    if local and any(reachable(address, gateway.port) for address in gateway.addresses):
        mend = f"name a host that leads to it, instead of {host}: DESK_HOST=desk.example.com; or {mend}"
    raise DevclusterError(f"this machine has no way to it (addresses: {known}, port {gateway.port})", mend)


def _loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "localhost")


def engine_changes(gateway: Gateway, host: str = HOST) -> dict[str, Any]:
    """What the engine's spec says of it: its name, and that nobody set this data plane's throttle."""
    changed: dict[str, Any] = {"namespace": gateway.namespace, "name": gateway.name, "throttle": None}
    if not gateway.traefik:
        changed["metrics"] = {"dialect": "none"}
    return {"host": host, "gateway": changed}
