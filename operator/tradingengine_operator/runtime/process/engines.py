"""The work loops of all engines, found by namespace and name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.flows.pod_observation import labels_of
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy
from tradingengine_operator.runtime.process.loop import WorkLoop
from tradingengine_operator.runtime.reconcile.context import Tools
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler

#: A pass that lasts longer than this hangs, since it has a bound of its own below.
STUCK_SECONDS = 180.0
STOP_SECONDS = 30.0
logger = logging.getLogger(__name__)


@dataclass
class _Member:
    """One engine that is looked after."""

    uid: str
    loop: WorkLoop
    reconciler: EngineReconciler
    ended: asyncio.Event
    seen: tuple[Any, ...] = ()


class Engines:
    """Loops by engine. Wake-ups for engines that are not known are dropped: their first pass reads everything."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._members: dict[tuple[str, str], _Member] = {}
        tools.hosts.listen(self._host_changed)

    async def run(self, namespace: str, name: str, uid: str, stopped: asyncio.Event) -> None:
        """Looks after one engine until `stopped`."""
        reconciler = EngineReconciler(self._tools, namespace, name)
        metrics = self._tools.metrics

        def observe(result: str, seconds: float) -> None:
            metrics.reconciles.labels(namespace, name, result).inc()
            metrics.reconcile_seconds.labels(namespace, name).observe(seconds)
            if result == "ok":
                metrics.last_success.labels(namespace, name).set_to_current_time()

        loop = WorkLoop(f"{namespace}/{name}", reconciler.reconcile, observe=observe, queued=metrics.queue_age.observe)
        member = _Member(uid, loop, reconciler, asyncio.Event())
        self._members[namespace, name] = member
        try:
            await loop.run(stopped)
        finally:
            member.ended.set()
            if self._members.get((namespace, name)) is member:
                del self._members[namespace, name]

    async def delete(self, engine: Manifest) -> None:
        """Ends an engine: its loop first, so that nothing is made again, then its data by policy."""
        metadata = engine["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        member = self._members.get((namespace, name))
        if member is not None and member.uid == metadata["uid"]:
            member.loop.wake()
            async with asyncio.timeout(STOP_SECONDS):
                await member.ended.wait()
        await EngineReconciler(self._tools, namespace, name).mark_deleting(engine)
        await apply_deletion_policy(self._tools.client, engine)
        self._tools.metrics.forget(namespace, name)

    def engine_event(self, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """An engine changed; echoes of our own status do not count."""
        metadata = body["metadata"]
        self._tools.hosts.saw_engine(body, gone=gone)
        member = self._members.get((metadata["namespace"], metadata["name"]))
        if member is None:
            return
        seen = (
            metadata.get("generation"),
            metadata.get("deletionTimestamp"),
            tuple(sorted((metadata.get("annotations") or {}).items())),
        )
        if seen != member.seen:
            member.seen = seen
            self._wake(member, "engine")

    def child_event(self, kind: str, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """A child changed; echoes of our own writes do not count."""
        metadata = body["metadata"]
        if kind == kinds.ROUTE.kind:
            self._tools.hosts.saw_route(body, gone=gone)
        engine = labels_of(body).get(names.LABEL_INSTANCE, "")
        member = self._members.get((metadata["namespace"], engine))
        version = metadata.get("resourceVersion", "")
        if member is None or self._tools.applier.is_echo(metadata["namespace"], kind, metadata["name"], version):
            return
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

    def _wake(self, member: _Member, cause: str) -> None:
        self._tools.metrics.wakes.labels(cause).inc()
        member.loop.wake()
