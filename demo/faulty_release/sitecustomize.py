"""Lets a test break one pod of this image while it runs: the pod's file /tmp/fault says how, and is read for each call.

    fail 0.05    so large a share of the calls of /v1 is answered by 500
    slow 3       calls of /v1 are answered after so many seconds
    block        the next call holds the event loop up for good
    sockets      WebSockets break half a second after they were opened

Python imports `sitecustomize` before anything else, so the product's own code stays as it is. It is only ever copied
into the image of the suite `releases` and of `make bench-releases`.
"""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

FAULT = Path("/tmp/fault")  # noqa: S108 - the pod's own scratch volume


def told() -> tuple[str, float]:
    """The fault and its number; an empty word without one."""
    try:
        word, _, number = FAULT.read_text().strip().partition(" ")
    except OSError:
        return "", 0.0
    return word, float(number or 1)


async def spoiled(scope: Any) -> None:
    """What happens to a call before it is answered, if it is."""
    word, number = told()
    if scope["type"] == "websocket" and word == "sockets":
        raise RuntimeError("this WebSocket breaks on purpose")
    if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
        return
    if word == "fail" and random.random() < number:  # noqa: S311
        raise RuntimeError("this call fails on purpose")
    if word == "slow":
        await asyncio.sleep(number)
    if word == "block":
        time.sleep(86_400)  # noqa: ASYNC251 - that is the fault


def listen() -> None:
    """Wraps the innermost router, below the middleware that counts requests: the product sees an honest failure."""
    from starlette.routing import Router

    healthy = Router.__call__

    async def listening(self: Router, scope: Any, receive: Any, send: Any) -> None:
        if not scope.get("te.listened"):  # routers within routers: once for each call
            scope["te.listened"] = True
            await spoiled(scope)
            receive = _breaking(receive) if scope["type"] == "websocket" else receive
        await healthy(self, scope, receive, send)

    Router.__call__ = listening  # type: ignore[method-assign]


def _breaking(receive: Any) -> Any:
    """A `receive` that breaks an open WebSocket once that is told."""

    async def watched() -> Any:
        waits = asyncio.ensure_future(receive())
        while True:
            done, _ = await asyncio.wait({waits}, timeout=0.5)
            if done:
                return waits.result()
            if told()[0] == "sockets":
                waits.cancel()
                raise RuntimeError("this WebSocket breaks on purpose")

    return watched


if os.environ.get("TE_COMPONENT") in {"api", "dashboard"}:
    listen()
