"""The HTTPRoute is shared with people: only our own rules, found by their names, are changed.

`spec.rules` is one atomic list, so an apply would erase foreign rules. The change is one JSON Patch with a test on
resourceVersion: whoever else writes in between makes the patch fail, and it is made again from what is there then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.route import COOKIE, PATH

from .attachment import GatewayKey, accepts, gateways_of, words_of

_RELEASE = re.compile(rf"{COOKIE}=([0-9]{{1,9}})")
_PATH_RELEASE = re.compile(rf"{PATH}([0-9]{{1,9}})(/|$)")
#: Words of a Gateway that can match no header by a regular expression.
_PATTERN_WORDS = re.compile(r"regular ?expression|regex|header match|headers?\b.*(unsupported|not supported)", re.I)
#: Reason of a route whose cookie rules the Gateway cannot follow.
COOKIE_RULE_REFUSED = "CookieRuleRefused"
#: Reason of a route that is accepted and names something that the Gateway cannot find.
UNRESOLVED = "RefsNotResolved"
ACCEPTED = "Accepted"
#: Reason of a route that the Gateway had no time to answer to yet.
PENDING = "RoutePending"
#: So many rules the Gateway API allows in one route.
MOST_RULES = 16
#: Parts of the specification besides the rules that are ours alone.
_OWN_FIELDS = ("parentRefs", "hostnames")


@dataclass(frozen=True)
class RouteObservation:
    """What an HTTPRoute says: weights in tenths of a percent, releases with a rule of their own, the Gateway's word.

    `trying` are slots that who asks for the new release is given.
    """

    exists: bool = False
    accepted: bool = False
    weights: Mapping[Slot, int] = field(default_factory=dict)
    live: frozenset[tuple[Slot, int]] = frozenset()
    trying: frozenset[Slot] = frozenset()
    reason: str = "RouteMissing"
    message: str = "there is no HTTPRoute yet"

    @property
    def refused(self) -> bool:
        """Whether the Gateway did not take the route, and had time to, or found something in it that is not there."""
        return self.reason not in {ACCEPTED, PENDING}


def route_patch(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> list[Manifest]:
    """Operations that bring our rules, host and parent into an existing route; none when all is as desired."""
    spec = observed["spec"]
    rules = merged_rules(spec.get("rules") or (), desired["spec"]["rules"])
    wanted = {"rules": rules, **{name: desired["spec"][name] for name in _OWN_FIELDS}}
    changed = [name for name, value in wanted.items() if spec.get(name) != value]
    if not changed:
        return []
    version = observed["metadata"]["resourceVersion"]
    operations: list[Manifest] = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}]
    for name in changed:
        verb = "replace" if name in spec else "add"
        operations.append({"op": verb, "path": f"/spec/{name}", "value": wanted[name]})
    return operations


def merged_rules(observed: Iterable[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    """Foreign rules in their order and place; ours together, where the first of ours was, else at the end."""
    result: list[Manifest] = []
    placed = False
    for rule in observed:
        if not names.is_own_rule(rule.get("name")):
            result.append(dict(rule))
        elif not placed:
            result.extend(dict(entry) for entry in own)
            placed = True
    return result if placed else [*result, *(dict(entry) for entry in own)]


def read_route(observed: Mapping[str, Any] | None, engine: str, gateway: GatewayKey) -> RouteObservation:
    """The facts of a route, as read back from the cluster; an absent route has no weights.

    `accepted` holds for the Gateways by which it serves: the one that is asked for, or while that one did not accept
    all others that ever did. `reason` is of the one that is asked for alone.
    """
    if observed is None:
        return RouteObservation()
    reason, message = _word(observed, gateway)
    others = [entry for entry in gateways_of(observed) if entry != gateway and accepts(observed, entry, ever=True)]
    accepted = accepts(observed, gateway) or (bool(others) and all(accepts(observed, entry) for entry in others))
    rules = {rule.get("name"): rule for rule in observed["spec"].get("rules") or ()}
    return RouteObservation(
        exists=True,
        accepted=accepted,
        weights=_weights(rules, engine),
        live=_live(rules),
        trying=_trying(rules, engine),
        reason=reason,
        message=message,
    )


def _weights(rules: Mapping[str | None, Mapping[str, Any]], engine: str) -> dict[Slot, int]:
    """Weights of both slots; empty unless API and dashboard agree."""
    found = []
    for component in names.SLOT_COMPONENTS:
        rule = rules.get(component)
        if rule is None:
            return {}
        backends = {entry.get("name"): entry.get("weight", 1) for entry in rule.get("backendRefs") or ()}
        found.append({slot: int(backends.get(names.slot(engine, component, slot), 0)) for slot in names.SLOTS})
    return found[0] if all(entry == found[0] for entry in found) else {}


def _live(rules: Mapping[str | None, Mapping[str, Any]]) -> frozenset[tuple[Slot, int]]:
    """Slots whose release has a rule of its own in API and dashboard alike, with the number that both name."""
    live = set()
    for slot in names.SLOTS:
        numbers = {_release_of(rules.get(names.release_rule(part, slot))) for part in names.SLOT_COMPONENTS}
        if numbers != {None}:
            live.add((slot, next(iter(numbers)) or 0 if len(numbers) == 1 else 0))
    return frozenset(live)


def _trying(rules: Mapping[str | None, Mapping[str, Any]], engine: str) -> frozenset[Slot]:
    """Slots behind the rules for who asks for the new release."""
    slots = {names.slot(engine, part, slot): slot for part in names.SLOT_COMPONENTS for slot in names.SLOTS}
    backends = [
        entry.get("name", "")
        for part in names.SLOT_COMPONENTS
        for entry in (rules.get(names.match_rule(part)) or {}).get("backendRefs") or ()
    ]
    return frozenset(slots[name] for name in backends if name in slots)


def _release_of(rule: Mapping[str, Any] | None) -> int | None:
    """The release that a rule's cookie or path names, 0 when it names none, None without a rule."""
    if rule is None:
        return None
    for match in rule.get("matches") or ():
        texts = [(_RELEASE.search, header.get("value", "")) for header in match.get("headers") or ()]
        texts.append((_PATH_RELEASE.match, (match.get("path") or {}).get("value", "")))
        for find, text in texts:
            found = find(text)
            if found:
                return int(found.group(1))
    return 0


