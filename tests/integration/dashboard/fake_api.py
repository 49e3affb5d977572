"""The api's side of interfaces.md, sections 7 and 8, from memory: for tests of pages only."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.integration.dashboard.world import Document, World, paise_of, wire

PASSWORD = "correct horse battery"
TOKEN = "token-of-asha"
STEP_SECONDS = 0.25


def problem(status: int, code: str, detail: str, **extra: Any) -> Response:
    """An RFC 9457 answer."""
    document = {
        "type": f"/problems/{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        **extra,
    }
    return JSONResponse(document, status_code=status, media_type="application/problem+json")


def page(items: list[Document]) -> Document:
    """A list answer."""
    return {"items": items, "next_cursor": None}


class FakeApi:
    """One api pod."""

    def __init__(self, world: World, dashboard: ASGIApp) -> None:
        self.world = world
        self.sockets: set[WebSocket] = set()
        self.wake = asyncio.Event()
        self.sequence = 0
        self.app = Starlette(routes=[*self._routes(), Mount("/", app=dashboard)], lifespan=self._lifespan)
        self.app.add_middleware(_Gate, world=world)
        self.loop: asyncio.AbstractEventLoop | None = None

    def _routes(self) -> list[Route | WebSocketRoute]:
        gets = {
            "/v1/status": self.world.status,
            "/v1/summary": self.world.summary,
            "/v1/positions": lambda: page(self.world.position_documents()),
            "/v1/alerts": lambda: page(self.world.alerts[::-1]),
            "/v1/orders": lambda: page(list(self.world.orders.values())[::-1]),
            "/v1/system": lambda: {"items": self._system()},
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
                    await self.send("candle", {"symbol": symbol, **_bar(bar)})
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
        for socket in list(self.sockets):
            self.sequence += 1
            envelope = {"v": 1, "t": kind, "seq": self.sequence, "at": round(time.time() * 1000), "d": data}
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_text(json.dumps(envelope))

    def close_sockets(self, code: int) -> None:
        """Close every WebSocket, from another thread."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self._close(code), self.loop).result(5)

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
                return problem(403, "login_failed", "Login or password is wrong.", mend="Try again.")
        elif request.cookies.get("te-session") != TOKEN:
            return problem(401, "unauthenticated", "Log in first.")
        user = {"login": "asha", "name": "Asha Rao", "roles": list(self.world.roles)}
        answer = JSONResponse({"user": user, "engine": {"name": "desk", "mode": "paper"}})
        if request.method == "POST":
            answer.set_cookie("te-session", TOKEN, httponly=True, samesite="strict")
        return answer

    async def _instruments(self, request: Request) -> Response:
        found = self.world.instruments(request.query_params.get("query", ""))
        return JSONResponse(page(found[: int(request.query_params.get("limit", 20))]))

    async def _quotes(self, request: Request) -> Response:
        symbols = [s for s in request.query_params.get("symbols", "").split(",") if s in self.world.prices]
        return JSONResponse(page([self.world.quote(symbol) for symbol in symbols]))

    async def _candles(self, request: Request) -> Response:
        symbol, interval = request.query_params["symbol"], request.query_params["interval"]
        if symbol not in self.world.history:
            return problem(422, "unknown_symbol", f"There is no {symbol}.", field="symbol")
        seconds = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400}[interval]
        bars: dict[int, list[int]] = {}
        for at, opened, high, low, close, volume in self.world.history[symbol]:
            bar = bars.setdefault(at // seconds * seconds, [at // seconds * seconds, opened, high, low, close, 0])
            bar[2], bar[3], bar[4], bar[5] = max(bar[2], high), min(bar[3], low), close, bar[5] + volume
        return JSONResponse(
            {"symbol": symbol, "interval": interval, "run": "r", "items": [_bar(b) for b in bars.values()]}
        )

    async def _place(self, request: Request) -> Response:
        body, key = await request.json(), request.headers.get("idempotency-key", "")
        if not key:
            return problem(400, "idempotency_key_missing", "Send an Idempotency-Key.")
        if key in self.world.keys:
            held, order_id = self.world.keys[key]
            if held != body:
                return problem(409, "idempotency_conflict", "The key was used for another order.")
            return JSONResponse(self.world.orders[order_id])
        if body.get("price") and paise_of(body["price"]) > 100_000_000:
            return problem(
                422, "price_band", "The price is above the upper band.", field="price", mend="Lower the price."
            )
        order = self.world.place(body)
        self.world.keys[key] = (body, order["id"])
        await self.send("order", order)
        if order["state"] == "NOT_DELIVERED":
            detail = "The edge did not answer for more than 3 s; the order was not sent."
            mend = "It is never sent later. Place it again when the edge is back."
            return problem(503, "edge_unreachable", detail, mend=mend, order_id=order["id"])
        return JSONResponse(order, status_code=201)

    async def _exit(self, request: Request) -> Response:
        body, key = await request.json(), request.headers.get("idempotency-key", "")
        if key in self.world.keys:
            return JSONResponse(self.world.orders[self.world.keys[key][1]])
        held = self.world.positions.get((body["symbol"], body["product"]))
        if held is None or not held["quantity"]:
            return problem(422, "no_position", "There is nothing to exit.", field="symbol")
        side = "SELL" if held["quantity"] > 0 else "BUY"
        quantity = body.get("quantity") or abs(held["quantity"])
        order = self.world.place({**body, "side": side, "quantity": quantity}, purpose="EXIT")
        self.world.keys[key] = (body, order["id"])
        return JSONResponse(order, status_code=201)

    async def _cancel(self, request: Request) -> Response:
        order = self.world.orders[request.path_params["id"]]
        self.world._move(order, "CANCELLED", 60)
        await self.send("order", order)
        return JSONResponse(order, status_code=202)

    async def _halt(self, request: Request) -> Response:
        world = self.world
        if request.method == "POST":
            halt = world.ask_halt("asha", (await request.json()).get("reason", ""))
            await self.send("halt", halt)
            return JSONResponse(halt, status_code=202)
        if request.method == "DELETE" and world.halt:
            released = {**world.halt, "released_at": wire(world.market_time())}
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
            {"name": name, "state": state, "since": None, "latency_ms": ms, "detail": detail, "mend": mend}
            for name, state, ms, detail, mend in rows
        ]


def _bar(bar: list[int]) -> Document:
    at, opened, high, low, close, volume = bar
    return {"time": at, "open": f"{opened / 100:.2f}", "high": f"{high / 100:.2f}", "low": f"{low / 100:.2f}",
            "close": f"{close / 100:.2f}", "volume": volume}  # fmt: skip


class _Gate:
    """What a test broke, the release check, and a note of each call."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self.app = app
        self.world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            world, path = self.world, scope["path"]
            world.requests.append((scope["method"], path, headers))
            answer: Response | None = None
            if path in world.unanswered:
                await asyncio.sleep(30)
            broken = world.broken_once.pop(path) if path in world.broken_once else world.broken.get(path)
            if broken is not None:
                status, document = broken
                answer = JSONResponse({"status": status, **document}, status_code=status)
            elif headers.get("x-te-release", world.accepted_release) != world.accepted_release:
                answer = problem(409, "release-gone", "Another release serves now.")
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)
