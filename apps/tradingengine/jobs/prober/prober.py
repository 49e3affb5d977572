"""All probes of one engine, at a steady pace: a slow answer never thins out what is asked next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final

import aiohttp

from tradingengine.jobs.prober.asking import Asker, find_instrument, probe_order, probe_page
from tradingengine.jobs.prober.live import LiveProbe
from tradingengine.jobs.prober.outcomes import OwnLag, ProbeMetrics, Result, SlotOutcomes
from tradingengine.jobs.prober.table import Component, PageProbe, Table, Tradable
from tradingengine.jobs.prober.targets import Targets

PAGE_SECONDS: Final = 0.2
ORDER_SECONDS: Final = 1.0
INSTRUMENT_SECONDS: Final = 30.0
_NAMES_SECONDS: Final = 10
Once = Callable[[int], Awaitable[None]]


class Prober:
    """Asks every slot; what is not there is asked in vain, and counts as skipped until it was there once."""

    def __init__(self, targets: Targets, table: Table, token: Callable[[], str], metrics: ProbeMetrics) -> None:
        self._targets = targets
        self._table = table
        self._token = token
        self._metrics = metrics
        self._lag = OwnLag()

    async def run(self) -> None:
        """Until cancelled."""
        connector = aiohttp.TCPConnector(force_close=True, limit=0, ttl_dns_cache=_NAMES_SECONDS)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
            asker = Asker(session, self._token, self._lag)
            tasks.create_task(self._lag.run(), name="lag")
            for slot, bases in self._targets.items():
                outcomes = SlotOutcomes(slot, self._metrics)
                for component, base in bases.items():
                    pages = _Pages(asker, base, component, self._table.requests[component], outcomes)
                    tasks.create_task(pace(PAGE_SECONDS, pages.once), name=f"{component}-{slot}")
                api = bases.get("api")
                if api is not None:
                    orders = _Orders(asker, api, self._table, outcomes)
                    tasks.create_task(pace(ORDER_SECONDS, orders.once), name=f"orders-{slot}")
                    live = LiveProbe(session, asker, api, outcomes, self._lag)
                    tasks.create_task(live.run(), name=f"socket-{slot}")


class _Pages:
    """Goes round the pages of one component of a slot."""

    def __init__(
        self, asker: Asker, base: str, component: Component, pages: Sequence[PageProbe], outcomes: SlotOutcomes
    ) -> None:
        self._asker = asker
        self._base = base
        self._component = component
        self._pages = pages
        self._outcomes = outcomes

    async def once(self, number: int) -> None:
        result = await probe_page(self._asker, self._base, self._pages[number % len(self._pages)])
        self._outcomes.take(self._component, "request", result)


class _Orders:
    """Goes round the orders of one slot, for an instrument that the slot itself names."""

    def __init__(self, asker: Asker, base: str, table: Table, outcomes: SlotOutcomes) -> None:
        self._asker = asker
        self._base = base
        self._table = table
        self._outcomes = outcomes
        self._instrument: Tradable | None = None
        self._found_at = 0.0

    async def once(self, number: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._instrument is None or now - self._found_at > INSTRUMENT_SECONDS:
            found = await find_instrument(self._asker, self._base)
            if isinstance(found, Result):
                self._outcomes.take("api", "order", found)
                return
            self._instrument, self._found_at = found, now
        rows = [row for row in self._table.orders if row.fits(self._instrument)]
        result = await probe_order(self._asker, self._base, rows[number % len(rows)], self._instrument)
        self._outcomes.take("api", "order", result)


async def pace(seconds: float, once: Once) -> None:
    """Begin `once` each so many seconds, whether or not the one before has ended; until cancelled.

    Each must end by itself within a bounded time. Beginnings that this process was too late for are left out.
    """
    clock = asyncio.get_running_loop().time
    due = clock()
    async with asyncio.TaskGroup() as tasks:
        for number in count():
            tasks.create_task(_end_of(once, number))
            due = max(due + seconds, clock())
            await asyncio.sleep(due - clock())


async def _end_of(once: Once, number: int) -> None:
    """A task wants a coroutine, and `once` may be anything that can be awaited."""
    await once(number)
