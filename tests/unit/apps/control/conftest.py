"""A control state and a client of its port."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tradingengine.config import Component, load_settings
from tradingengine.control.app import create_control_app
from tradingengine.control.state import ControlState
from tradingengine.telemetry.metrics import Metrics

TOKEN = "a-token-of-twenty-letters"


def make_state(component: Component = "api", **environ: str) -> ControlState:
    """State of a pod of release 7, slot a."""
    settings = load_settings(
        component,
        {
            "TE_DATABASE_URL": "postgresql://te@db/te",
            "TE_CACHE_URL": "redis://cache",
            "TE_CONTROL_TOKEN": TOKEN,
            "TE_RELEASE": "7",
            "TE_SLOT": "a",
            "TE_VERSION": "0.1.0",
            **environ,
        },
    )
    return ControlState(settings, Metrics(component=component, release="7", slot="a"), schema_revision="0001")


def client_of(app: Any, **headers: str) -> httpx.AsyncClient:
    """A client that talks to an application without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://pod", headers=headers)


@pytest.fixture
def state() -> ControlState:
    """State of an api pod that has started."""
    made = make_state()
    made.started = True
    return made


@pytest.fixture
async def operator(state: ControlState) -> AsyncIterator[httpx.AsyncClient]:
    """The operator's client."""
    async with client_of(create_control_app(state), authorization=f"Bearer {TOKEN}") as client:
        yield client
