"""Paths under `/r/N`: where a Gateway can match no cookie, the address itself says with which release a person is."""

import re
from typing import Final

from tradingengine.telemetry.types import ASGIApp, Receive, Scope, Send

#: What stands before every path of a release's pages; a Gateway's rule for it matches the same.
_PREFIX: Final = re.compile(r"/r/([0-9]{1,9})(?=/|$)")
_RELEASE: Final = "tradingengine.path_release"


class ReleasePath:
    """Takes `/r/N` from the path of each request and keeps N beside it, so that nothing behind has to know of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] in ("http", "websocket") and (found := _PREFIX.match(scope["path"])):
            # In place: what counts requests outside of this reads the matched route from the same scope.
            scope[_RELEASE] = found.group(1)
            scope["path"] = scope["path"][found.end() :] or "/"
            scope["raw_path"] = scope["path"].encode()
        await self._app(scope, receive, send)


def path_release(scope: Scope) -> str:
    """The release that the path of a request named; empty when it named none."""
    return str(scope.get(_RELEASE, ""))


def prefix_of(release: str) -> str:
    """What stands before every path of a release's pages; empty for no release."""
    return f"/r/{release}" if release else ""
