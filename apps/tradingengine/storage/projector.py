"""Reads the edge's journal from Redis into Postgres: each entry once, in sequence, without a gap.

Every api pod runs one and reads the whole stream; the journal's row, locked for one short transaction, decides who
applies. What lies beyond a gap is stored and waits. How far the journal is applied is told to the edge after each
batch and each second, so that it knows what to ship again after Redis, Postgres or a pod was lost.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeAlias

import asyncpg
from prometheus_client import Counter, Gauge

from tradingengine.storage import apply, events, streams
from tradingengine.storage.events import EdgeEvent
from tradingengine.storage.postgres import Connection, Database
from tradingengine.storage.projection import spoken_of
from tradingengine.telemetry import names
from tradingengine.telemetry.loops import run_loop
from tradingengine.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

BLOCK_SECONDS: Final = 1.0
_COUNT: Final = 500
_LOCKED_WAIT: Final = 0.01
_HOLD_MS: Final = 1000
_MOST_BARS: Final = 5000

Received: TypeAlias = tuple[str, EdgeEvent]
"""Stream id and entry."""
Changes: TypeAlias = list[tuple[str, str]]
"""(kind, id) of what changed, for `te:changes`."""


class _Outcome(Enum):
    """Of one transaction: all done, more to do at once, or another pod holds the journal."""

    DONE = 1
    MORE = 2
    LOCKED = 3


class Projector:
    """One pod's projector. `client` writes, `reader` blocks; `on_changes` hears what this pod applied."""

    def __init__(
        self,
        database: Database,
        *,
        client: streams.Client,
        reader: streams.Client,
        metrics: Metrics,
        pod: str = "",
        on_changes: Callable[[Changes], None] = lambda changes: None,
    ) -> None:
        self._database = database
        self._client = client
        self._reader = reader
        self._metrics = metrics
        self._pod = pod
        self._on_changes = on_changes
        self._cursor: str | None = None
        self._waiting: list[Received] = []
        self._known: set[str] = set()
        self._applied: dict[str, int] = {}
        self._lag = Gauge(names.PROJECTOR_LAG, "Journal entries seen and not applied yet.", registry=metrics.registry)
        self._pending = Gauge(
            names.OUTBOX_PENDING, "Commands that the edge has not confirmed.", registry=metrics.registry
        )
        self._projected = Counter(
            names.EVENTS_PROJECTED, "Journal entries applied by this pod.", ("type",), registry=metrics.registry
        )

    async def run(self) -> None:
        """Project until cancelled; survives the loss of Postgres and of Redis."""
        await asyncio.gather(
            run_loop("projector", self._round, self._metrics), run_loop("upkeep", self._upkeep, self._metrics)
        )

    async def _round(self) -> None:
        if self._waiting:
            await self.project()
        if self._cursor is None:
            self._cursor = await self._start_cursor()
        try:
            answer = await streams.read_streams(
                self._reader, {streams.EVENTS: self._cursor}, count=_COUNT, block_ms=int(BLOCK_SECONDS * 1000)
            )
        except streams.CACHE_ERRORS:
            # It may come back empty, with ids that start again: the place to read from is found anew.
            self._cursor = None
            raise
        entries = answer.get(streams.EVENTS, [])
        if not entries:
            await self._check_cursor()
            return
        self._waiting += [(entry_id, event) for entry_id, fields in entries if (event := _decoded(entry_id, fields))]
        self._cursor = entries[-1][0]
        await self.project()

    async def _start_cursor(self) -> str:
        async with self._database.connection() as connection:
            cursor = await events.start_stream_id(connection)
        last = await streams.last_entry_id(self._client, streams.EVENTS)
        return cursor if streams.id_key(cursor) <= streams.id_key(last) else streams.FIRST_ID

    async def _check_cursor(self) -> None:
        """A stream that was deleted or restored may have ids below our place; read it from its start then."""
        last = await streams.last_entry_id(self._client, streams.EVENTS)
        if self._cursor is not None and streams.id_key(last) < streams.id_key(self._cursor):
            self._cursor = streams.FIRST_ID

    async def project(self) -> None:
        """Apply what was received; returns when this pod or another one has done so."""
        while self._waiting:
            journal = self._waiting[0][1].journal
            received = [item for item in self._waiting if item[1].journal == journal]
            outcome = await self._project_journal(journal, received)
            if outcome is _Outcome.LOCKED:
                await asyncio.sleep(_LOCKED_WAIT)
            if outcome is not _Outcome.DONE:
                continue
            self._waiting = [item for item in self._waiting if item[1].journal != journal]

    async def _project_journal(self, journal: str, received: Sequence[Received]) -> "_Outcome":
        try:
            return await self._project_once(journal, received, careful=False)
        except asyncpg.PostgresError as error:
            log.warning("a batch is applied one by one", extra={"error": f"{type(error).__name__}: {error}"})
            return await self._project_once(journal, received, careful=True)

    async def _project_once(self, journal: str, received: Sequence[Received], *, careful: bool) -> "_Outcome":
        """One transaction."""
        if journal not in self._known:
            async with self._database.connection() as connection:
                await events.ensure_journal(connection, journal)
            self._known.add(journal)
        async with self._database.transaction(hold_ms=_HOLD_MS) as connection:
            state = await events.lock_journal(connection, journal)
            if state is None:
                # Or the row is gone: a database that was restored under us may not know the journal.
                self._known.discard(journal)
                return _Outcome.LOCKED
            fresh = {event.seq: event for _, event in received if event.seq > state.applied}
            seen = max([state.seen, *fresh])
            batch = _bounded(await _store_and_collect(connection, journal, state, fresh, careful=careful))
            if batch:
                changes = await apply.apply_batch(connection, batch, careful=careful)
                highest = received[-1][0] if received else state.stream_id
                await events.advance(
                    connection,
                    batch[-1],
                    seen=seen,
                    stream_id=highest,
                    trading_state=_trading_state(batch),
                    commands=spoken_of(batch),
                )
            elif fresh:
                await events.note_seen(connection, journal, seen)
        self._applied[journal] = batch[-1].seq if batch else state.applied
        self._lag.set(max(0, seen - self._applied[journal]))
        if batch:
            for event in batch:
                self._projected.labels(event.type).inc()
            self._on_changes(changes)
            await self._tell(changes)
        return _Outcome.MORE if batch and len(batch) < seen - state.applied else _Outcome.DONE

    async def _tell(self, changes: Changes) -> None:
        """Wake the pods and acknowledge to the edge; lost ones are made good by polls and by `_upkeep`."""
        try:
            await streams.publish_changes(self._client, changes, origin=self._pod, ack=self._applied)
        except streams.CACHE_ERRORS as error:
            log.info("changes were not published", extra={"error": type(error).__name__})

    async def _upkeep(self) -> None:
        """Each second: conclude what the journal's silence means, and write the acknowledgement."""
        await asyncio.sleep(1.0)
        async with self._database.connection() as connection:
            found = await events.upkeep(connection)
        self._pending.set(found.pending)
        # Replaced, not added to: a restored database knows less, and the edge must hear that to ship again.
        self._applied = found.applied
        if found.applied:
            await streams.write_ack(self._client, found.applied)
        if found.due:
            async with self._database.transaction(hold_ms=_HOLD_MS) as connection:
                changes = await apply.conclude_from_silence(connection)
            self._on_changes(changes)
            await streams.publish_changes(self._client, changes, origin=self._pod)


