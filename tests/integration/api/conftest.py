"""A pod with users and instruments, and people logged in."""

from collections.abc import AsyncIterator

import pytest
from tradingengine.config import Settings
from tradingengine.control.state import ControlState
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person, prepare, running_pod, settings_for
from tests.integration.kit import beat


@pytest.fixture
async def settings(database: Database, postgres_url: str, redis_url: str) -> Settings:
    """Settings of a pod whose database has users and instruments."""
    await prepare(database)
    return settings_for(postgres_url, redis_url)


@pytest.fixture
async def control(settings: Settings) -> AsyncIterator[ControlState]:
    """The control state of a running pod."""
    async with running_pod(settings) as state:
        yield state


@pytest.fixture
async def stranger(control: ControlState) -> AsyncIterator[Person]:
    """Somebody without a session."""
    person = Person(control.settings)
    yield person
    await person.http.aclose()


@pytest.fixture
async def trader(control: ControlState, cache: streams.Client) -> AsyncIterator[Person]:
    """A trader with a session, while the edge is heard."""
    person = Person(control.settings)
    assert (await person.log_in("trader")).status_code == 200
    await beat(cache)
    yield person
    await person.http.aclose()
