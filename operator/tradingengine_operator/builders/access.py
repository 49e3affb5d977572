"""Who a pod is, who may talk to whom, and that nobody but the operator takes the edge away."""

from __future__ import annotations

from collections.abc import Sequence

from . import names
from .context import EngineContext, Manifest

OPERATOR_SELECTOR = {names.LABEL_NAME: "tradingengine-operator"}


def build_access(ctx: EngineContext) -> list[Manifest]:
    """ServiceAccounts without tokens and NetworkPolicies of all components that exist; the edge's disruption budget."""
    components = _components(ctx)
    return [
        *(_service_account(ctx, component) for component in components),
        *_policies(ctx, components),
        *_budgets(ctx),
    ]


def _components(ctx: EngineContext) -> list[names.Component]:
    spec = ctx.spec
    components: list[names.Component] = ["api", "dashboard", "migrations", "prober"]
    if spec.edge.enabled:
        components.append("edge")
    if "embedded" in (spec.database.type, spec.cache.type):
        components.append("access")
    if spec.database.type == "embedded":
        components.append("database")
    if spec.cache.type == "embedded":
        components.append("cache")
    if not spec.monitoring.prometheus:
        components.append("prometheus")
    return components


def _service_account(ctx: EngineContext, component: names.Component) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": ctx.metadata(names.component(ctx.name, component), component),
        "automountServiceAccountToken": False,
    }


def _policies(ctx: EngineContext, components: Sequence[names.Component]) -> list[Manifest]:
    control = _ingress(_control_callers(ctx), names.CONTROL_PORT)
    web = [_ingress(None, names.HTTP_PORT), control]
    store_callers = [_peer(ctx, component) for component in ("api", "dashboard", "migrations", "access")]
    cache_callers = [_peer(ctx, component) for component in ("api", "dashboard", "edge", "access")]
    ingress: dict[names.Component, list[Manifest]] = {
        "api": web,
        "dashboard": web,
        "migrations": [],
        "access": [],
        "edge": [control],
        "prober": [control],
        "database": [_ingress(store_callers, names.DATABASE_PORT)],
        "cache": [_ingress(cache_callers, names.CACHE_PORT)],
        "prometheus": [_ingress([_operator()], names.PROMETHEUS_PORT)],
    }
    egress: dict[names.Component, list[Manifest] | None] = {
        "database": [],
        "cache": [],
        "edge": _edge_egress(ctx),
        "prober": _prober_egress(ctx),
    }
    return [_policy(ctx, component, ingress[component], egress.get(component)) for component in components]


def _control_callers(ctx: EngineContext) -> list[Manifest] | None:
    """The operator and our Prometheus; somebody else's Prometheus may be anywhere."""
    if ctx.spec.monitoring.prometheus:
        return None
    return [_operator(), _peer(ctx, "prometheus")]


def _operator() -> Manifest:
    return {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(OPERATOR_SELECTOR)}}


def _peer(ctx: EngineContext, component: names.Component) -> Manifest:
    return {"podSelector": {"matchLabels": ctx.selector(component)}}


def _port(port: int, protocol: str = "TCP") -> Manifest:
    return {"port": port, "protocol": protocol}


def _ingress(peers: list[Manifest] | None, port: int) -> Manifest:
    entry: Manifest = {"ports": [_port(port)]}
    return entry | ({"from": peers} if peers is not None else {})


def _edge_egress(ctx: EngineContext) -> list[Manifest] | None:
    """Name service, the cache, and what the specification names; a managed cache may be anywhere, so no limit then."""
    if ctx.spec.cache.type == "managed":
        return None
    named = [
        {"to": [{"ipBlock": {"cidr": entry.cidr}}], "ports": [_port(entry.port)]} for entry in ctx.spec.edge.egress
    ]
    return [
        {"ports": [_port(53, "UDP"), _port(53)]},
        {"to": [_peer(ctx, "cache")], "ports": [_port(names.CACHE_PORT)]},
        *named,
    ]


def _prober_egress(ctx: EngineContext) -> list[Manifest]:
    """Name service and the slots."""
    slots = [_peer(ctx, component) for component in names.SLOT_COMPONENTS]
    return [{"ports": [_port(53, "UDP"), _port(53)]}, {"to": slots, "ports": [_port(names.HTTP_PORT)]}]


def _policy(
    ctx: EngineContext, component: names.Component, ingress: list[Manifest], egress: list[Manifest] | None
) -> Manifest:
    spec: Manifest = {
        "podSelector": {"matchLabels": ctx.selector(component)},
        "policyTypes": ["Ingress"] if egress is None else ["Ingress", "Egress"],
    }
    # An empty list means the same as none, but the server drops it, and each apply would then write anew.
    if ingress:
        spec["ingress"] = ingress
    if egress:
        spec["egress"] = egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": ctx.metadata(names.component(ctx.name, component), component),
        "spec": spec,
    }


def _budgets(ctx: EngineContext) -> list[Manifest]:
    """The edge is never evicted, since only the operator may replace it; a slot's budget comes with the slot."""
    if not ctx.spec.edge.enabled:
        return []
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": ctx.metadata(names.component(ctx.name, "edge"), "edge"),
            "spec": {
                "minAvailable": 1,
                "unhealthyPodEvictionPolicy": "IfHealthyBudget",
                "selector": {"matchLabels": ctx.selector("edge")},
            },
        }
    ]
