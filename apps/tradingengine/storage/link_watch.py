"""Tells people when the link to the edge is lost, and when it is back; one alert each, however many pods watch."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from tradingengine.domain.money import show_count
from tradingengine.storage import alerts, events
from tradingengine.storage.heartbeat import Heartbeat
from tradingengine.storage.postgres import Database
from tradingengine.storage.projection import Alert

LOST_SECONDS: Final = 5.0
"""Longer than what counts as unreachable: a heartbeat or two may be late without anybody being told."""
WATCH_SECONDS: Final = 1.0
Tell: TypeAlias = Callable[[str], Awaitable[None]]
"""Called with the id of an alert."""


class LinkWatch:
    """One pod's watch over the heartbeat. A pod that never heard the edge has lost nothing and tells nothing."""

    def __init__(self, database: Database, heartbeat: Callable[[], Awaitable[Heartbeat | None]], tell: Tell) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._tell = tell
        self._heard: float | None = None
        self._lost: tuple[str, float] | None = None

    async def round(self) -> None:
        """One look, after a second."""
        await asyncio.sleep(WATCH_SECONDS)
        await self.look(await self._heartbeat(), asyncio.get_running_loop().time())

    async def look(self, heartbeat: Heartbeat | None, now: float) -> None:
        """Compare a heartbeat with what was known at `now` (seconds of a steady clock), and tell what has changed."""
        if heartbeat is not None and heartbeat.fresh:
            self._heard = now - heartbeat.age
            if self._lost is not None:
                outage, since = self._lost
                await self._store(_back(outage, self._heard - since))
                self._lost = None
        elif self._lost is None and self._heard is not None and now - self._heard > LOST_SECONDS:
            async with self._database.connection() as connection:
                outage = await events.newest_place(connection)
            await self._store(_lost(outage))
            self._lost = (outage, self._heard)

    async def _store(self, alert: Alert) -> None:
        async with self._database.connection() as connection:
            await alerts.save(connection, [alert])
        await self._tell(alerts.alert_id(alert.key))


def _lost(outage: str) -> Alert:
    # All pods read the journal up to the same place before it fell silent: the place names the outage.
    return Alert(
        key=f"edge-lost/{outage}",
        severity="critical",
        title="The link to the edge is lost",
        detail="No heartbeat for more than 5 s. The edge trades on by itself; orders from here that add risk are "
        "refused, exits, cancels and HALT wait for the link.",
        mend="Check the edge node's power and network. Its own console works without the link.",
        order_id=None,
        at=datetime.now(UTC),
    )


def _back(outage: str, seconds: float) -> Alert:
    return Alert(
        key=f"edge-back/{outage}",
        severity="info",
        title="The link to the edge is back",
        detail=f"It was silent for {show_count(round(seconds))} s.",
        mend=None,
        order_id=None,
        at=datetime.now(UTC),
    )
