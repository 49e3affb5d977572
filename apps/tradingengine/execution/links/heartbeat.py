"""The heartbeat: what the edge is, each second. Its absence is what tells the cloud that the edge cannot be reached."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tradingengine.domain.clock import WallClock, rfc3339
from tradingengine.execution.engine import Engine
from tradingengine.execution.links.shipper import Shipper
from tradingengine.execution.links.stream import EventSink
from tradingengine.execution.metrics import EdgeMetrics
from tradingengine.storage import streams

SECONDS: Final = 1.0


class Heart:
    """Builds and sets the heartbeat."""

    def __init__(
        self,
        *,
        engine: Engine,
        shipper: Shipper,
        sink: EventSink,
        wall: WallClock,
        metrics: EdgeMetrics,
        identity: dict[str, str],
        feed: Callable[[], dict[str, Any]],
        strategies: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """`identity` has release and version; `feed` and `strategies` give their parts of the document."""
        self._engine = engine
        self._shipper = shipper
        self._sink = sink
        self._wall = wall
        self._metrics = metrics
        self._identity = identity
        self._feed = feed
        self._strategies = strategies

    def document(self) -> dict[str, Any]:
        """The document of interfaces.md, section 5."""
        engine, journal = self._engine, self._engine.journal
        halt = engine.book.halt
        state = engine.document()
        return {
            "v": 1,
            "journal": journal.uuid,
            "epoch": journal.epoch,
            **self._identity,
            "at": rfc3339(self._wall.now()),
            "trading_state": state["trading_state"],
            "flat": state["flat"],
            "idle": state["idle"],
            "recovered": state["recovered"],
            "sequence": journal.sequence,
            "shipped": self._shipper.shipped,
            "unshipped": self._shipper.unshipped,
            "probes": True,
            "journal_failed": engine.inputs.journal_failed,
            "halt": None if halt is None else msgspec.to_builtins(halt),
            "broker": {"name": engine.broker.name, "state": engine.broker.state},
            "feed": self._feed(),
            "strategies": self._strategies(),
        }

    async def run(self) -> None:
        """Until cancelled. A missed beat is not made up for: the next one says more."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._metrics.unshipped.set(self._shipper.unshipped)
            try:
                await self._sink.beat(msgspec.json.encode(self.document()).decode())
            except streams.CACHE_ERRORS:
                await self._sink.disconnect()
            due = max(due + SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())
