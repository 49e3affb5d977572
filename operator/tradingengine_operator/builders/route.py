"""The HTTPRoute: weights decide for new visitors, a rule of each live release keeps the others where they are."""

from __future__ import annotations

from collections.abc import Mapping

from tradingengine_operator.api import Slot

from . import names
from .context import EngineContext, Manifest

#: Weights are in tenths of a percent, so that a step of 0.1 % is a whole number.
FULL = 1000
API_PREFIXES = ("/v1", "/ws")
COOKIE = "te-release"
#: Pages of release N lie under `/r/N` where the Gateway can match no cookie.
PATH = "/r/"
#: Tells the dashboard how people are kept on a release: by path, or by the path of the very release that answers.
STICKY_HEADER = "x-te-sticky"
BY_PATH, BY_OWN_PATH = "path", "own-path"


def cookie_pattern(number: int) -> str:
    """Regular expression of a Cookie header that names release `number`."""
    return _cookie_pattern(COOKIE, str(number))


def build_rules(
    ctx: EngineContext, live: Mapping[Slot, int], weights: Mapping[Slot, int], trying: Slot | None = None
) -> list[Manifest]:
    """Our rules, in order: who wants the new release, then rules of the live releases, then the weighted ones.

    `live` maps a slot to the release it serves; `weights` maps slots to tenths of a percent, 0 to 1000; `trying` is the
    slot that who asks for it by `rollout.match` is given. Of rules that match alike the first one counts. All that the
    API server would add as a default is written out, so that what is read back equals what was sent.
    """
    by_path = ctx.spec.gateway.sticky == "path"
    return [
        *(_match_rule(ctx, part, trying, by_path=by_path) for part in _tried(ctx, trying)),
        *(
            _release_rule(ctx, part, slot, live[slot], by_path=by_path)
            for slot in names.SLOTS
            if slot in live
            for part in names.SLOT_COMPONENTS
        ),
        *(
            _rule(
                component,
                [_match(path) for path in _paths(component)],
                [_backend(ctx, component, slot, weights[slot]) for slot in names.SLOTS if slot in weights],
                told=BY_PATH if by_path and component == "dashboard" else "",
            )
            for component in names.SLOT_COMPONENTS
        ),
    ]


def build_route(
    ctx: EngineContext, live: Mapping[Slot, int], weights: Mapping[Slot, int], trying: Slot | None = None
) -> Manifest:
    """The whole HTTPRoute. Once it exists, only our rules are changed in place: `rules` is one atomic list."""
    gateway = ctx.spec.gateway
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": ctx.metadata(names.route(ctx.name), "release"),
        "spec": {
            "parentRefs": [parent_reference(gateway.namespace, gateway.name)],
            "hostnames": [ctx.spec.host],
            "rules": build_rules(ctx, live, weights, trying),
        },
    }


def parent_reference(namespace: str, name: str) -> Manifest:
    """A Gateway as a route names it, with all that the API server would add as a default."""
    return {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name, "namespace": namespace}


def _tried(ctx: EngineContext, trying: Slot | None) -> tuple[names.SlotComponent, ...]:
    return names.SLOT_COMPONENTS if trying is not None and _asking(ctx) else ()


def _asking(ctx: EngineContext) -> list[Manifest]:
    """Header matches, any of which asks for the new release."""
    match = ctx.spec.rollout.match
    if match is None:
        return []
    headers = [{"type": "Exact", "name": entry.name, "value": entry.value} for entry in match.headers]
    return headers + [_cookie(entry.name, entry.value) for entry in match.cookies]


def _match_rule(ctx: EngineContext, component: names.SlotComponent, slot: Slot | None, *, by_path: bool) -> Manifest:
    return _rule(
        names.match_rule(component),
        [_match(path, header) for path in _paths(component) for header in _asking(ctx)],
        [_backend(ctx, component, slot, FULL)] if slot is not None else [],
        told=BY_OWN_PATH if by_path and component == "dashboard" else "",
    )


def _release_rule(
    ctx: EngineContext, component: names.SlotComponent, slot: Slot, number: int, *, by_path: bool
) -> Manifest:
    """Who was given a release stays there: by the cookie that its page set, or by the path under which it lies."""
    if by_path:
        prefix = f"{PATH}{number}"
        matches = [_match(f"{prefix}{path}".rstrip("/")) for path in _paths(component)]
    else:
        matches = [_match(path, _cookie(COOKIE, str(number))) for path in _paths(component)]
    return _rule(
        names.release_rule(component, slot),
        matches,
        [_backend(ctx, component, slot, FULL)],
        told=BY_PATH if by_path and component == "dashboard" else "",
    )


def _rule(name: str, matches: list[Manifest], backends: list[Manifest], *, told: str) -> Manifest:
    rule: Manifest = {"name": name, "matches": matches, "backendRefs": backends}
    if told:
        change = {"set": [{"name": STICKY_HEADER, "value": told}]}
        rule["filters"] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": change}]
    return rule


def _cookie(name: str, value: str) -> Manifest:
    return {"type": "RegularExpression", "name": "Cookie", "value": _cookie_pattern(name, value)}


def _cookie_pattern(name: str, value: str) -> str:
    # Of what the specification lets through, only a dot means something in an expression.
    pair = f"{name}={value}".replace(".", r"\.")
    return rf"(^|.*;\s*){pair}(;.*|$)"


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
