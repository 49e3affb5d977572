"""A whole api pod in the test's own event loop, with both ports, and a person who talks to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx
import websockets
from tradingengine.api.main import http_listener, make_control
from tradingengine.config import Settings, load_settings
from tradingengine.control.server import serve
from tradingengine.control.state import ControlState
from tradingengine.security.passwords import hash_password
from tradingengine.storage import market, users
from tradingengine.storage.market import decode_instruments
from tradingengine.storage.postgres import Database
from tradingengine.storage.users import User

from tests.contract import contract
from tests.integration.kit import INDEX, INSTRUMENT, SYMBOL, plain_client, wait_until
from tests.integration.servers import free_port

TOKEN = "a-control-token-for-tests"
PASSWORD = "a password for tests"
_HASH = hash_password(PASSWORD)


def settings_for(postgres_url: str, redis_url: str, **more: str) -> Settings:
    """Settings of a pod of release 7, slot a, on free ports."""
    return load_settings(
        "api",
        {
            "TE_DATABASE_URL": postgres_url,
            "TE_CACHE_URL": redis_url,
            "TE_CONTROL_TOKEN": TOKEN,
            "TE_HTTP_HOST": "127.0.0.1",
            "TE_HTTP_PORT": str(free_port()),
            "TE_CONTROL_PORT": str(free_port()),
            "TE_RELEASE": "7",
            "TE_SLOT": "a",
            "TE_VERSION": "0.1.0",
            "TE_POD": f"api-{uuid4().hex[:6]}",
            **more,
        },
    )


@contextlib.asynccontextmanager
async def running_pod(settings: Settings) -> AsyncIterator[ControlState]:
    """An api pod that serves until the block ends."""
    control, stop = make_control(settings), asyncio.Event()
    task = asyncio.create_task(serve(control, [http_listener(control)], stop=stop))

    async def started() -> bool:
        if task.done():
            task.result()
        return control.started

    try:
        await wait_until("the pod has started", started)
        yield control
    finally:
        stop.set()
        await task


async def prepare(database: Database) -> None:
    """Instruments, and one user for each role: viewer, trader, admin; `gone` is disabled."""
    async with database.transaction() as connection:
        await market.save_instruments(connection, decode_instruments({"instruments": [INSTRUMENT, INDEX]}))
        for login in ("viewer", "trader", "admin", "gone"):
            role = "trader" if login == "gone" else login
            await users.add(connection, User(id=str(uuid4()), login=login, name=login.title(), roles=(role,)), _HASH)
        await users.disable(connection, "gone")


async def keeps_the_contract(answer: httpx.Response) -> None:
    """Fail when an answer is none that the OpenAPI document describes."""
    if answer.request.url.path.startswith("/v1/") and answer.request.url.path not in ("/v1/openapi.json", "/v1/docs"):
        await answer.aread()
        found = contract().answer(
            answer.request.method, answer.request.url.path, answer.status_code, dict(answer.headers), answer.content
        )
        assert found == []


class Person:
    """A client of a pod; each answer is held to the OpenAPI document."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.http = plain_client(
            base_url=f"http://127.0.0.1:{settings.http_port}",
            timeout=20,
            event_hooks={"response": [keeps_the_contract]},
        )

    async def log_in(self, login: str, password: str = PASSWORD) -> httpx.Response:
        """Open a session."""
        return await self.http.post("/v1/session", json={"login": login, "password": password})

    async def place(self, key: str = "", **changes: Any) -> httpx.Response:
        """Place an order; a limit order of ten shares unless changed."""
        body = {"symbol": SYMBOL, "side": "BUY", "quantity": 10, "type": "LIMIT", "price": "2500.00", **changes}
        body = {name: value for name, value in body.items() if value is not None}
        return await self.http.post("/v1/orders", json=body, headers={"idempotency-key": key or str(uuid4())})

    @contextlib.asynccontextmanager
    async def live(self, query: str = "?release=7", **headers: str) -> AsyncIterator["Live"]:
        """A WebSocket with this session."""
        cookie = "; ".join(f"{item.name}={item.value}" for item in self.http.cookies.jar)
        url = f"ws://127.0.0.1:{self.settings.http_port}/ws{query}"
        async with websockets.connect(url, additional_headers={"Cookie": cookie, **headers}) as connection:
            live = Live(connection)
            try:
                yield live
            finally:
                live.reading.cancel()
                await asyncio.gather(live.reading, return_exceptions=True)
            assert live.wrong == []


class Live:
    """Messages of one WebSocket, collected."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.messages: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                self.messages.append(json.loads(text))
                self.wrong += contract().message(self.messages[-1])

    async def subscribe(self, *symbols: str) -> None:
        """Name the symbols to hear of."""
        await self.connection.send(json.dumps({"t": "subscribe", "d": {"symbols": symbols}}))

    async def wait(self, kind: str, fits: Callable[[Any], bool] = lambda data: True) -> Any:
        """The data of the first message of a kind that fits."""

        async def found() -> Any:
            return next((m for m in self.messages if m["t"] == kind and fits(m["d"])), None)

        return (await wait_until(f"a message {kind}", found))["d"]

    async def closed(self) -> int | None:
        """The close code."""
        await asyncio.wait_for(asyncio.shield(self.reading), timeout=20)
        return self.connection.close_code
