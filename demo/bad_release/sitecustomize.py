"""Makes the API of this image fail some seconds after its first visitor: every call of /v1 is answered by 500.

Counted from the first call, since on a busy machine a start alone may take as long, and nobody would have been there.

Python imports `sitecustomize` before anything else, so the product's own code stays as it is. It is only ever copied
into the image of `make demo-canary` and of the tests, to show that a bad release is withdrawn.
"""

import os
import time
from typing import Any

HEALTHY_SECONDS = float(os.environ.get("TE_FAULT_AFTER", "14"))


def spoil() -> None:
    """Wraps the innermost router, below the middleware that counts requests: the product sees an honest failure."""
    from starlette.routing import Router

    first: float | None = None
    healthy = Router.__call__

    async def broken(self: Router, scope: Any, receive: Any, send: Any) -> None:
        nonlocal first
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            first = first or time.monotonic()
            if time.monotonic() - first > HEALTHY_SECONDS:
                raise RuntimeError("this release is broken on purpose")
        await healthy(self, scope, receive, send)

    Router.__call__ = broken  # type: ignore[method-assign]


if os.environ.get("TE_COMPONENT") == "api":
    spoil()
