"""A person at the desk: logs in through the Gateway, sends orders, looks at what comes back on the WebSocket."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import httpx
from te_devcluster.errors import DevclusterError, TimedOutError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

HOST = "desk.localhost"
FINAL_STATES = frozenset({"FILLED", "CANCELLED", "REJECTED", "EXPIRED", "NOT_DELIVERED", "DRY_RUN"})


class Person:
    """One session. The connection goes to an address, since not every resolver knows names below `localhost`."""

    def __init__(self, port: int, host: str = HOST, timeout: float = 10.0, address: str = "127.0.0.1") -> None:
        self.port = port
        self.host = host
        self.address = address
        at = f"[{address}]" if ":" in address else address
        self.http = httpx.Client(base_url=f"http://{at}:{port}", headers={"host": host}, timeout=timeout)

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def log_in(self, login: str, password: str) -> dict[str, Any]:
        """Opens a session and returns who and what it is for."""
        return self._json(self.http.post("/v1/session", json={"login": login, "password": password}))

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """A GET that must succeed."""
        return self._json(self.http.get(path, params=query))

    @staticmethod
    def _json(answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise DevclusterError(
                f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
            )
        parsed: dict[str, Any] = answer.json()
        return parsed

    def send(self, order: Mapping[str, Any], key: str = "") -> httpx.Response:
        """Sends an order as it is and returns the answer, whatever it says."""
        return self.http.post("/v1/orders", json=dict(order), headers={"idempotency-key": key or str(uuid.uuid4())})

    def place(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Sends an order that must be taken."""
        return self._json(self.send(order))

    def order(self, order_id: str) -> dict[str, Any]:
        """One order."""
        return self.get(f"/v1/orders/{order_id}")

    def orders(self, state: str = "all") -> list[dict[str, Any]]:
        """All orders, page by page."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.get("/v1/orders", state=state, limit=200, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next_cursor"] or ""
            if not cursor:
                return found

    def wait_final(self, order_id: str, timeout: float = 30.0) -> dict[str, Any]:
        """Waits until an order's state cannot change any more."""
        end = time.monotonic() + timeout
        while True:
            order = self.order(order_id)
            if order["state"] in FINAL_STATES:
                return order
            if time.monotonic() > end:
                raise TimedOutError(f"order {order_id} is still {order['state']} after {timeout:.0f} s")
            time.sleep(0.1)

    def wait_status(self, what: str, condition: Callable[[dict[str, Any]], bool], timeout: float) -> dict[str, Any]:
        """Waits for a condition on `/v1/status`; answers that fail meanwhile are asked again."""
        end, last = time.monotonic() + timeout, "no answer"
        while time.monotonic() < end:
            try:
                status = self.get("/v1/status")
            except (httpx.TransportError, DevclusterError) as error:
                last = str(error)
            else:
                if condition(status):
                    return status
                last = json.dumps(status)
            time.sleep(0.25)
        raise TimedOutError(f"{what}: not within {timeout:.0f} s; last: {last[:1500]}")

    @contextlib.contextmanager
    def live(self, symbols: list[str]) -> Iterator[Live]:
        """A WebSocket with this session, its messages collected by a thread."""
        raw = socket.create_connection((self.address, self.port), timeout=10)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies.jar)
        headers = {"Cookie": cookies, "Origin": f"http://{self.host}:{self.port}"}
        with connect(f"ws://{self.host}:{self.port}/ws", sock=raw, additional_headers=headers) as socket_:
            live = Live(socket_)
            live.send("subscribe", {"symbols": symbols})
            yield live
            live.stop()


class Live:
    """What came over a WebSocket: a list that grows, and a way to wait for the message one is after."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._changed = threading.Condition()
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self.closed: int | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """Sends one message."""
        self._connection.send(json.dumps({"t": kind, "d": dict(data)}))

    def _read(self) -> None:
        try:
            for text in self._connection:
                with self._changed:
                    self.messages.append((time.monotonic(), json.loads(text)))
                    self._changed.notify_all()
        except ConnectionClosed as error:
            self.closed = error.rcvd.code if error.rcvd else 1006
        with self._changed:
            self._changed.notify_all()

    def wait(
        self, kind: str, condition: Callable[[Any], bool] = lambda _data: True, timeout: float = 10.0, start: int = 0
    ) -> tuple[float, Any]:
        """The first message of a kind whose data meets a condition, with the (monotonic) second it came."""
        end = time.monotonic() + timeout
        index = start
        with self._changed:
            while True:
                while index < len(self.messages):
                    when, message = self.messages[index]
                    index += 1
                    if message["t"] == kind and condition(message["d"]):
                        return when, message["d"]
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    kinds = sorted({message["t"] for _, message in self.messages})
                    raise TimedOutError(f"no `{kind}` on the WebSocket within {timeout:.0f} s (came: {kinds})")

    def stop(self) -> None:
        """Closes it."""
        self._connection.close()
        self._thread.join(5)


def market_order(symbol: str = "NSE:RELIANCE", side: str = "BUY", quantity: int = 1) -> dict[str, Any]:
    """An order that fills at once on a live quote."""
    return {
        "symbol": symbol,
        "side": side,
        "quantity": quantity,
        "type": "MARKET",
        "product": "MIS",
        "validity": "DAY",
    }


def limit_order(
    price: str, symbol: str = "NSE:RELIANCE", side: str = "BUY", quantity: int = 1, validity: str = "DAY"
) -> dict[str, Any]:
    """An order at a price (rupees, as text)."""
    return {**market_order(symbol, side, quantity), "type": "LIMIT", "price": price, "validity": validity}
