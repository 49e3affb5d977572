"""The api's side of interfaces.md, sections 7 and 8, from memory: for tests of pages only.

What it answers and sends is held to the real OpenAPI document, and so is what the page asks: `wrong` collects what
does not fit, and the test that met it fails.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, MutableMapping
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from tradingengine.domain.candles import bar_start

from tests.contract import contract
from tests.integration.dashboard.world import Document, World, paise_of, wire

PASSWORD = "correct horse battery"
TOKEN = "token-of-asha"
STEP_SECONDS = 0.25


def problem(status: int, code: str, detail: str, **extra: Any) -> Response:
    """An RFC 9457 answer."""
    return problem_answer(
        status, {"type": f"/problems/{code}", "title": code.replace("_", " "), "detail": detail, **extra}
    )


def problem_answer(status: int, document: Document) -> Response:
    """A problem that a test wrote; its title is its detail when it has no other."""
    whole = {"status": status, "detail": document["title"], **document}
    return JSONResponse(whole, status_code=status, media_type="application/problem+json")


def page(items: list[Document]) -> Document:
    """A list answer."""
    return {"items": items, "next_cursor": None}


class FakeApi:
    """One api pod."""

    checked = True
    """Whether what passes is held to the document; it takes a millisecond for each message."""

    def __init__(self, world: World, dashboard: ASGIApp) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.sockets: set[WebSocket] = set()
        self.wake = asyncio.Event()
        self.sequence = 0
        self.app = Starlette(routes=[*self._routes(), Mount("/", app=dashboard)], lifespan=self._lifespan)
        self.app.add_middleware(_Gate, api=self)
        self.loop: asyncio.AbstractEventLoop | None = None

    def _routes(self) -> list[Route | WebSocketRoute]:
        gets = {
            "/v1/status": self.world.status,
            "/v1/summary": self.world.summary,
            "/v1/positions": lambda: page(self.world.position_documents()),
            "/v1/alerts": lambda: page(self.world.alerts[::-1]),
            "/v1/orders": lambda: page(list(self.world.orders.values())[::-1]),
            "/v1/system": lambda: page(self._system()),
        }

        def reader(read: Any) -> Any:
            async def answer(request: Request) -> Response:
                return JSONResponse(read())

            return answer

        return [
            Route("/v1/session", self._session, methods=["POST", "GET", "DELETE"]),
            Route("/v1/instruments", self._instruments),
            Route("/v1/quotes", self._quotes),
            Route("/v1/candles", self._candles),
            Route("/v1/orders", self._place, methods=["POST"]),
            Route("/v1/orders/{id}", self._cancel, methods=["DELETE"]),
            Route("/v1/positions/exit", self._exit, methods=["POST"]),
            Route("/v1/halt", self._halt, methods=["POST", "GET", "DELETE"]),
            *(Route(path, reader(read), methods=["GET"]) for path, read in gets.items()),
            WebSocketRoute("/ws", self._ws),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        self.loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._pump())
        yield
        task.cancel()

    async def _pump(self) -> None:
        before: dict[str, str] = {}
        while True:
            moved = self.world.step()
            if moved:
                await self.send("quotes", [self.world.quote(symbol) for symbol in moved])
                for symbol in moved:
                    bar = self.world.history[symbol][-1]
                    await self.send("candle", {"symbol": symbol, **shown_bar(bar)})
            changed = [o for i, o in self.world.orders.items() if before.get(i) != o["updated_at"]]
            before = {i: o["updated_at"] for i, o in self.world.orders.items()}
            for order in changed:
                await self.send("order", order)
            await self.send("position", self.world.position_documents())
            await self.send("summary", self.world.summary())
            await self.send("status", self.world.status())
            await asyncio.sleep(STEP_SECONDS)

    async def send(self, kind: str, data: Any) -> None:
        """One envelope to every page."""
        for number, socket in enumerate(list(self.sockets)):
            self.sequence += 1
            envelope = {"v": 1, "t": kind, "seq": self.sequence, "at": round(time.time() * 1000), "d": data}
            if self.checked and number == 0:
                self.note(contract().message(json.loads(json.dumps(envelope))))
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_text(json.dumps(envelope))

    def tell(self, kind: str, data: Any) -> None:
        """Send one message to every page, from another thread."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self.send(kind, data), self.loop).result(5)

    def note(self, faults: list[str]) -> None:
        """Keep what does not fit the document, each kind once."""
        self.wrong += [fault for fault in faults if fault not in self.wrong]

    def until_connected(self, seconds: float = 30.0) -> None:
        """Wait for a page's WebSocket: first data are shown before it is open. AssertionError when none comes."""
        end = time.monotonic() + seconds
        while not self.sockets:
            assert time.monotonic() < end, f"no page opened a WebSocket within {seconds:g} s"
            time.sleep(0.02)

    def close_sockets(self, code: int) -> None:
        """Close every WebSocket, from another thread."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self._close(code), self.loop).result(30)

    async def _close(self, code: int) -> None:
        for socket in list(self.sockets):
            self.sockets.discard(socket)
            with contextlib.suppress(RuntimeError):
                await socket.close(code)

    async def _ws(self, socket: WebSocket) -> None:
        world = self.world
        await socket.accept()
        if socket.cookies.get("te-session") != TOKEN:
            await socket.close(4401)
            return
        if "/ws" in world.broken or "/ws" in world.unanswered:
            await socket.close(1011)
            return
        self.sockets.add(socket)
        await self.send("hello", {"release": world.release, "slot": "a"})
        try:
            while True:
                message = json.loads(await socket.receive_text())
                if message["t"] == "ping":
                    await self.send("pong", {})
                if message["t"] == "subscribe":
                    known = [s for s in message["d"]["symbols"] if s in world.prices]
                    await self.send("quotes", [world.quote(symbol) for symbol in known])
        except (WebSocketDisconnect, RuntimeError):
            self.sockets.discard(socket)

    async def _session(self, request: Request) -> Response:
        if request.method == "DELETE":
            answer = Response(status_code=204)
            answer.delete_cookie("te-session")
            return answer
        if request.method == "POST":
            body = await request.json()
            if body != {"login": "asha", "password": PASSWORD}:
                return problem(401, "wrong_login", "Login or password is wrong.", mend="Try again.")
        user = {"login": "asha", "name": "Asha Rao", "roles": list(self.world.roles)}
        engine = {"name": "desk", "mode": "paper", "environment": "development", "version": "0.1.0",
                  "release": self.world.release, "slot": "a"}  # fmt: skip
        answer = JSONResponse({"user": user, "engine": engine})
        if request.method == "POST":
            answer.set_cookie("te-session", TOKEN, httponly=True, samesite="strict")
        return answer

    async def _instruments(self, request: Request) -> Response:
        found = self.world.instruments(request.query_params.get("query", ""))
        return JSONResponse(page(found[: int(request.query_params.get("limit", 20))]))

    async def _quotes(self, request: Request) -> Response:
        symbols = request.query_params.get("symbols", "").split(",")
        unknown = [symbol for symbol in symbols if symbol not in self.world.prices]
        if unknown:
            return problem(404, "unknown_instrument", "Not known here.", field="symbols", unknown=unknown)
        return JSONResponse(page([self.world.quote(symbol) for symbol in symbols]))

    async def _candles(self, request: Request) -> Response:
        symbol, interval = request.query_params["symbol"], request.query_params["interval"]
        if symbol not in self.world.history:
            return problem(404, "unknown_instrument", f"{symbol} is not known here.", field="symbol")
        before = int(request.query_params.get("before", 2**31 - 1))
        held = self.world.history[symbol]
        stored = held[: len(held) - self.world.not_stored_yet.pop(symbol, 0)]
        bars: dict[int, list[int]] = {}
        for at, opened, high, low, close, volume in stored:
            start = bar_start(at, interval)
            if start < before:
                bar = bars.setdefault(start, [start, opened, high, low, close, 0])
                bar[2], bar[3], bar[4], bar[5] = max(bar[2], high), min(bar[3], low), close, bar[5] + volume
        newest = list(bars.values())[-int(request.query_params.get("limit", 500)) :]
        head = {"symbol": symbol, "interval": interval, "run": "r"}
        return JSONResponse({**head, **page([shown_bar(bar) for bar in newest])})

    async def _place(self, request: Request) -> Response:
        body, key = await request.json(), request.headers.get("idempotency-key", "")
        if not key:
            return problem(422, "invalid", "Idempotency-Key: Field required", field="Idempotency-Key")
        if key in self.world.keys:
            held, order_id = self.world.keys[key]
            if held != body:
                return problem(409, "idempotency_conflict", "The key was used for another order.")
            return self._order(order_id)
        if body.get("price") and paise_of(body["price"]) > 100_000_000:
            return problem(
                422, "price_band", "The price is above the upper band.", field="price", mend="Lower the price."
            )
        if body["symbol"] not in self.world.prices:
            return problem(422, "unknown_instrument", "The symbol is not known here.", field="symbol")
        if self.world.halt is not None:
            return problem(409, "halted", f"Halted by {self.world.halt['by']}.", mend="Release the halt.")
        order = self.world.place(body)
        self.world.keys[key] = (body, order["id"])
        await self.send("order", order)
        if order["state"] == "NOT_DELIVERED":
            detail = "The edge did not answer for more than 3 s; the order was not sent."
            mend = "It is never sent later. Place it again when the edge is back."
            return problem(503, "edge_unreachable", detail, mend=mend, order_id=order["id"])
        return self._order(order["id"], 201)

    def _order(self, order_id: str, status: int = 200) -> Response:
        headers = {"location": f"/v1/orders/{order_id}"}
        return JSONResponse(self.world.orders[order_id], status_code=status, headers=headers)

    async def _exit(self, request: Request) -> Response:
        body, key = await request.json(), request.headers.get("idempotency-key", "")
        if not key:
            return problem(422, "invalid", "Idempotency-Key: Field required", field="Idempotency-Key")
        if key in self.world.keys:
            return self._order(self.world.keys[key][1])
        held = self.world.positions.get((body["symbol"], body["product"]))
        if held is None or not held["quantity"]:
            return problem(409, "no_position", "The position is flat.")
        side = "SELL" if held["quantity"] > 0 else "BUY"
        quantity = body.get("quantity") or abs(held["quantity"])
        order = self.world.place({**body, "side": side, "quantity": quantity}, purpose="EXIT")
        self.world.keys[key] = (body, order["id"])
        return self._order(order["id"], 201)

    async def _cancel(self, request: Request) -> Response:
        order = self.world.orders.get(request.path_params["id"])
        if order is None:
            return problem(404, "not_found", "There is no such order.", field="id")
        if order["state"] not in ("INTENT", "SENT", "OPEN", "PARTIALLY_FILLED"):
            return problem(409, "order_done", f"The order is {order['state']}.", state=order["state"])
        self.world._move(order, "CANCELLED", 60)
        await self.send("order", order)
        return JSONResponse(order, status_code=202)

    async def _halt(self, request: Request) -> Response:
        world = self.world
        if request.method == "POST":
            is_new = world.halt is None
            halt = world.ask_halt("asha", json.loads(await request.body() or b"{}").get("reason"))
            await self.send("halt", halt)
            return JSONResponse(halt, status_code=202 if is_new else 200)
        if request.method == "DELETE":
            if world.halt is None:
                return problem(409, "not_halted", "There is no halt to release.")
            released = {**world.halt, "released_at": wire(datetime.now(UTC))}
            world.halt = None
            await self.send("halt", released)
            return JSONResponse(released, status_code=202)
        return JSONResponse(world.halt)

    def _system(self) -> list[Document]:
        edge = "ok" if self.world.edge_up else "down"
        mend = None if self.world.edge_up else "Check the edge node's power and network."
        rows = [("api", "ok", 1, "This pod answers.", None), ("database", "ok", 2, "Postgres answers.", None),
                ("cache", "ok", 1, "Redis answers.", None), ("feed", "ok", 40, "Prices are live.", None),
                ("broker paper", "ok", None, "connected", None), ("edge", edge, 180, "The link.", mend),
                ("replica", "absent", None, "No replica in this version.", None),
                ("vault", "absent", None, "Secrets are Kubernetes Secrets in this version.", None),
                ("models", "absent", None, "No models in this version.", None)]  # fmt: skip
        return [
            {
                "name": name,
                "state": state,
                "since": None if state == "absent" else wire(self.world.started),
                "latency_ms": ms,
                "detail": detail,
                "mend": mend,
            }
            for name, state, ms, detail, mend in rows
        ]


def shown_bar(bar: list[int]) -> Document:
    """A bar of the world as the api shows it."""
    at, opened, high, low, close, volume = bar
    return {"time": at, "open": f"{opened / 100:.2f}", "high": f"{high / 100:.2f}", "low": f"{low / 100:.2f}",
            "close": f"{close / 100:.2f}", "volume": volume}  # fmt: skip


class _Gate:
    """What a test broke, the release check, the session, a note of each call, and the document that all is held to."""

    def __init__(self, app: ASGIApp, api: FakeApi) -> None:
        self.app = app
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.api.world.requests.append((scope["method"], scope["path"], headers))
        body = await Request(scope, receive).body()
        if self.api.checked:
            query = scope["query_string"].decode()
            self.api.note(contract().request(scope["method"], scope["path"], query, headers, body))
        answer = await self._refusal(scope, headers)
        app: ASGIApp = self.app if answer is None else answer
        await app(scope, _again(body), self._held(scope, send))

    async def _refusal(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        world, path = self.api.world, scope["path"]
        if path in world.unanswered:
            await asyncio.sleep(30)
        broken = world.broken_once.pop(path) if path in world.broken_once else world.broken.get(path)
        if broken is not None:
            return problem_answer(*broken)
        if headers.get("x-te-release", world.accepted_release) != world.accepted_release:
            return problem(409, "release-gone", "Another release serves now.")
        public = path == "/v1/session" and scope["method"] != "GET"
        if not public and f"te-session={TOKEN}" not in headers.get("cookie", ""):
            return problem(401, "not_logged_in", "There is no session, or it is over.")
        return None

    def _held(self, scope: Scope, send: Send) -> Send:
        """A `send` that holds the answer to the document; what only a gateway answers is no part of that."""
        start: dict[str, Any] = {}
        said = bytearray()

        async def held(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                said.extend(message.get("body", b""))
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
                headers["x-request-id"] = "put there by the port"
                if self.api.checked and start["status"] not in (502, 504):
                    self.api.note(
                        contract().answer(scope["method"], scope["path"], start["status"], headers, bytes(said))
                    )

        return held


def _again(body: bytes) -> Receive:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
