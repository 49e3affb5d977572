"""Ships the journal to the cloud in sequence, from memory while it keeps up, from disk after a cut.

What was shipped is not what was stored: the cloud's acknowledgement alone counts. After Redis restarted, or lost its
stream, everything above the acknowledgement is sent again; doubles are dropped there by sequence. An acknowledgement
that stays below an earlier one is the word of a new or restored database, and is followed.
"""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Final

from tradingengine.domain.clock import WallClock
from tradingengine.execution.journal import Draft, Entry, Journal
from tradingengine.execution.links.stream import EventSink
from tradingengine.execution.loops import Backoff
from tradingengine.storage import streams
from tradingengine.storage.sqlite import SqliteFailedError

log = logging.getLogger(__name__)

_BATCH: Final = 500
_ACK_SECONDS: Final = 1.0
_MOST_BATCHES: Final = 2000
STALL_SECONDS: Final = 10.0
LONGEST_PATIENCE: Final = 600.0
MARK_SECONDS: Final = 5.0


class Shipper:
    """One journal's way up."""

    def __init__(self, journal: Journal, sink: EventSink, wall: WallClock) -> None:
        """Hears the journal's new entries from now on."""
        self._journal = journal
        self._sink = sink
        self._wall = wall
        self._wake = asyncio.Event()
        self._run_id = ""
        self._last_entry = wall.monotonic()
        self._ack_due = wall.monotonic()
        self._stalled_at = 0
        self._stalled_since = wall.monotonic()
        self._patience = STALL_SECONDS
        self._less_since: float | None = None
        self._batches: deque[tuple[int, str]] = deque(maxlen=_MOST_BATCHES)
        self.shipped = 0
        self.connected = False
        self.rewinds = 0
        journal.listen(self._heard)

    def _heard(self, entry: Entry) -> None:
        self._last_entry = self._wall.monotonic()
        self._wake.set()

    @property
    def unshipped(self) -> int:
        """Entries that the cloud has not acknowledged."""
        return self._journal.sequence - self._journal.acked

    async def run(self) -> None:
        """Until cancelled; survives a Redis that is away for hours, with bounded memory."""
        backoff = Backoff()
        while True:
            try:
                await self._connect()
                while True:
                    await self._ship()
                    backoff.succeeded()
                    await self._wait()
            except streams.CACHE_ERRORS as error:
                if self.connected:
                    log.warning("events cannot be shipped; trying again", extra={"problem": str(error)})
                self.connected = False
                await self._sink.disconnect()
                await backoff.wait()
            except SqliteFailedError:  # a failed disk still ships what memory holds; what it does not waits
                await asyncio.sleep(STALL_SECONDS)

    async def _connect(self) -> None:
        run_id = await self._sink.run_id()
        await self.read_ack()
        if run_id != self._run_id:
            self._run_id = run_id
            self.rewind()
        if not self.connected:
            log.info("link is up", extra={"shipped": self.shipped, "sequence": self._journal.sequence})
        self.connected = True

    def rewind(self) -> None:
        """Send everything again that the cloud has not acknowledged."""
        self.shipped = self._journal.acked
        self._batches.clear()
        self.rewinds += 1
        self._wake.set()

    async def _ship(self) -> None:
        while True:
            self._wake.clear()
            batch = await self._journal.read(self.shipped, _BATCH)
            if not batch:
                return
            first_id = await self._sink.add([entry.body(self._journal.uuid).decode() for entry in batch])
            self._batches.append((batch[0].seq, first_id))
            self.shipped = batch[-1].seq

    async def _wait(self) -> None:
        left = self._ack_due - self._wall.monotonic()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
        if self._wall.monotonic() >= self._ack_due:
            self._ack_due = self._wall.monotonic() + _ACK_SECONDS
            await self.read_ack()
            await self._look_for_loss()

    async def read_ack(self) -> None:
        """Learn how far the cloud has stored the journal, and believe it when it says less for long."""
        acked = (await self._sink.ack()).get(self._journal.uuid)
        now = self._wall.monotonic()
        if acked is None or acked >= self._journal.acked:
            self._less_since = None
            await self._journal.acknowledge(acked or 0)
        elif self._less_since is None:
            self._less_since = now
        elif now - self._less_since >= STALL_SECONDS:
            log.warning("the cloud holds less than before", extra={"before": self._journal.acked, "now": acked})
            self._less_since = None
            await self._journal.take_back(acked)
            self.rewind()

    async def _look_for_loss(self) -> None:
        """The acknowledgement stands still while more was shipped: is the next entry gone from the stream?"""
        now, acked = self._wall.monotonic(), self._journal.acked
        if acked != self._stalled_at or acked >= self.shipped:
            self._stalled_at, self._stalled_since, self._patience = acked, now, STALL_SECONDS
        elif now - self._stalled_since >= self._patience:
            self._stalled_since = now
            if self._is_lost(await self._sink.first_id(), acked + 1):
                log.warning("the stream lost entries; shipping again", extra={"acknowledged": acked})
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
                self.rewind()

    def _is_lost(self, first_id: str | None, seq: int) -> bool:
        """Whether the stream begins after the batch that held `seq`."""
        if first_id is None:
            return True
        held = [batch_id for first_seq, batch_id in self._batches if first_seq <= seq]
        return not held or streams.id_key(first_id) > streams.id_key(held[-1])

    async def mark(self) -> None:
        """Journal a mark whenever nothing else was for five seconds, until cancelled."""
        while True:
            quiet = self._wall.monotonic() - self._last_entry
            if quiet >= MARK_SECONDS:
                with contextlib.suppress(SqliteFailedError):  # the journal has said so itself
                    await self._journal.record(Draft("mark", {"shipped": self.shipped}))
                quiet = 0.0
            await asyncio.sleep(max(MARK_SECONDS - quiet, 0.05))