def _word(observed: Mapping[str, Any], gateway: GatewayKey) -> tuple[str, str]:
    """Reason and message of what a Gateway said of this very generation; of several controllers' the best."""
    generation = observed["metadata"].get("generation", 0)
    worst = ("GatewaySilent", f"Gateway {gateway} says nothing of the HTTPRoute")
    for words in words_of(observed, gateway):
        conditions = {entry["type"]: entry for entry in words if entry.get("observedGeneration", 0) >= generation}
        entry = conditions.get("Accepted")
        dropped = conditions.get("PartiallyInvalid", {})
        refs = conditions.get("ResolvedRefs", {})
        if entry is None:
            worst = PENDING, f"Gateway {gateway} has not read the newest HTTPRoute yet"
        elif entry.get("status") != "True":
            reason = COOKIE_RULE_REFUSED if _is_about_patterns(observed, entry) else "RouteNotAccepted"
            worst = reason, f"Gateway {gateway}: {_words(entry)}"
        elif dropped.get("status") == "True" and _is_about_patterns(observed, dropped):
            return COOKIE_RULE_REFUSED, f"Gateway {gateway} left rules out: {_words(dropped)}"
        else:
            return (UNRESOLVED, _words(refs)) if refs.get("status") == "False" else (ACCEPTED, "")
    return worst


def _words(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('reason', '')}: {entry.get('message', '')}"


def _is_about_patterns(observed: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether a Gateway's refusal may be about our cookie rules: it says so, or that a value is not supported."""
    rules = [rule for rule in observed["spec"].get("rules") or () if names.is_own_rule(rule.get("name"))]
    headers = (header for rule in rules for match in rule.get("matches") or () for header in match.get("headers") or ())
    if all(header.get("type") != "RegularExpression" for header in headers):
        return False
    return entry.get("reason") == "UnsupportedValue" or _PATTERN_WORDS.search(entry.get("message", "")) is not None
