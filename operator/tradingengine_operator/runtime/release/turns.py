"""Whose turn it is: what an upgrade of the operator brings reaches one engine at a time, never beside a release."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tradingengine_operator.builders import Manifest
from tradingengine_operator.errors import ApiError, ForbiddenError, NotFoundError, RecordError, UnreadError
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.state import load_state

#: Reason of Progressing while the stores of an engine are replaced; other engines wait for it.
STORES_UPDATING = "StoresUpdating"
#: Who waits for a turn asks again this often; seconds.
TURN_SECONDS = 15.0
#: A turn that was given shows in the engine's status soon, or was given in vain.
GIVEN_SECONDS = 60.0
#: While engines wait, all of them are read this often at most.
READ_SECONDS = 5.0
logger = logging.getLogger(__name__)
Engine = tuple[str, str]


class Reads(Protocol):
    """Who knows the engines."""

    async def engines(self, namespace: str) -> list[Manifest]:
        """All engines of a namespace; ApiError or UnreadError when they are not known."""
        ...


class Turns:
    """Gives turns to engines of all namespaces. What is under way is read from their status, also after a restart."""

    def __init__(
        self, reader: Reads, namespaces: tuple[str, ...], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._namespaces = namespaces
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._given: tuple[Engine, float] | None = None
        self._busy: dict[Engine, str] = {}
        self._unknown: dict[str, str] = {}
        self._read_at = -READ_SECONDS

    async def ask(self, engine: Engine, *, releases: bool = True) -> str:
        """Empty when it is this engine's turn, else what it waits for, in words.

        Stores need not wait for releases of other engines, which their restart does not touch (`releases=False`). Both
        wait while a namespace cannot be listed, since nobody knows what is under way there; one where the operator may
        do nothing any more is not waited for.
        """
        async with self._lock:
            now = self._monotonic()
            if self._given is not None and now - self._given[1] < GIVEN_SECONDS:
                if self._given[0] == engine:
                    return ""
                return f"engine {'/'.join(self._given[0])} has its turn"
            if now - self._read_at >= READ_SECONDS:
                self._busy, self._unknown = await self._under_way()
                self._read_at = now
            for namespace, why in sorted(self._unknown.items()):
                words = f"what is under way in namespace {namespace} is not known, its engines cannot be listed ({why})"
                return explain(words, f"see why the API server lists no tradingengines in namespace {namespace}")
            for other, what in sorted(self._busy.items()):
                if other != engine and (releases or what == STORES_UPDATING):
                    words = "replaces its stores" if what == STORES_UPDATING else "has a release under way"
                    return f"engine {'/'.join(other)} {words}"
            self._given = (engine, now)
            self._read_at = -READ_SECONDS
            return ""

    async def _under_way(self) -> tuple[dict[Engine, str], dict[str, str]]:
        """What is under way by engine, and why that is not known of whole namespaces."""
        found, unknown = {}, {}
        for namespace in self._namespaces:
            try:
                engines = await self._reader.engines(namespace)
            except (ForbiddenError, NotFoundError):
                continue  # nothing can be done there, so nothing is under way either
            except (ApiError, UnreadError) as error:
                if isinstance(error, UnreadError) and error.refused:
                    continue
                logger.warning("engines of %s are not known: %s", namespace, error.message)
                unknown[namespace] = _why(error)
                continue
            for engine in engines:
                what = _what(engine)
                if what:
                    found[namespace, engine["metadata"]["name"]] = what
        return found, unknown


def _why(error: ApiError | UnreadError) -> str:
    if isinstance(error, UnreadError):
        return error.why
    return f"code {error.status}" if error.status else "no answer"


def _what(engine: Mapping[str, Any]) -> str:
    """What is under way in an engine, empty for nothing: an installation that does not come up is no release."""
    status = engine.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == STORES_UPDATING:
            return STORES_UPDATING
    text = (status.get("release") or {}).get("progress")
    if not text:
        return ""
    try:
        state = load_state(text)
    except RecordError:
        return ""
    return "release" if state.candidate is not None and state.stable is not None else ""
