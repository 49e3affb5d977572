"""Who has the right to a host on a Gateway, when several engines ask for it.

The one whose route has it goes on, since what works goes on; among those that have it, or of whom none has it, the
older engine comes first, and of two of the same second the one with the lower uid. All operators and all passes come to
the same end, whatever they look at first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.workloads import Gateway
from tradingengine_operator.builders import names

from .attachment import Attachment, GatewayKey, gateways_of, hosts_of

_GATEWAY = Gateway()
_HOST: str = TradingEngineSpec.model_fields["host"].default


class Place(NamedTuple):
    """A host on a Gateway."""

    gateway: GatewayKey
    host: str


@dataclass(frozen=True)
class Claim:
    """What one engine asks for (`wants`), and what its route has (`holds`). `created` is RFC 3339, so it sorts as text.

    A route whose engine is gone is a claim too until it is gone itself: it still serves. It wants nothing.
    """

    namespace: str
    name: str
    created: str = ""
    uid: str = ""
    wants: frozenset[Place] = frozenset()
    holds: frozenset[Place] = frozenset()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def rival_of(own: Claim, others: Iterable[Claim], places: Collection[Place]) -> tuple[Claim, Place] | None:
    """The engine with the better right to one of these places, and which one; None when all are free for `own`.

    `places` are looked at in order, and of several rivals the one with the best right is told.
    """
    known = [other for other in others if (other.namespace, other.name) != (own.namespace, own.name)]
    for place in places:
        contenders = [other for other in known if place in other.holds or place in other.wants]
        best = min(contenders, key=lambda other: _rank(other, place), default=None)
        if best is not None and _rank(best, place) < _rank(own, place):
            return best, place
    return None


def places_of(attachment: Attachment, namespace: str) -> frozenset[Place]:
    """Every host on every Gateway of an attachment of a route in this namespace."""
    gateways = [GatewayKey(entry.get("namespace", namespace), entry["name"]) for entry in attachment.parents]
    return frozenset(Place(*pair) for pair in product(gateways, attachment.hosts))


def wanted_place(engine: Mapping[str, Any]) -> Place | None:
    """What an engine's specification asks for; None for one that cannot be read."""
    spec = engine.get("spec") or {}
    gateway = spec.get("gateway") or {}
    name, namespace = gateway.get("name", _GATEWAY.name), gateway.get("namespace", _GATEWAY.namespace)
    parts: tuple[Any, ...] = (namespace, name, spec.get("host", _HOST))
    readable = all(isinstance(part, str) and part for part in parts)
    return Place(GatewayKey(namespace, name), parts[2]) if readable else None


def held_places(route: Mapping[str, Any]) -> frozenset[Place]:
    """What a route has."""
    return frozenset(Place(*pair) for pair in product(gateways_of(route), hosts_of(route)))


def engine_of(route: Mapping[str, Any]) -> str:
    """Name of the engine that a route was made for; empty for one that is nobody's of ours."""
    labels = route["metadata"].get("labels") or {}
    return str(labels.get(names.LABEL_INSTANCE, "")) if labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY else ""


def _rank(claim: Claim, place: Place) -> tuple[bool, str, str]:
    return place not in claim.holds, claim.created, claim.uid
