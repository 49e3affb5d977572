"""The edge's own page on loopback: state, orders, halt and cancel, for when the link to the cloud is cut.

Whoever reaches the loopback port of this node may use it. Requests that change something need the header
`x-te-console: 1`, which a page of another origin cannot send unasked, and a Host that is loopback.
"""

import html
from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tradingengine.domain.clock import WallClock
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import broker_tag, is_id, new_id
from tradingengine.domain.money import format_rupees
from tradingengine.domain.orders import Order, Side
from tradingengine.domain.positions import Position
from tradingengine.execution.commands import Command, CommandKind, Origin
from tradingengine.execution.engine import Engine
from tradingengine.execution.page import PAGE

_LOOPBACK: Final = ("127.0.0.1", "localhost")
_MOST_ORDERS: Final = 500
_USER: Final = "edge console"


class Console:
    """The console's application; `heartbeat` gives the document that the cloud would get."""

    def __init__(
        self,
        engine: Engine,
        wall: WallClock,
        heartbeat: Callable[[], dict[str, Any]],
        *,
        closed: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Reads the engine's book; acts through the same commands as the cloud, unless `closed` says why it cannot."""
        self._closed = closed
        self._engine = engine
        self._wall = wall
        self._heartbeat = heartbeat
        self.app = Starlette(
            routes=[
                Route("/", self._page, methods=["GET"]),
                Route("/v1/state", self._state, methods=["GET"]),
                Route("/v1/orders", self._orders, methods=["GET"]),
                Route("/v1/orders/export", self._export, methods=["GET"]),
                Route("/v1/orders/{order_id}", self._cancel, methods=["DELETE"]),
                Route("/v1/positions", self._positions, methods=["GET"]),
                Route("/v1/positions/exit", self._exit, methods=["POST"]),
                Route("/v1/halt", self._halt, methods=["POST"]),
                Route("/v1/halt", self._release, methods=["DELETE"]),
            ],
            # A name that resolves to loopback is not enough: a foreign page could bring one.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK, www_redirect=False)],
        )

    async def _page(self, request: Request) -> Response:
        title = html.escape(f"Edge {self._engine.broker.name}")
        return HTMLResponse(PAGE.replace("{title}", title), headers={"content-security-policy": _POLICY})

    async def _state(self, request: Request) -> Response:
        return JSONResponse(self._heartbeat())

    async def _orders(self, request: Request) -> Response:
        wanted = request.query_params.get("limit", "100")
        limit = min(int(wanted), _MOST_ORDERS) if wanted.isdigit() else 100
        return JSONResponse({"items": [self._order(order) for order in self._engine.book.latest(limit)]})

    def _order(self, order: Order) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.to_builtins(order)
        return {**document, "timeline": self._engine.book.timeline(order.id)}

    async def _export(self, request: Request) -> Response:
        lines = [
            msgspec.json.encode(
                {
                    "id": order.id,
                    "state": str(order.state),
                    "filled_quantity": order.filled_quantity,
                    "tag": broker_tag(order.id),
                }
            ).decode()
            for order in self._engine.book.orders.values()
        ]
        return PlainTextResponse("".join(f"{line}\n" for line in lines), media_type="application/x-ndjson")

    async def _positions(self, request: Request) -> Response:
        return JSONResponse({"items": [_position(position) for position in self._engine.book.positions.values()]})

    async def _cancel(self, request: Request) -> Response:
        order_id = request.path_params["order_id"]
        if not is_id(order_id):
            return _problem(422, "invalid", "the order id is a UUID of version 7 in lower case")
        return await self._command(request, CommandKind.CANCEL, target=order_id)

    async def _halt(self, request: Request) -> Response:
        return await self._command(request, CommandKind.HALT, reason="from the edge console")

    async def _release(self, request: Request) -> Response:
        halt = self._engine.halts.current
        return await self._command(request, CommandKind.RELEASE, target=halt, reason="from the edge console")

    async def _exit(self, request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(await request.body(), type=_ExitRequest)
            order = self._exit_order(wanted)
        except (msgspec.DecodeError, DomainError) as error:
            return _problem(422, "invalid", str(error))
        return await self._command(request, CommandKind.EXIT, order=order)

    def _exit_order(self, wanted: "_ExitRequest") -> dict[str, Any]:
        for key, position in self._engine.book.positions.items():
            if (key.symbol, str(key.product)) == (wanted.symbol, wanted.product) and position.quantity:
                side = Side.SELL if position.quantity > 0 else Side.BUY
                quantity = wanted.quantity or abs(position.quantity)
                return {
                    "symbol": key.symbol,
                    "side": str(side),
                    "quantity": quantity,
                    "type": "MARKET",
                    "product": wanted.product,
                    "purpose": "EXIT",
                    "account": key.account,
                    "broker": key.broker,
                }
        raise DomainError(f"there is no position in {wanted.symbol} {wanted.product}")

    async def _command(self, request: Request, kind: CommandKind, **fields: Any) -> Response:
        if request.headers.get("x-te-console") != "1":
            return _problem(403, "forbidden", "send the header x-te-console: 1")
        if (why := self._closed()) is not None:
            return _problem(503, "unavailable", why)
        command = Command(
            id=new_id(), kind=kind, origin=Origin(user=_USER), created_at=self._wall.now(), expires_at=None, **fields
        )
        await self._engine.handle(command)
        order = self._engine.book.orders.get(command.id if kind is CommandKind.EXIT else fields.get("target") or "")
        return JSONResponse({"id": command.id, "order": None if order is None else self._order(order)})


class _ExitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to exit; quantity 0 means all of it."""

    symbol: str
    product: str = "MIS"
    quantity: int = 0


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


def _position(position: Position) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(position.key),
        "quantity": position.quantity,
        "average_price": format_rupees(position.average_paise),
        "realised": format_rupees(position.realised_paise),
    }


def _problem(status: int, code: str, detail: str) -> Response:
    document = {"type": f"/problems/{code}", "title": code, "status": status, "detail": detail}
    return JSONResponse(document, status_code=status, media_type="application/problem+json")
