"""The dashboard's HTTP application."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from tradingengine.config import Settings
from tradingengine.control.app import problem_response
from tradingengine.control.middleware import ReleaseGoneError, SecurityHeaders
from tradingengine.control.release_path import ReleasePath, path_release, prefix_of
from tradingengine.dashboard.assets import STATIC_DIR, HashedFiles, load_assets
from tradingengine.dashboard.first_data import Person, Source
from tradingengine.dashboard.headers import HEADERS, RELEASE_COOKIE, release_cookie
from tradingengine.dashboard.paths import ReleasePaths
from tradingengine.dashboard.shell import TABS, Look, Pages, Tab
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.security.probing import LOGIN, ROLES, is_prober
from tradingengine.security.sessions import COOKIE as SESSION_COOKIE

_PATHS = frozenset(tab.path for tab in TABS)


def create_app(
    settings: Settings,
    source: Source,
    *,
    withdrawn: Callable[[], bool] = lambda: False,
    static_dir: Path = STATIC_DIR,
) -> Starlette:
    """The pages of one pod; `withdrawn` says whether its slot refuses visitors. ConfigError when none was built."""
    handler = _Handler(settings, source, Pages(settings, load_assets(static_dir)), withdrawn)
    routes: list[Route | Mount] = [
        Route("/", handler.home, methods=["GET"]),
        *(Route(tab.path, handler.tab(tab), methods=["GET"]) for tab in TABS),
        Route("/login", handler.login, methods=["GET"]),
        Mount("/static", HashedFiles(directory=os.fspath(static_dir)), name="static"),
    ]
    middleware = [
        Middleware(SecurityHeaders, headers=HEADERS),
        Middleware(ReleasePath),
        Middleware(ReleasePaths, settings=settings, documents=_PATHS | {"/", "/login"}, withdrawn=withdrawn),
        Middleware(GZipMiddleware, minimum_size=1024),
    ]
    return Starlette(routes=routes, middleware=middleware)


class _Handler:
    def __init__(self, settings: Settings, source: Source, pages: Pages, withdrawn: Callable[[], bool]) -> None:
        self._settings = settings
        self._source = source
        self._pages = pages
        self._withdrawn = withdrawn

    async def home(self, request: Request) -> Response:
        return await self._shell(request, TABS[0])

    def tab(self, tab: Tab) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._shell(request, tab)

        return answer

    async def login(self, request: Request) -> Response:
        if self._withdrawn():
            return self._gone(request)
        return self._document(self._pages.login(Look.of_cookies(request.cookies), _base(request)))

    async def _shell(self, request: Request, tab: Tab) -> Response:
        if self._withdrawn():
            return self._gone(request)
        look = Look.of_cookies(request.cookies)
        if not request.cookies.get(SESSION_COOKIE) and not self._is_prober(request):
            return self._to_login(request)
        # Read while the session is checked: nearly everybody who comes with a cookie is let in.
        reading = asyncio.ensure_future(self._source.parts())
        try:
            person = await self._person(request)
        except DatabaseUnavailableError:
            # Nobody can be let in without a session check; the page says so and asks again by itself.
            reading.cancel()
            return self._document(self._pages.login(look, _base(request), unavailable=True), status=503)
        if person is None:
            reading.cancel()
            return self._to_login(request)
        return self._document(self._pages.shell(tab, person, look, await reading, _base(request)))

    def _is_prober(self, request: Request) -> bool:
        return is_prober(request.headers, self._settings.current_probe_token())

    async def _person(self, request: Request) -> Person | None:
        if self._is_prober(request):
            return Person(login=LOGIN, name="The prober", roles=ROLES)
        token = request.cookies.get(SESSION_COOKIE)
        return await self._source.person(token) if token else None

    def _to_login(self, request: Request) -> Response:
        path = request.url.path
        target = "/login" if path not in _PATHS else f"/login?next={quote(path)}"
        response = RedirectResponse(f"{_base(request)}{target}", status_code=303)
        self._mark(response)
        return response

    def _document(self, html: str, status: int = 200) -> Response:
        response = HTMLResponse(html, status_code=status, headers={"cache-control": "no-store"})
        self._mark(response)
        return response

    def _mark(self, response: Response) -> None:
        cookie = release_cookie(self._settings.release)
        if cookie is not None:
            response.headers.append("set-cookie", cookie)

    def _gone(self, request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            error = ReleaseGoneError(
                f"Release {self._settings.release or '-'} was withdrawn.", mend="Load the page again."
            )
            return problem_response(error.problem(), {"cache-control": "no-store"})
        # The route already points elsewhere: without the cookie the next load lands on the release that serves.
        response = HTMLResponse(self._pages.gone(), status_code=409, headers={"cache-control": "no-store"})
        if self._settings.release:
            response.headers.append("set-cookie", f"{RELEASE_COOKIE}=; Path=/; SameSite=Lax; HttpOnly; Max-Age=0")
        return response


def _base(request: Request) -> str:
    """What stands before every link of the page: the path of the release, where people are kept by it."""
    return prefix_of(path_release(request.scope))
