"""Whether the route can hang where the specification wants it, and what the Gateway's silence means."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.errors import ApiError, ForbiddenError, NotFoundError
from tradingengine_operator.flows.references import RouteIntent, Unresolved
from tradingengine_operator.flows.state import parse_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.attachment import (
    Attachment,
    GatewayKey,
    Target,
    admits,
    gateways_of,
    hosts_of,
    in_force,
)
from tradingengine_operator.plan.hosts import Claim, Place, places_of
from tradingengine_operator.plan.routes import PENDING, RouteObservation, read_route
from tradingengine_operator.runtime.process.clock import MomentAge
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import Findings

#: A Gateway that does not answer to a changed route for longer than this does not listen to it.
SILENT_SECONDS = 15.0
#: A Gateway whose word is good is looked up every so many seconds: its word stays on the route when it is gone.
LOOK_EVERY = 240.0
#: One that is missing or silent, this often at most.
LOOK_AGAIN = 2.0
#: Times of writes are kept in whole seconds.
CLOCK_GRAIN = 1.0
_WAITING = frozenset({"GatewaySilent", PENDING})
logger = logging.getLogger(__name__)


class RouteWatch:
    """Looks at Gateway and host of one engine. Remembers only when it looked at the Gateway, and what it found then."""

    def __init__(self) -> None:
        self._target: Target | None = None
        self._looked: float | None = None
        self._found: Unresolved | None = None
        self._readable = True
        self._unread = ""
        self._written = MomentAge()

    async def look(self, p: Pass, findings: Findings, *, bound: float | None = None) -> RouteIntent:
        """What the specification asks for, and whether it can be followed now.

        A question without an answer fails nothing: what was known of the Gateway and of other engines' hosts goes on to
        count, and what hangs elsewhere is not moved meanwhile. With a `bound` none takes more seconds than that.
        """
        target, route = target_of(p.ctx.spec), p.children.route
        found = await self._gateway(p, target, bound)
        taken, yields = await _taken(p, target, bound)
        pause = 2 * p.ctx.spec.gateway.throttle_seconds + CLOCK_GRAIN
        left = pause - self._age(p, route) if route is not None else 0.0
        if route is not None and left > 0 and len(gateways_of(route)) + len(hosts_of(route)) > 2:
            findings.look_again(left)
        if self._unread:
            findings.look_again(LOOK_AGAIN)
        if found is None and self._unread and not _hangs_there(route, target):
            found = _not_read(target, self._unread, route)
        return RouteIntent(target, found or taken, yields, left <= 0, self._readable, self._unread)

    def explain(self, p: Pass, seen: RouteObservation, intent: RouteIntent, findings: Findings) -> RouteObservation:
        """The observation with the reason of what is unresolved, or of the Gateway's silence."""
        if intent.unresolved is not None:
            return replace(seen, reason=intent.unresolved.reason, message=intent.unresolved.message)
        if p.children.route is None or seen.reason not in _WAITING:
            return seen
        left = SILENT_SECONDS - self._age(p, p.children.route)
        if left > 0:
            findings.look_again(left)
        return replace(seen, reason=PENDING if left > 0 else "GatewaySilent")

    async def _gateway(self, p: Pass, target: Target, bound: float | None) -> Unresolved | None:
        """What is wrong with the Gateway, as just looked up or as known."""
        silent = observe_route(p).reason in _WAITING
        every = LOOK_AGAIN if silent or self._found is not None or self._unread else LOOK_EVERY
        now = p.tools.ticks()
        if target == self._target and self._looked is not None and now - self._looked < every:
            return self._found
        if target != self._target:
            self._found = None
        try:
            async with asyncio.timeout(bound):
                self._found = await self._judge(p, target)
            self._unread = ""
        except (ApiError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            if not self._unread:
                logger.warning("Gateway %s is not known now: %s", target.gateway, why)
            self._unread = why
        self._target, self._looked = target, now
        return self._found

    def _age(self, p: Pass, route: Manifest) -> float:
        """Seconds since we last changed the route."""
        return self._written.look(last_write(route), p.tools.clock(), p.tools.ticks())

    async def _judge(self, p: Pass, target: Target) -> Unresolved | None:
        """What is wrong with the Gateway as it is now."""
        try:
            gateway = await p.tools.client.get(kinds.GATEWAY, *target.gateway)
        except ForbiddenError:
            # Without the right to read Gateways only their word on the route can be told.
            self._readable = False
            return None
        self._readable = True
        if gateway is None:
            return _missing(target, p.children.route) if await _knows_routes(p) else None
        return None if admits(gateway, target.host, p.namespace) else _no_listener(target)


def target_of(spec: TradingEngineSpec) -> Target:
    """Where a specification wants the route."""
    return Target(GatewayKey(spec.gateway.namespace, spec.gateway.name), spec.host)


def observe_route(p: Pass) -> RouteObservation:
    """The route as this pass read it."""
    return read_route(p.children.route, p.ctx.name, target_of(p.ctx.spec).gateway)


def last_write(route: Manifest) -> datetime:
    """When we last changed a route, or when it was made."""
    metadata = route["metadata"]
    times = [
        entry["time"]
        for entry in metadata.get("managedFields") or ()
        if entry.get("manager") == names.FIELD_MANAGER and not entry.get("subresource") and entry.get("time")
    ]
    return max(map(parse_time, [metadata["creationTimestamp"], *times]))


async def _knows_routes(p: Pass) -> bool:
    """Whether the cluster knows HTTPRoutes; without, that is what has to be said."""
    if p.children.route is not None:
        return True
    try:
        await p.tools.reader.routes(p.namespace)
    except NotFoundError:
        return False
    return True


async def _taken(p: Pass, target: Target, bound: float | None) -> tuple[Unresolved | None, bool]:
    """What another engine has of what is asked for, and whether it has what is in force too."""
    own, route, book = (p.namespace, p.ctx.name), p.children.route, p.tools.hosts
    book.saw_engine(p.seen.engine)
    old = Attachment((), ())
    if route is not None:
        book.saw_route(route)
        old = in_force(route, target)
    wanted, now = Place(target.gateway, target.host), p.tools.ticks()
    # While both are carried the new host hangs on the old Gateway too, and the old host on the new one.
    both = Attachment(
        (*old.parents, {"namespace": target.gateway.namespace, "name": target.gateway.name}), (*old.hosts, target.host)
    )
    beside = sorted(places_of(both, p.namespace) - places_of(old, p.namespace) - {wanted})
    rival = await book.rival(p.tools.client, own, [wanted, *beside], now, bound)
    if rival is None:
        return None, False
    lost = await book.rival(p.tools.client, own, sorted(places_of(old, p.namespace)), now, bound)
    return _host_taken(target, *rival), lost is not None


def _host_taken(target: Target, rival: Claim, place: Place) -> Unresolved:
    message = f"host {place.host} on Gateway {place.gateway} belongs to TradingEngine {rival}"
    if place == Place(target.gateway, target.host):
        mend = "give one of the two another host; this engine takes it as soon as the other one lets it go"
    else:
        mend = "change spec.host first and spec.gateway after it: while both change, the route carries old and new"
    return Unresolved("HostTaken", "spec.host", message, mend)


def _hangs_there(route: Manifest | None, target: Target) -> bool:
    """Whether the route has what is asked for already, so that nothing is to be moved."""
    return route is not None and target.gateway in gateways_of(route) and target.host in hosts_of(route)


def _not_read(target: Target, why: str, route: Manifest | None) -> Unresolved:
    message = f"Gateway {target.gateway} cannot be read now: {why}{_on(route)}"
    return Unresolved("GatewayUnread", "spec.gateway", message, "see why the API server does not answer")


def _missing(target: Target, route: Manifest | None) -> Unresolved:
    message = f"Gateway {target.gateway} does not exist"
    return Unresolved("GatewayMissing", "spec.gateway.name", message, f"create it, or correct spec.gateway{_on(route)}")


def _no_listener(target: Target) -> Unresolved:
    message = f"no listener of Gateway {target.gateway} takes host {target.host}"
    return Unresolved("ListenerMissing", "spec.host", message, "add a listener for it, or correct spec.host")


def _on(route: Manifest | None) -> str:
    return "; what serves goes on as it is" if route is not None else ""
