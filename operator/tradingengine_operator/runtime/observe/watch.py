"""Keeps one namespace in sight, whatever happens to it: trouble here is no trouble of another namespace.

Two groups of kinds are watched apart, the engines and their children, so that a child that cannot be watched does not
hide the engines. Before a group is watched each of its kinds is listed; those that are refused are left out, told, and
tried again, so that the others go on. When watching ends for good, it begins anew with a list after a growing pause.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

from .feed import Feed, Listed

#: Lists that take out what is gone and was missed, however; shorter by a tenth at most, so that namespaces spread.
RESYNC_SECONDS = 600.0
#: A watch that was begun anew has told most of what it has to tell after so long.
SETTLE_SECONDS = 0.2
PAUSE_FIRST, PAUSE_MOST = 1.0, 60.0
#: Watching that went well for so long has no failures before it.
CALM_SECONDS = 60.0
GROUPS: tuple[tuple[kinds.Kind, ...], ...] = ((kinds.ENGINE,), kinds.WATCHED)
logger = logging.getLogger(__name__)


class Streams(Protocol):
    """Watches some kinds of a feed's namespace until `stop` is set; an error is the end of it, too."""

    async def __call__(self, feed: Feed, watched: Sequence[kinds.Kind], stop: asyncio.Event) -> None:
        """Watches."""
        ...


class _Retry(NamedTuple):
    """How often in a row the list of a kind failed, and when it is tried again, by the monotonic clock."""

    failures: int = 0
    at: float = 0.0


class NamespaceWatch:
    """Supervises everything that is watched in one namespace."""

    def __init__(
        self, feed: Feed, streams: Streams, metrics: OperatorMetrics, *, rng: random.Random | None = None
    ) -> None:
        self._feed = feed
        self._streams = streams
        self._metrics = metrics
        self._rng = rng or random.Random()  # noqa: S311 - jitter

    async def run(self, stopped: asyncio.Event) -> None:
        """Watches until `stopped`. What nobody expected is logged, and the whole begins anew after a growing pause."""
        failures = 0
        while not stopped.is_set():
            began = time.monotonic()
            try:
                await self._run(stopped)
            except Exception:
                self._restarted("failed")
                logger.exception("namespace %s: watching broke, and begins anew", self._feed.namespace)
                failures = failures + 1 if time.monotonic() - began < CALM_SECONDS else 1
                await first_of(self._pause(failures), stopped)

    async def _run(self, stopped: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for watched in GROUPS:
                group.create_task(self._keep_watching(watched, stopped))
            group.create_task(self._keep_listing(stopped))

    async def _keep_watching(self, group: Sequence[kinds.Kind], stopped: asyncio.Event) -> None:
        failures = 0
        while not stopped.is_set():
            usable = await self._usable(group)
            began = time.monotonic()
            if usable and await self._watch(group, usable, stopped):
                self._restarted("kinds")
                continue
            failures = failures + 1 if time.monotonic() - began < CALM_SECONDS else 1
            await first_of(self._pause(failures), stopped)

    async def _usable(self, group: Sequence[kinds.Kind]) -> list[kinds.Kind]:
        """Kinds that can be listed; the others are told by the feed."""
        results = await asyncio.gather(*(self._feed.relist(kind) for kind in group))
        return [kind for kind, result in zip(group, results, strict=True) if result is Listed.OK]

    async def _watch(self, group: Sequence[kinds.Kind], usable: Sequence[kinds.Kind], stopped: asyncio.Event) -> bool:
        """Watches until something ends it; True when that is a further kind, so that it goes on at once."""
        stop = asyncio.Event()
        stream = asyncio.create_task(self._streams(self._feed, usable, stop))
        more = asyncio.create_task(self._until_more(group, usable))
        ends = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait({stream, more, ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            for task in (more, ends):
                task.cancel()
            await asyncio.wait({stream, more, ends})
        if stopped.is_set():
            return False
        error = stream.exception()
        if error is not None:
            self._restarted("failed")
            where = f"namespace {self._feed.namespace}"
            logger.warning("%s: watching ended, and begins anew: %s: %s", where, type(error).__name__, error)
        return not more.cancelled() and error is None

    async def _until_more(self, group: Sequence[kinds.Kind], usable: Sequence[kinds.Kind]) -> None:
        """Tries what cannot be listed again and again; returns when a kind that is not watched can be."""
        failures = 0
        while True:
            failures += 1
            await asyncio.sleep(self._pause(failures))
            for kind in group:
                lost = kind.kind in self._feed.store.missing
                if lost and await self._feed.relist(kind) is Listed.OK and kind not in usable:
                    return

    async def _keep_listing(self, stopped: asyncio.Event) -> None:
        """Lists a kind when its watch was begun anew, and every kind at each resync."""
        resync = time.monotonic() + RESYNC_SECONDS * self._rng.uniform(0.9, 1.0)
        retries: dict[kinds.Kind, _Retry] = {}
        while not stopped.is_set():
            soonest = min([resync, *(retry.at for retry in retries.values())])
            await first_of(soonest - time.monotonic(), stopped, self._feed.more)
            await first_of(SETTLE_SECONDS, stopped)
            due, now = self._feed.take_due(), time.monotonic()
            if due:
                self._restarted("relisted")
            due |= set(retries)
            if now >= resync:
                resync = now + RESYNC_SECONDS
                due |= {kind for group in GROUPS for kind in group}
            for kind in due:
                before = retries.get(kind, _Retry())
                if stopped.is_set() or before.at > now:
                    continue  # one that just failed has its pause, whoever asks for it
                retries.pop(kind, None)
                if await self._feed.relist(kind) is Listed.FAILED:
                    failures = before.failures + 1
                    retries[kind] = _Retry(failures, time.monotonic() + self._pause(failures))

    def _restarted(self, reason: str) -> None:
        self._metrics.watch_restarts.labels(self._feed.namespace, reason).inc()

    def _pause(self, failures: int) -> float:
        return min(PAUSE_MOST, PAUSE_FIRST * 2.0 ** min(failures - 1, 10)) * self._rng.uniform(0.5, 1.0)


async def first_of(seconds: float | None, *events: asyncio.Event) -> None:
    """Waits until one of the events is set, and no longer than so many seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(
            waits, timeout=None if seconds is None else max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in waits:
            task.cancel()
