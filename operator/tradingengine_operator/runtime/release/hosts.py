"""All engines' hosts in the watched namespaces: read from what is observed, then kept by events and by every pass.

Only a namespace that the watches have not listed yet, as after the start, is listed here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, UnreadError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.hosts import Claim, Place, engine_of, held_places, rival_of, wanted_place

#: A namespace is read this often, in case an event was missed; one that is not observed, or did not answer, sooner.
LIST_EVERY, LIST_AGAIN = 600.0, 30.0
#: A rival is looked up by name this often before it is believed.
VERIFY_EVERY = 10.0
Seen = Mapping[str, Any]
EngineKey = tuple[str, str]
logger = logging.getLogger(__name__)


class Reads(Protocol):
    """Who knows engines and routes of a namespace; ApiError or UnreadError when they are not known."""

    async def engines(self, namespace: str) -> list[Manifest]:
        """All engines."""
        ...

    async def routes(self, namespace: str) -> list[Manifest]:
        """The routes of all engines."""
        ...


class HostBook:
    """Who asks for which host, and whose route has it; of namespaces that cannot be read nothing is known."""

    def __init__(self, namespaces: Iterable[str] = (), reader: Reads | None = None) -> None:
        self._namespaces = frozenset(namespaces)
        self._reader = reader
        self._engines: dict[EngineKey, Claim] = {}
        self._routes: dict[EngineKey, frozenset[Place]] = {}
        self._due: dict[str, float] = {}
        self._verified: dict[EngineKey, float] = {}
        self._wake: Callable[[str, str], None] = lambda _namespace, _name: None

    def listen(self, wake: Callable[[str, str], None]) -> None:
        """Sets what is called with namespace and name of each engine that a change of another one may concern."""
        self._wake = wake

    def saw_engine(self, engine: Seen, *, gone: bool = False) -> None:
        """An engine as an event or a pass shows it."""
        metadata, place = engine["metadata"], wanted_place(engine)
        key = (metadata["namespace"], metadata["name"])
        wants = frozenset({place}) if place is not None else frozenset()
        claim = Claim(*key, str(metadata.get("creationTimestamp", "")), str(metadata.get("uid", "")), wants)
        self._set(key, None if gone else claim, self._routes.get(key))

    def saw_route(self, route: Seen, *, gone: bool = False) -> None:
        """A route as an event or a pass shows it; other people's are left out."""
        name = engine_of(route)
        if name:
            key = (route["metadata"]["namespace"], name)
            self._set(key, self._engines.get(key), None if gone else held_places(route))

    def claim(self, key: EngineKey) -> Claim:
        """What one engine asks for and has."""
        return replace(self._engines.get(key) or Claim(*key), holds=self._routes.get(key, frozenset()))

    async def rival(
        self, client: KubernetesClient, own: EngineKey, places: Iterable[Place], now: float, bound: float | None = None
    ) -> tuple[Claim, Place] | None:
        """Who has the better right to one of these places, and which; what is told was looked up a moment ago.

        `now` are seconds of a clock that never jumps. No namespace and no rival is waited for longer than `bound`
        seconds: then what was known of it counts.
        """
        await self._list(client, own[0], now, bound)
        wanted = list(places)
        while True:
            found = rival_of(self.claim(own), map(self.claim, {*self._engines, *self._routes}), wanted)
            if found is None or not await self._changed(client, (found[0].namespace, found[0].name), now, bound):
                return found

    async def _list(self, client: KubernetesClient, own: str, now: float, bound: float | None) -> None:
        """Reads the namespaces that are due, beside each other."""
        due = [name for name in sorted({own, *self._namespaces}) if now >= self._due.get(name, now)]
        await asyncio.gather(*(self._list_one(client, name, now, bound) for name in due))

    async def _list_one(self, client: KubernetesClient, namespace: str, now: float, bound: float | None) -> None:
        self._due[namespace] = now + LIST_EVERY
        try:
            async with asyncio.timeout(bound):
                engines, routes = await self._read(client, namespace, now)
        except (ApiError, TimeoutError) as error:
            # Told elsewhere: here it only means that nobody there can be a rival that is seen.
            why = error.reason if isinstance(error, ApiError) else "no answer in time"
            logger.info("hosts of namespace %s are not known: %s", namespace, why)
            if not isinstance(error, ApiError) or error.transient:
                self._due[namespace] = now + LIST_AGAIN
            return
        self._forget(namespace, engines, routes)
        for engine in engines:
            self.saw_engine(engine)
        for route in routes:
            self.saw_route(route)

    async def _read(
        self, client: KubernetesClient, namespace: str, now: float
    ) -> tuple[list[Manifest], list[Manifest]]:
        if self._reader is not None:
            try:
                return await self._reader.engines(namespace), await self._reader.routes(namespace)
            except UnreadError:
                self._due[namespace] = now + LIST_AGAIN
        return await client.list_all(kinds.ENGINE, namespace), await client.list_all(kinds.ROUTE, namespace)

    def _forget(self, namespace: str, engines: Iterable[Seen], routes: Iterable[Seen]) -> None:
        there = {entry["metadata"]["name"] for entry in engines}
        routed = {engine_of(entry) for entry in routes}
        for key in {*self._engines, *self._routes}:
            if key[0] == namespace:
                engine = self._engines.get(key) if key[1] in there else None
                self._set(key, engine, self._routes.get(key) if key[1] in routed else None)

    async def _changed(self, client: KubernetesClient, key: EngineKey, now: float, bound: float | None) -> bool:
        """Looks a rival up by name; whether it is not what was known of it, though no event said so."""
        last = self._verified.get(key)
        if last is not None and now - last < VERIFY_EVERY:
            return False
        self._verified[key] = now
        try:
            async with asyncio.timeout(bound):
                engine = await client.get(kinds.ENGINE, *key)
                route = await client.get(kinds.ROUTE, *key)
        except (ApiError, TimeoutError):
            return False
        before = self.claim(key)
        self._set(key, None, None)
        for found, saw in ((engine, self.saw_engine), (route, self.saw_route)):
            if found is not None:
                saw(found)
        return self.claim(key) != before

    def _set(self, key: EngineKey, engine: Claim | None, route: frozenset[Place] | None) -> None:
        """Notes what is known of an engine, and wakes those that ask for a place that it took or left."""
        before = self._places(key)
        if engine is None:
            self._engines.pop(key, None)
        else:
            self._engines[key] = engine
        if route is None:
            self._routes.pop(key, None)
        else:
            self._routes[key] = route
        changed = before ^ self._places(key)
        for other in {*self._engines, *self._routes} - {key} if changed else ():
            if self._places(other) & changed:
                self._wake(*other)

    def _places(self, key: EngineKey) -> frozenset[Place]:
        claim = self.claim(key)
        return claim.wants | claim.holds
