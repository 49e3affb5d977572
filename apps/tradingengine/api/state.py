"""Everything that a running api pod holds; endpoints get it from the request."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypedDict

from fastapi import Depends
from starlette.requests import HTTPConnection

from tradingengine.api.metrics import ApiMetrics
from tradingengine.api.stream.hub import Hub
from tradingengine.config import Settings
from tradingengine.control.state import ControlState
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.security.passwords import PasswordChecker
from tradingengine.storage import streams
from tradingengine.storage.link_watch import LinkWatch
from tradingengine.storage.postgres import Database
from tradingengine.storage.projector import BLOCK_SECONDS, Projector
from tradingengine.storage.reads import SAMPLE_SECONDS, Reads
from tradingengine.storage.relay import Relay
from tradingengine.storage.retention import Retention
from tradingengine.telemetry.loops import run_loop

log = logging.getLogger(__name__)

POOL_SIZE: Final = 5
"""Two slots of six pods each stay within the hundred connections of the embedded Postgres, dashboards beside them."""


@dataclass(frozen=True)
class ApiState:
    """One pod's parts."""

    settings: Settings
    control: ControlState
    database: Database
    cache: streams.Client
    reads: Reads
    relay: Relay
    hub: Hub
    passwords: PasswordChecker
    metrics: ApiMetrics

    async def changed(self, *changes: tuple[str, str]) -> None:
        """Tell this pod's browsers, and wake the other pods; a lost wake-up is healed by their polls."""
        self.hub.changed(list(changes))
        await self.wake_others(*changes)

    async def wake_others(self, *changes: tuple[str, str]) -> None:
        """Wake the other pods alone."""
        with contextlib.suppress(*streams.CACHE_ERRORS):
            await streams.publish_changes(self.cache, list(changes), origin=self.settings.pod)

    def user_release(self) -> dict[str, Any]:
        """Which release serves this person, and with what weight."""
        settings, document = self.settings, self.control.release_document
        weights = document["weights"] if document is not None else {}
        return {
            "release": settings.release,
            "slot": settings.slot,
            "version": settings.version,
            "weight": weights.get(settings.slot),
        }


class LifespanState(TypedDict):
    """What the lifespan hands to each request."""

    api: ApiState


@contextlib.asynccontextmanager
async def running_state(control: ControlState, metrics: ApiMetrics) -> AsyncGenerator[ApiState]:
    """Connect lazily, start relay, projector and hub; stop them in the reverse order."""
    settings = control.settings
    database = Database(settings.database, application_name=f"te-api {settings.pod}", size=POOL_SIZE)
    name = settings.pod
    cache = streams.command_client(settings.cache, name=f"{name}-commands")
    reader = streams.blocking_client(settings.cache, block_seconds=BLOCK_SECONDS, name=f"{name}-events")
    subscriber = streams.subscriber_client(settings.cache, name=f"{name}-live")
    await database.open()
    reads = Reads(database, cache, settings.engine)
    hub = Hub(control, reads, subscriber, metrics)
    relay = Relay(database, cache, control.metrics)
    projector = Projector(
        database, client=cache, reader=reader, metrics=control.metrics, pod=name, on_changes=hub.changed
    )
    state = ApiState(
        settings=settings,
        control=control,
        database=database,
        cache=cache,
        reads=reads,
        relay=relay,
        hub=hub,
        passwords=PasswordChecker(),
        metrics=metrics,
    )
    hub.user_release = state.user_release
    watch = LinkWatch(database, reads.heartbeat, lambda ref: state.changed(("alert", ref)))
    retention = Retention(database)
    tasks = [
        asyncio.create_task(loop, name=label)
        for label, loop in {
            "relay": relay.run(),
            "projector": projector.run(),
            "hub": hub.run(),
            "samples": run_loop("samples", _sample(state), control.metrics),
            "link": run_loop("link", watch.round, control.metrics),
            "retention": run_loop("retention", retention.round, control.metrics),
            "warm": _warm(database),
        }.items()
    ]
    try:
        yield state
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in (subscriber, reader, cache):
            with contextlib.suppress(*streams.CACHE_ERRORS):
                await client.aclose()
        await database.close()


async def _warm(database: Database) -> None:
    """Connections for the first requests; without Postgres they are made later."""
    with contextlib.suppress(DatabaseUnavailableError):
        await database.warm(POOL_SIZE - 1)


def _sample(state: ApiState) -> Any:
    async def once() -> None:
        await asyncio.sleep(SAMPLE_SECONDS / 3)
        await state.reads.sample_pnl()

    return once


async def get_state(connection: HTTPConnection) -> ApiState:
    """The pod's state, for endpoints."""
    state: ApiState = connection.state.api
    return state


State = Annotated[ApiState, Depends(get_state)]