async def _store_and_collect(
    connection: Connection, journal: str, state: events.JournalState, fresh: dict[int, EdgeEvent], *, careful: bool
) -> list[EdgeEvent]:
    """Store new entries and return those that follow the applied ones without a gap."""
    if fresh:
        kept = await events.store(connection, [fresh[seq] for seq in sorted(fresh)], careful=careful)
        fresh = {event.seq: event for event in kept}
    batch: list[EdgeEvent] = []
    while (following := fresh.get(state.applied + len(batch) + 1)) is not None:
        batch.append(following)
    end = state.applied + len(batch)
    if state.seen > end:
        batch += await events.next_in_sequence(connection, journal, end, limit=10 * _COUNT)
    return batch


def _bounded(batch: list[EdgeEvent]) -> list[EdgeEvent]:
    """The head of a batch whose bars are few enough for one short transaction."""
    bars = 0
    for number, event in enumerate(batch):
        candles = event.data.get("candles")
        bars += len(candles) if isinstance(candles, list) else 0
        if bars > _MOST_BARS:
            return batch[: max(number, 1)]
    return batch


def _trading_state(batch: Sequence[EdgeEvent]) -> str | None:
    """The last trading state that a batch tells, None when it tells none."""
    told = [event.data.get("state") for event in batch if event.type == "trading.state"]
    return str(told[-1]) if told else None


def _decoded(entry_id: str, fields: dict[str, str]) -> EdgeEvent | None:
    try:
        return events.decode_event(fields.get("body", ""))
    except ValueError as error:
        log.error("an entry of the edge cannot be read", extra={"entry": entry_id, "error": str(error)})
        return None
