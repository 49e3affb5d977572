"""A desk on which something happens: an edge that is heard, prices, a position, alerts, candles."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person
from tests.integration.kit import SYMBOL, Journal, beat, new_order, set_price, wait_until


@contextlib.asynccontextmanager
async def living(cache: streams.Client, database: Database) -> AsyncIterator[None]:
    """An edge that is heard, has prices and ends each halt soon, for as long as the block runs."""

    async def beats() -> None:
        while True:
            await beat(cache)
            await set_price(cache)
            async with database.connection() as connection:
                await connection.execute(
                    "update halts set released_at = now() where released_at is null "
                    "and (release_requested_at is not null or requested_at < now() - interval '10 seconds')"
                )
            await asyncio.sleep(0.5)

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def fill(trader: Person, cache: streams.Client) -> None:
    """A position, alerts, candles, an order: something to be listed everywhere."""
    journal = Journal()
    journal.add("run.started", {"source": "simulator"})
    rows = [[1_767_673_800 + 60 * n, 100, 200 + n, 50, 150, 10] for n in range(90)]
    journal.add("candles.closed", {"symbol": SYMBOL, "interval": "1m", "candles": rows})
    held = new_order(quantity=50)
    journal.accept(held, source="strategy", strategy="ema-cross")
    journal.fill(held, 50, 250_000, cumulative=50)
    for _ in range(3):
        refused = new_order()
        journal.intent(refused)
        journal.add("order.rejected", {"code": "broker_rejected", "message": "no"}, ref=refused.id)
    await journal.ship(cache)

    async def listed() -> bool:
        alerts = (await trader.http.get("/v1/alerts")).json()["items"]
        held = (await trader.http.get("/v1/positions")).json()["items"]
        return len(alerts) >= 3 and len(held) == 1

    await wait_until("positions and alerts", listed)
    assert (await trader.place()).status_code == 201
