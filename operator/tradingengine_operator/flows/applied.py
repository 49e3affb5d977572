"""`status.applied`: which fields of the specification are not in force yet, and what is in force in their place."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import EngineContext
from tradingengine_operator.builders.release import render_release
from tradingengine_operator.plan.attachment import Target, accepts, gateway_of, gateways_of, in_force
from tradingengine_operator.plan.routes import ACCEPTED

from .state import render_time

#: Longest value that is shown, in characters.
VALUE_LENGTH = 256
#: Longest path, and most entries, that a status may have; what is beyond is left out.
PATH_LENGTH = 256
MOST_FIELDS = 64
HIDDEN = "(not shown)"
_SECRET_FIELD = re.compile(r"(password|passwd|token|credential|secret|apikey)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s\"]*@|BEGIN [A-Z ]*PRIVATE KEY", re.IGNORECASE)
_NOTHING = object()
#: Fields of a release's configuration that the route alone follows.
_ROUTED = frozenset({"spec.host"})


@dataclass(frozen=True)
class InForce:
    """One field: its path (`spec.gateway.name`), the value that is in force, None when the field is not set there.

    `reason` is one word for why the specification cannot be followed, as a condition has it.
    """

    path: str
    value: Any
    reason: str


def differences(asked: Mapping[str, Any], in_force: Mapping[str, Any], path: str = "spec") -> Iterator[tuple[str, Any]]:
    """Path and value in force of every field that differs, by path. A list is one field."""
    for name in sorted({*asked, *in_force}):
        mine, old = asked.get(name, _NOTHING), in_force.get(name, _NOTHING)
        if mine == old:
            continue
        where = f"{path}.{name}"
        if isinstance(mine, Mapping) and isinstance(old, Mapping):
            yield from differences(mine, old, where)
        elif isinstance(old, Mapping) and old:
            yield from differences({}, old, where)
        elif isinstance(mine, Mapping) and mine and old is _NOTHING:
            yield from differences(mine, {}, where)
        else:
            yield where, None if old is _NOTHING else old


def route_in_force(observed: Mapping[str, Any] | None, target: Target, reason: str) -> tuple[InForce, ...]:
    """The fields of Gateway and host that the route does not follow yet; none before anybody accepted it.

    A route that another engine keeps from its host serves nobody: nothing is in force in its place.
    """
    if observed is None:
        return ()
    gateways = gateways_of(observed)
    if not gateways:
        return (InForce("spec.host", None, _waiting(reason)),)
    if not any(accepts(observed, gateway, ever=True) for gateway in gateways):
        return ()
    old = in_force(observed, target)
    gateway, host = gateway_of(observed, old.parents[0]), old.hosts[0]
    fields = (
        ("spec.gateway.name", gateway.name, target.gateway.name),
        ("spec.gateway.namespace", gateway.namespace, target.gateway.namespace),
        ("spec.host", host, target.host),
    )
    return tuple(InForce(path, value, _waiting(reason)) for path, value, asked in fields if value != asked)


def release_in_force(ctx: EngineContext, released: TradingEngineSpec, reason: str) -> tuple[InForce, ...]:
    """The fields of the pods that serve which differ from what is asked for: those that would make another release."""
    asked, wanted = ctx.spec.to_manifest(), _release_hash(ctx)
    return tuple(
        InForce(path, value, reason)
        for path, value in differences(asked, released.to_manifest())
        if path not in _ROUTED and _matters(ctx, asked, path, value, wanted)
    )


def paused_in_force(asked: TradingEngineSpec, followed: TradingEngineSpec | None) -> tuple[InForce, ...]:
    """The fields that were changed since the operator was told to pause, with those that it last worked by."""
    if followed is None:
        return ()
    found = differences(asked.to_manifest(), followed.to_manifest())
    return tuple(InForce(path, value, "Paused") for path, value in found if path != "spec.paused")


def spec_in_force(raw: Mapping[str, Any], valid: TradingEngineSpec) -> tuple[InForce, ...]:
    """The fields of a specification that makes no sense, with their values in the last one that did."""
    asked = _over(TradingEngineSpec(version=valid.version).to_manifest(), raw)
    return tuple(InForce(path, value, "SpecInvalid") for path, value in differences(asked, valid.to_manifest()))


def _release_hash(ctx: EngineContext) -> str:
    return render_release(ctx, 1, "").template_hash()


def _matters(ctx: EngineContext, asked: dict[str, Any], path: str, value: Any, wanted: str) -> bool:
    """Whether the release would be another one with this value in force; when that cannot be told, it counts."""
    changed = copy.deepcopy(asked)
    *way, last = path.split(".")[1:]
    place = changed
    for name in way:
        place = place.setdefault(name, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    try:
        return _release_hash(replace(ctx, spec=TradingEngineSpec.model_validate(changed))) != wanted
    except ValidationError:
        return True


def _over(defaults: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, with the defaults that the API server writes out."""
    merged = {**defaults, **raw}
    for name, value in raw.items():
        known = defaults.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            merged[name] = _over(known, value)
    return merged


def _waiting(reason: str) -> str:
    """Accepted, and not yet followed by the data plane, is still under way."""
    return "RoutePending" if reason == ACCEPTED else reason


def render_applied(
    fields: Iterable[InForce], stored: Iterable[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """The entries as status has them. `since` stays as long as the same value stays in force for the same field."""
    known = {(entry.get("path"), entry.get("value")): entry.get("since") for entry in stored}
    entries: dict[str, dict[str, Any]] = {}
    for field in fields:
        value = shown(field.path, field.value)
        entry = {"path": field.path, "reason": field.reason} | ({} if value is None else {"value": value})
        entry["since"] = known.get((field.path, value)) or render_time(now)
        entries.setdefault(field.path, entry)
    return [entries[path] for path in sorted(entries) if len(path) <= PATH_LENGTH][:MOST_FIELDS]


def shown(path: str, value: Any) -> str | None:
    """A value as text, without anything that may be a secret: text as it is, everything else as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), sort_keys=True)
    if _SECRET_FIELD.search(path.rpartition(".")[2]) or _SECRET_VALUE.search(text):
        return HIDDEN
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"
