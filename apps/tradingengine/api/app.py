"""Makes the application."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, Response

from tradingengine.api import docs
from tradingengine.api.alerts.endpoints import router as alerts
from tradingengine.api.candles.endpoints import router as candles
from tradingengine.api.halt.endpoints import router as halt
from tradingengine.api.instruments.endpoints import router as instruments
from tradingengine.api.metrics import ApiMetrics
from tradingengine.api.openapi import openapi_document
from tradingengine.api.orders.endpoints import router as orders
from tradingengine.api.parameters import known_parameters
from tradingengine.api.positions.endpoints import router as positions
from tradingengine.api.problems import add_handlers
from tradingengine.api.quotes.endpoints import router as quotes
from tradingengine.api.release.endpoints import router as release
from tradingengine.api.responses import Json
from tradingengine.api.session.endpoints import router as session
from tradingengine.api.state import LifespanState, running_state
from tradingengine.api.status.endpoints import router as status
from tradingengine.api.stream.endpoints import router as stream
from tradingengine.api.summary.endpoints import router as summary
from tradingengine.api.system.endpoints import router as system
from tradingengine.control.middleware import COMMON_HEADERS, BodyLimit, ReleaseGuard, SecurityHeaders
from tradingengine.control.release_path import ReleasePath
from tradingengine.control.state import ControlState

ROUTERS: Final = (
    session, orders, positions, halt, instruments, quotes, candles, summary, status, alerts, system, release, stream,
)  # fmt: skip
HEADERS: Final = {
    **COMMON_HEADERS,
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
DESCRIPTION: Final = (
    "Orders, positions and prices of one engine. Money is text in rupees, times are RFC 3339 in UTC, errors are "
    "RFC 9457 problem documents whose type ends in a code. Log in by POST /v1/session; live data come over /ws."
)


def create_app(control: ControlState) -> FastAPI:
    """The application of one pod; everything it holds but its metrics is made in its lifespan."""
    metrics = ApiMetrics(control.metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[LifespanState]:
        async with running_state(control, metrics) as state:
            yield {"api": state}

    app = FastAPI(
        title="Trading Engine",
        version=control.settings.version,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(known_parameters)],
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(SecurityHeaders, headers=HEADERS),
            Middleware(ReleasePath),
            Middleware(ReleaseGuard, control=control),
            Middleware(BodyLimit),
        ],
    )
    for router in ROUTERS:
        app.include_router(router)
    app.state.metrics = metrics
    app.state.routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    app.include_router(_documents(app))
    add_handlers(app)
    return app


def _documents(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/v1/openapi.json")
    async def openapi() -> Response:
        return Json(openapi_document(app))

    @router.get("/v1/docs")
    async def page() -> Response:
        headers = {"content-security-policy": docs.CONTENT_SECURITY_POLICY}
        return HTMLResponse(docs.render(openapi_document(app)), headers=headers)

    return router
