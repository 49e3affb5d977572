"""Starts the fake api with the real dashboard behind it, and a browser in front of it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator
from typing import Any

import uvicorn
from tradingengine.config import EngineConfig, Settings, load_settings
from tradingengine.dashboard.app import create_app
from tradingengine.dashboard.first_data import Person

from tests.integration.dashboard.fake_api import TOKEN, FakeApi, page
from tests.integration.dashboard.world import World

CHROMIUM = "/usr/bin/chromium"
# The same without windows to draw: half of the processor's time for each page.
HEADLESS = "/usr/bin/chromium-headless-shell"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip


class WorldSource:
    """First data out of the world; `empty` leaves all parts to the page's own calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.empty = False

    async def person(self, token: str) -> Person | None:
        """Asha, by her token."""
        return Person(login="asha", name="Asha Rao", roles=self.world.roles) if token == TOKEN else None

    async def parts(self) -> dict[str, Any]:
        """All parts, or none."""
        if self.empty:
            return {}
        world = self.world
        instruments = world.instruments()
        return {
            "status": world.status(),
            "summary": world.summary(),
            "positions": page(world.position_documents()),
            "orders": page(list(world.orders.values())[::-1]),
            "alerts": page(world.alerts[::-1]),
            "instruments": page(instruments),
            "quotes": page([world.quote(item["symbol"]) for item in instruments]),
        }


class Site:
    """A running site; `url` has no slash at its end."""

    def __init__(self, world: World, port: int, api: type[FakeApi]) -> None:
        self.world = world
        self.source = WorldSource(world)
        self.api = api(world, create_app(settings(world.release), self.source, withdrawn=lambda: False))
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


def settings(release: str = "3") -> Settings:
    """Settings of a dashboard pod in slot a."""
    made = load_settings(
        "dashboard",
        {
            "TE_SLOT": "a",
            "TE_RELEASE": release,
            "TE_VERSION": "0.1.0",
            "TE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "TE_CACHE_URL": "redis://127.0.0.1:1/0",
            "TE_CONTROL_TOKEN": "0123456789abcdef",
        },
    )
    assert isinstance(made.engine, EngineConfig)
    return made


@contextlib.contextmanager
def running_site(world: World, api: type[FakeApi] = FakeApi) -> Generator[Site]:
    """Serve until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    site = Site(world, listener.getsockname()[1], api)
    server = uvicorn.Server(
        uvicorn.Config(
            site.api.app, log_level="warning", access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    deadline = threading.Event()
    for _ in range(200):
        if server.started:
            break
        deadline.wait(0.05)
    assert server.started, "the site did not start within 10 s"
    try:
        yield site
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
