"""A whole edge process for tests: its settings, commands for it, and what it left on disk."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from tradingengine.domain.clock import SystemClock, rfc3339
from tradingengine.domain.ids import new_id
from tradingengine.execution.book import OrderBook
from tradingengine.execution.journal import Journal
from tradingengine.storage import streams

from tests.integration.kit import plain_client, wait_until
from tests.integration.servers import free_port
from tests.measured import unmeasured

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-tests-only"
SYMBOL = "NSE:INFY"


def place(**changes: Any) -> dict[str, Any]:
    """The `order` part of a command: one share at the market unless changed."""
    fields = {"symbol": SYMBOL, "side": "BUY", "quantity": 1, "type": "MARKET", "product": "MIS", "validity": "DAY"}
    return {**fields, "purpose": "ENTRY", "account": "default", "broker": "paper", "dry_run": False, **changes}


class EdgeProcess:
    """`te edge` in a process of its own, on a folder and a Redis."""

    def __init__(self, folder: Path, redis_url: str, *, counted: bool = True, **settings: str) -> None:
        """`settings` are variables of the environment beside those that every edge needs; `counted` for coverage."""
        self._settings = settings
        self._inherited = dict(os.environ) if counted else unmeasured(os.environ)
        self.state_dir = folder / "state"
        self.redis_url = redis_url
        self.control_port, self.console_port = free_port(), free_port()
        self.log = folder / "edge.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = streams.command_client(redis_url, timeout=5.0)
        self.events: dict[int, dict[str, Any]] = {}
        self._cursor = streams.FIRST_ID

    def start(self) -> None:
        """Start it; `ready` waits."""
        environment = {
            **self._inherited,
            "PYTHONPATH": str(ROOT / "apps"),
            "TE_COMPONENT": "edge",
            "TE_RELEASE": "7",
            "TE_VERSION": "test",
            "TE_CACHE_URL": self.redis_url,
            "TE_CONTROL_TOKEN": TOKEN,
            "TE_STATE_DIR": str(self.state_dir),
            "TE_HTTP_HOST": "127.0.0.1",
            "TE_CONTROL_PORT": str(self.control_port),
            "TE_CONSOLE_PORT": str(self.console_port),
        }
        environment.pop("TE_CONFIG", None)
        environment |= self._settings
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "tradingengine", "edge"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.log.parent)

    async def ready(self) -> None:
        """Wait until it has recovered and takes orders."""
        async with plain_client() as http:

            async def look() -> bool:
                assert self._process is not None
                assert self._process.poll() is None, self.log.read_text()[-3000:]
                try:
                    return (await http.get(f"http://127.0.0.1:{self.control_port}/readyz")).status_code == 200
                except httpx.HTTPError:
                    return False

            await wait_until("the edge is ready", look, timeout=90)

    async def unready(self) -> dict[str, str]:
        """Wait until it says why it is not ready, having started; the reasons by part. It must live meanwhile."""
        async with plain_client(base_url=f"http://127.0.0.1:{self.control_port}") as http:

            async def look() -> dict[str, str] | None:
                assert self._process is not None
                assert self._process.poll() is None, self.log.read_text()[-3000:]
                with contextlib.suppress(httpx.TransportError):
                    assert (await http.get("/healthz")).status_code == 200
                    reasons: dict[str, str] = (await http.get("/readyz")).json()["reasons"]
                    return reasons if "edge" in reasons and "being opened" not in reasons["edge"] else None
                return None

            found: dict[str, str] = await wait_until("the edge says why it is not ready", look, timeout=90)
            return found

    async def metrics(self) -> str:
        """`GET /metrics`."""
        async with plain_client() as http:
            return (await http.get(f"http://127.0.0.1:{self.control_port}/metrics")).text

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """In good order; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(timeout=40)
        self._process = None
        return code

    async def state(self) -> dict[str, Any]:
        """`GET /control/v1/state`."""
        async with plain_client() as http:
            answer = await http.get(
                f"http://127.0.0.1:{self.control_port}/control/v1/state", headers={"authorization": f"Bearer {TOKEN}"}
            )
            document: dict[str, Any] = answer.json()
            return document

    async def control(self, act: str) -> int:
        """POST an act of the control API; the status."""
        async with plain_client() as http:
            answer = await http.post(
                f"http://127.0.0.1:{self.control_port}/control/v1/{act}", headers={"authorization": f"Bearer {TOKEN}"}
            )
            return answer.status_code

    async def send(
        self, kind: str, *, order: dict[str, Any] | None = None, target: str | None = None, seconds: float = 30
    ) -> str:
        """Put a command into its stream as the relay does; its id."""
        command_id, now = new_id(), datetime.now(UTC)
        body = {
            "v": 1,
            "id": command_id,
            "kind": kind,
            "origin": {"release": "7", "slot": "a", "user": "asha"},
            "created_at": rfc3339(now),
            "expires_at": rfc3339(now + timedelta(seconds=seconds)),
            "order": order,
            "target": target,
            "reason": None,
        }
        await streams.add_command(self.client, command_id, json.dumps(body), priority=kind != "place")
        return command_id

    async def read_events(self) -> dict[int, dict[str, Any]]:
        """All events so far by sequence; a double must say the same."""
        answer = await streams.read_streams(self.client, {streams.EVENTS: self._cursor}, count=10_000, block_ms=None)
        for entry_id, fields in answer.get(streams.EVENTS, []):
            self._cursor = entry_id
            event = json.loads(fields["body"])
            assert self.events.setdefault(event["seq"], event) == event
        return self.events

    async def resting(self) -> dict[str, Any]:
        """The `order` part of a buy far below the market: at the lower end of the day's band."""

        async def snapshots() -> list[dict[str, Any]]:
            events = await self.read_events()
            return [event["data"] for event in events.values() if event["type"] == "instruments.snapshot"]

        instruments = (await wait_until("the run has begun", snapshots))[-1]["instruments"]
        (lowest,) = [one["lower_band_paise"] for one in instruments if one["symbol"] == SYMBOL]
        return place(type="LIMIT", price_paise=lowest or 5)

    async def types_of(self, order_id: str) -> list[str]:
        """Types of the events about one order or command, in sequence."""
        events = await self.read_events()
        return [events[seq]["type"] for seq in sorted(events) if events[seq]["id"] == order_id]

    async def until_event(self, order_id: str, *types: str) -> None:
        """Wait for one of these events about an order or command."""

        async def look() -> bool:
            return bool(set(types) & set(await self.types_of(order_id)))

        await wait_until(f"one of {types} for {order_id}", look, timeout=30)

    async def trades(self) -> None:
        """Wait until an order is filled; one that comes while the orders of a second are used up is sent again."""
        for _ in range(10):
            order_id = await self.send("place", order=place())
            await self.until_event(order_id, "order.filled", "order.rejected", "order.expired")
            if "order.filled" in await self.types_of(order_id):
                return
            await asyncio.sleep(1)
        raise AssertionError(f"ten orders, none filled; of the last: {await self.types_of(order_id)}")

    async def until_acknowledged(self, seq: int) -> None:
        """Wait until its heartbeat says that it knows `seq` to be stored."""

        async def known() -> bool:
            beat = json.loads(await self.client.get(streams.HEARTBEAT) or "{}")
            return bool(beat) and beat["sequence"] - beat["unshipped"] == seq

        await wait_until("the acknowledgement is known", known)

    async def close(self) -> None:
        """End what runs."""
        if self._process is not None:
            self.kill()
        await self.client.aclose()


async def book_on_disk(state_dir: Path) -> OrderBook:
    """What the journal of a stopped edge says."""
    clock, book = SystemClock(), OrderBook()
    journal = Journal(state_dir / "journal" / "journal.sqlite", wall=clock, market=clock)
    await journal.open()
    await journal.replay(book.apply)
    await journal.close()
    await asyncio.sleep(0)
    return book
