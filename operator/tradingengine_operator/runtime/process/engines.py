"""The work loops of all engines, found by namespace and name. They live as long as their engines are in the store.

Watching may end and begin anew, and a kind may be forbidden: that is nothing to a loop, which goes on with what is
known. What no loop should let out ends the process, so that none is ever missing silently.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.flows.edge import DRAIN_SECONDS
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.store import engine_of
from tradingengine_operator.runtime.observe.watch import first_of
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy
from tradingengine_operator.runtime.process.loop import Outcome, WorkLoop
from tradingengine_operator.runtime.reconcile.context import Tools
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler

#: A pass that lasts longer than this hangs, since it has a bound of its own below.
STUCK_SECONDS = 180.0
STOP_SECONDS = 30.0
#: The edge of a deleted engine is given so long to have nothing in flight, whatever the API server does.
CLOSE_SECONDS = DRAIN_SECONDS + 15.0
#: First passes of engines that are seen at the same moment begin within so many seconds.
STAMPEDE_SECONDS = 0.5
logger = logging.getLogger(__name__)


@dataclass
class _Member:
    """One engine that is looked after."""

    uid: str
    loop: WorkLoop
    ended: asyncio.Event
    seen: tuple[Any, ...] = ()
    #: Whether it ever had our finalizer: without, an engine that is deleted at once would leave behind what was made.
    held: bool = False


class Engines:
    """Loops by engine. Wake-ups for engines that are not known are dropped: their first pass reads everything."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._members: dict[tuple[str, str], _Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        tools.hosts.listen(self._host_changed)

    async def run(self, stopped: asyncio.Event) -> None:
        """Lets loops run until `stopped`, then ends them in order. An error that a loop let out ends this, too."""
        try:
            await first_of(None, stopped, self._stopped)
        finally:
            self._stopped.set()
        for task in list(self._tasks):
            await task

    async def delete(self, engine: Manifest) -> None:
        """Ends an engine: its loop first, so that nothing is made again, then its edge, then its data by policy."""
        metadata = engine["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        member = self._members.get((namespace, name))
        if member is not None and member.uid == metadata["uid"]:
            member.loop.wake()
            async with asyncio.timeout(STOP_SECONDS):
                await member.ended.wait()
        reconciler = EngineReconciler(self._tools, namespace, name)
        await reconciler.mark_deleting(engine)
        await _close_edge(reconciler, engine)
        await apply_deletion_policy(self._tools.client, engine)
        if (namespace, name) not in self._members:
            self._forget(namespace, name)

    def engine_event(self, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """An engine is new, changed or gone; echoes of our own status do not count."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        self._tools.hosts.saw_engine(body, gone=gone)
        seen = (
            gone,
            metadata.get("generation"),
            metadata.get("deletionTimestamp"),
            tuple(sorted((metadata.get("annotations") or {}).items())),
            names.FINALIZER in metadata.get("finalizers", ()),
        )
        member = self._members.get(key)
        if member is None or member.uid != metadata["uid"]:
            if not gone and not metadata.get("deletionTimestamp"):
                self._start(*key, metadata["uid"], seen)
            elif gone and member is None:
                self._forget(*key)
        elif seen != member.seen:
            member.seen = seen
            # A person may have changed a Secret together with it, or asks for a look at one.
            self._tools.secrets.forget(member.uid)
            self._wake(member, "engine")

    def child_event(self, kind: str, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """A child is new, changed or gone."""
        if kind == kinds.ROUTE.kind:
            self._tools.hosts.saw_route(body, gone=gone)
        member = self._members.get((body["metadata"]["namespace"], engine_of(body)))
        if member is not None:
            self._wake(member, kind)

    def kind_event(self, namespace: str, kind: str) -> None:
        """A kind can no longer be listed in a namespace, or can be again."""
        for (where, _), member in self._members.items():
            if where == namespace:
                self._wake(member, kind)

    def stuck(self) -> list[str]:
        """Engines whose pass has lasted too long."""
        now = time.monotonic()
        return [
            member.loop.label
            for member in self._members.values()
            if member.loop.beat.since is not None and now - member.loop.beat.since > STUCK_SECONDS
        ]

    def _host_changed(self, namespace: str, name: str) -> None:
        """Another engine took or left a host that this one asks for."""
        member = self._members.get((namespace, name))
        if member is not None:
            self._wake(member, "host")

    def _forget(self, namespace: str, name: str) -> None:
        """Figures and memory of an engine that nobody looks after any more, also when no handler saw its end."""
        self._tools.metrics.forget(namespace, name)
        self._tools.applier.forget_engine(namespace, name)

    def _wake(self, member: _Member, cause: str) -> None:
        self._tools.metrics.wakes.labels(cause).inc()
        member.loop.wake()

    def _start(self, namespace: str, name: str, uid: str, seen: tuple[Any, ...]) -> None:
        """Looks after an engine from now on; one of the same name that was there before ends first."""
        before = self._members.get((namespace, name))
        reconciler = EngineReconciler(self._tools, namespace, name)
        watch = PassWatch(self._tools, namespace, name)

        async def reconcile() -> Outcome:
            engine = await self._tools.reader.engine(namespace, name)
            if engine is None or engine["metadata"]["uid"] != uid:
                return Outcome(gone=True)
            member.held = member.held or names.FINALIZER in engine["metadata"].get("finalizers", ())
            if not member.held:
                return Outcome()  # the event that brings it wakes the loop
            outcome = await reconciler.reconcile()
            if outcome.judged:
                watch.judged()
            return outcome

        loop = WorkLoop(
            f"{namespace}/{name}",
            reconcile,
            observe=watch.passed,
            queued=self._tools.metrics.queue_age.observe,
        )
        member = _Member(uid, loop, asyncio.Event(), seen)
        self._members[namespace, name] = member
        task = asyncio.create_task(self._look_after((namespace, name), member, before), name=loop.label)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _look_after(self, key: tuple[str, str], member: _Member, before: _Member | None) -> None:
        try:
            if before is not None:
                before.loop.wake()
                await before.ended.wait()
            await asyncio.sleep(random.uniform(0, STAMPEDE_SECONDS))  # noqa: S311 - jitter
            await member.loop.run(self._stopped)
        finally:
            self._tools.secrets.forget(member.uid)  # here no pass is under way that would read them again
            member.ended.set()
            if self._members.get(key) is member:
                del self._members[key]
                if not self._stopped.is_set():
                    self._forget(*key)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
        else:
            self._stopped.set()  # `run` raises it


async def _close_edge(reconciler: EngineReconciler, engine: Manifest) -> None:
    """Looks at the edge of a deleted engine until there is nothing more to wait for."""
    end = time.monotonic() + CLOSE_SECONDS
    pause = await reconciler.close_edge(engine)
    while pause is not None and time.monotonic() < end:
        await asyncio.sleep(pause)
        pause = await reconciler.close_edge(engine)


class PassWatch:
    """Counts the passes of one engine."""

    def __init__(self, tools: Tools, namespace: str, name: str) -> None:
        self._metrics = tools.metrics
        self._labels = (namespace, name)
        self._judged = time.monotonic()
        self._metrics.judged_age.labels(namespace, name).set_function(lambda: time.monotonic() - self._judged)

    def judged(self) -> None:
        """A pass looked at the releases."""
        self._judged = time.monotonic()

    def passed(self, result: str, seconds: float) -> None:
        """A pass ended."""
        self._metrics.reconciles.labels(*self._labels, result).inc()
        self._metrics.reconcile_seconds.labels(*self._labels).observe(seconds)
        if result == "ok":
            self._metrics.last_success.labels(*self._labels).set_to_current_time()
