"""The HTTPRoute: weights decide for new visitors, cookie rules keep the others where they are."""

from __future__ import annotations

from collections.abc import Mapping

from tradingengine_operator.api import Slot

from . import names
from .context import EngineContext, Manifest

#: Weights are in tenths of a percent, so that a step of 0.1 % is a whole number.
FULL = 1000
API_PREFIXES = ("/v1", "/ws")
COOKIE = "te-release"


def cookie_pattern(number: int) -> str:
    """Regular expression of a Cookie header that names release `number`."""
    return rf"(^|.*;\s*){COOKIE}={number}(;.*|$)"


def build_rules(ctx: EngineContext, live: Mapping[Slot, int], weights: Mapping[Slot, int]) -> list[Manifest]:
    """Our rules, in order: cookie rules of the live slots, then the weighted ones.

    `live` maps a slot to the release it serves; `weights` maps slots to tenths of a percent, 0 to 1000. All that
    the API server would add as a default is written out, so that what is read back equals what was sent.
    """
    rules: list[Manifest] = []
    for slot in names.SLOTS:
        if slot in live:
            header = {"type": "RegularExpression", "name": "Cookie", "value": cookie_pattern(live[slot])}
            rules += [
                {
                    "name": names.release_rule(component, slot),
                    "matches": [_match(path, header) for path in _paths(component)],
                    "backendRefs": [_backend(ctx, component, slot, FULL)],
                }
                for component in names.SLOT_COMPONENTS
            ]
    return rules + [
        {
            "name": component,
            "matches": [_match(path) for path in _paths(component)],
            "backendRefs": [_backend(ctx, component, slot, weights[slot]) for slot in names.SLOTS if slot in weights],
        }
        for component in names.SLOT_COMPONENTS
    ]


def build_route(ctx: EngineContext, live: Mapping[Slot, int], weights: Mapping[Slot, int]) -> Manifest:
    """The whole HTTPRoute. Once it exists, only our rules are changed in place: `rules` is one atomic list."""
    gateway = ctx.spec.gateway
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": ctx.metadata(names.route(ctx.name), "release"),
        "spec": {
            "parentRefs": [parent_reference(gateway.namespace, gateway.name)],
            "hostnames": [ctx.spec.host],
            "rules": build_rules(ctx, live, weights),
        },
    }


def parent_reference(namespace: str, name: str) -> Manifest:
    """A Gateway as a route names it, with all that the API server would add as a default."""
    return {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name, "namespace": namespace}


def _paths(component: names.SlotComponent) -> tuple[str, ...]:
    return API_PREFIXES if component == "api" else ("/",)


def _match(path: str, header: Manifest | None = None) -> Manifest:
    match: Manifest = {"path": {"type": "PathPrefix", "value": path}}
    return match | ({"headers": [dict(header)]} if header is not None else {})


def _backend(ctx: EngineContext, component: names.SlotComponent, slot: Slot, weight: int) -> Manifest:
    return {
        "group": "",
        "kind": "Service",
        "name": names.slot(ctx.name, component, slot),
        "port": names.SERVICE_PORT,
        "weight": weight,
    }
