"""Which release's path a page lies under, where the Gateway keeps people on a release by path."""

from collections.abc import Callable
from typing import Final

from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse

from tradingengine.config import Settings
from tradingengine.control.middleware import ReleaseGoneError, header, send_problem
from tradingengine.control.release_path import path_release, prefix_of
from tradingengine.dashboard.headers import RELEASE_COOKIE, release_cookie
from tradingengine.telemetry.types import ASGIApp, Receive, Scope, Send

#: Set by the route's rules: `path` where each release lies under its own path, `own-path` for a request that came here
#: because it asked for this very release. Without it releases are told apart by the cookie, and no path is needed.
STICKY_HEADER: Final = b"x-te-sticky"
OWN: Final = "own-path"
_CALLS: Final = ("/v1", "/ws")


class ReleasePaths:
    """Sends who opens a page to its path under `/r/N`: that of the release it was given before, or else of this one.

    A path of another release that comes here has no rule any more: that release is gone, and the page is loaded under
    this one's. Behind it nothing has to know of paths but for the links that it writes.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, documents: frozenset[str], withdrawn: Callable[[], bool]
    ) -> None:
        self._app = app
        self._own = settings.release
        self._documents = documents
        self._withdrawn = withdrawn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        named, path = path_release(scope), scope["path"]
        if named and _is_call(path):
            await send_problem(send, ReleaseGoneError(f"Release {named} is gone.", mend="Load the page again."))
            return
        target = self._target(scope, named) if path in self._documents else named
        if target == named:
            await self._app(scope, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        answer = RedirectResponse(f"{prefix_of(target)}{path}" + (f"?{query}" if query else ""), status_code=303)
        answer.headers["cache-control"] = "no-store"
        cookie = release_cookie(self._own)
        if cookie is not None and target in ("", self._own):
            answer.headers["set-cookie"] = cookie
        await answer(scope, receive, send)

    def _target(self, scope: Scope, named: str) -> str:
        """The release under whose path a page belongs, empty for none."""
        sticky = header(scope, STICKY_HEADER) or ""
        if not sticky or not self._own:
            return ""
        given = cookie_parser(header(scope, b"cookie") or "").get(RELEASE_COOKIE, "")
        own = bool(named) or sticky == OWN or not _is_number(given)
        target = self._own if own else given
        # Here it says that it is gone, and the page tries again: the route knows better in a moment.
        return named if self._withdrawn() and target == self._own else target


def _is_call(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in _CALLS)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
