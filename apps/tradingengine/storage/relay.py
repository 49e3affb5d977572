"""Sends queued commands to the edge, again and again until the edge's journal speaks of them.

Every api pod runs one. A claim is one statement that gives a command to one pod for one second; XADD comes
after it, so that no row is locked while Redis is slow, and a pod that hangs delays its rows by that second at most.
"""

import asyncio
import contextlib
from typing import Final

from tradingengine.storage import outbox, streams
from tradingengine.storage.postgres import Database
from tradingengine.telemetry.loops import run_loop
from tradingengine.telemetry.metrics import Metrics

POLL_SECONDS: Final = 1.0
_BATCH: Final = 100


class Relay:
    """One pod's relay; `wake` it after a transaction that queued a command."""

    def __init__(self, database: Database, client: streams.Client, metrics: Metrics) -> None:
        self._database = database
        self._client = client
        self._metrics = metrics
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is a new command: send it now."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; survives the loss of Postgres and of Redis."""
        await run_loop("relay", self._round, self._metrics)

    async def send_due(self) -> int:
        """Send all commands that are due now; how many."""
        sent = 0
        while True:
            async with self._database.connection() as connection:
                claims = await outbox.claim(connection, limit=_BATCH)
            if not claims:
                return sent
            await streams.add_commands(self._client, [(claim.id, claim.body, claim.priority) for claim in claims])
            sent += len(claims)
            if len(claims) < _BATCH:
                return sent

    async def _round(self) -> None:
        self._wake.clear()
        await self.send_due()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
