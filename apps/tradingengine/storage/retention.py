"""Deletes what nobody needs any more, in short bounded steps. Orders, fills, timelines and the audit trail are kept."""

import asyncio
import logging
import random
from typing import Final

from tradingengine.storage.postgres import Database

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 600.0
STEP: Final = 2000
_LOCK: Final = 7_205_319_001  # any number that nothing else in this database locks

RULES: Final = {
    "login_attempts": "at < now() - interval '1 day'",
    "idempotency_keys": "created_at < now() - interval '7 days'",
    "outbox": "done_at < now() - interval '7 days'",
    "pnl_samples": "bucket < now() - interval '7 days'",
    "alerts": "stored_at < now() - interval '90 days'",
    "candles_1m": "stored_at < now() - interval '120 days'",
    # What was said of orders stays. Applied bars are in their own table, and a mark says nothing any more.
    "edge_events": "stored_at < now() - interval '7 days' "
    "and type in ('mark', 'candles.closed', 'instruments.snapshot') "
    "and seq <= (select applied_seq from edge_journals j where j.journal = edge_events.journal)",
}
"""Table -> which of its rows go."""


class Retention:
    """One pod's share of the cleaning; of several pods one does each step."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def round(self) -> None:
        """Clean after a pause, which differs from pod to pod."""
        await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads work, keeps no secret
        await self.clean()

    async def clean(self) -> dict[str, int]:
        """Delete what is due now; rows by table."""
        deleted = {}
        for table in RULES:
            count = await self._clean_table(table)
            if count:
                deleted[table] = count
        if deleted:
            log.info("old rows deleted", extra={"rows": deleted})
        return deleted

    async def _clean_table(self, table: str) -> int:
        total, last = 0, STEP
        while last == STEP:
            async with self._database.transaction(hold_ms=5000) as connection:
                if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", _LOCK):
                    return total
                status: str = await connection.execute(
                    f"delete from {table} where ctid = any(array("  # noqa: S608 - text of this file
                    f"select ctid from {table} where {RULES[table]} limit {STEP}))"
                )
            last = int(status.rpartition(" ")[2])
            total += last
        return total
