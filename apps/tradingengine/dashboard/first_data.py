"""What a page shows before its first call: read through `storage`, part by part, within a small budget of time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from tradingengine.control.state import ControlState
from tradingengine.errors import TradingEngineError
from tradingengine.security import sessions
from tradingengine.storage import users
from tradingengine.storage.postgres import Database
from tradingengine.storage.reads import Reads

log = logging.getLogger(__name__)

BUDGET_SECONDS: Final = 0.5
"""A part that takes longer is left out, and the page asks the api for it: a slow database must not hold the page."""
SHARED_SECONDS: Final = 0.25
"""So long one reading serves everybody; the page reads anew when its socket opens."""
KNOWN_SECONDS: Final = 30.0
"""Instruments change once a day."""
FIRST_ORDERS: Final = 50
FIRST_INSTRUMENTS: Final = 100


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at the page."""

    login: str
    name: str
    roles: tuple[str, ...]


class Source(Protocol):
    """Where the pages get people and data from."""

    async def person(self, token: str) -> Person | None:
        """The person of a session token, None when the session is over. DatabaseUnavailableError when unknown."""

    async def parts(self) -> dict[str, Any]:
        """Documents of `/v1` by name: status, summary, positions, orders, alerts, instruments, quotes.

        What could not be read in time is left out.
        """


class StorageSource:
    """The source of a pod: Postgres and Redis through `storage`."""

    def __init__(self, database: Database, reads: Reads, state: ControlState) -> None:
        self._database = database
        self._reads = reads
        self._state = state
        self._shared: asyncio.Future[dict[str, Any]] | None = None
        self._shared_at = 0.0
        self._known: dict[str, Any] = {"items": [], "next_cursor": None}
        self._known_at = 0.0

    async def person(self, token: str) -> Person | None:
        """The person of a live session."""
        async with self._database.connection() as connection:
            user = await users.session_user(connection, sessions.token_hash(token), sessions.IDLE)
        return Person(login=user.login, name=user.name, roles=user.roles) if user is not None else None

    async def parts(self) -> dict[str, Any]:
        """All parts, as they are now or were `SHARED_SECONDS` ago: they are the same for everybody."""
        now = asyncio.get_running_loop().time()
        if self._shared is None or now - self._shared_at > SHARED_SECONDS:
            self._shared, self._shared_at = asyncio.ensure_future(self._read_parts()), now
        # A browser that goes away must not take the answer from the others that wait for it.
        return await asyncio.shield(self._shared)

    async def _read_parts(self) -> dict[str, Any]:
        reads = self._reads
        return await gather_parts(
            {
                "status": lambda: reads.status(self._state.release_document, self._user_release()),
                "summary": reads.summary,
                "positions": lambda: items(reads.positions()),
                "orders": lambda: reads.orders("all", cursor=None, limit=FIRST_ORDERS),
                "alerts": reads.alerts,
                "instruments": self._instruments,
                "quotes": self._quotes,
            }
        )

    async def _quotes(self) -> dict[str, Any]:
        found = await self._instruments()
        return await items(self._reads.quotes([instrument["symbol"] for instrument in found["items"]]))

    async def _instruments(self) -> dict[str, Any]:
        now = asyncio.get_running_loop().time()
        if not self._known["items"] or now - self._known_at > KNOWN_SECONDS:
            self._known, self._known_at = await self._reads.instruments("", limit=FIRST_INSTRUMENTS), now
        return self._known

    def _user_release(self) -> dict[str, Any]:
        settings = self._state.settings
        weights = (self._state.release_document or {}).get("weights") or {}
        return {
            "release": settings.release,
            "slot": settings.slot,
            "version": settings.version,
            "weight": weights.get(settings.slot),
        }


async def items(found: Awaitable[list[dict[str, Any]]]) -> dict[str, Any]:
    """A list as the page of it that `/v1` would answer."""
    return {"items": await found, "next_cursor": None}


async def gather_parts(
    readers: dict[str, Callable[[], Awaitable[dict[str, Any]]]], *, budget: float = BUDGET_SECONDS
) -> dict[str, Any]:
    """Run the readers side by side and keep what succeeded within `budget` seconds."""
    tasks = {name: asyncio.ensure_future(_one(name, read)) for name, read in readers.items()}
    done, late = await asyncio.wait(tasks.values(), timeout=budget)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    parts = {name: task.result() for name, task in tasks.items() if task in done}
    return {name: part for name, part in parts.items() if part is not None}


async def _one(name: str, read: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any] | None:
    try:
        return await read()
    except TradingEngineError as error:
        log.warning("first data left out", extra={"part": name, "code": error.code})
        return None
