"""The api's application in process, with a trader logged in and nothing behind it."""

from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI
from tradingengine.api.app import create_app
from tradingengine.api.auth import current_user
from tradingengine.api.state import get_state
from tradingengine.storage.users import User
from tradingengine.telemetry.request_id import RequestId

from tests.unit.apps.control.conftest import make_state


def application(reads: Any = None) -> FastAPI:
    """The application; what its endpoints read comes from `reads`."""
    app = create_app(make_state())
    trader = User(id="u", login="asha", name="Asha Rao", roles=("trader",))
    app.dependency_overrides[current_user] = lambda: trader
    app.dependency_overrides[get_state] = lambda: SimpleNamespace(reads=reads)
    return app


def client(app: FastAPI) -> httpx.AsyncClient:
    """A client of it, behind what each port of a pod has before it."""
    transport = httpx.ASGITransport(app=RequestId(app), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://pod")
