"""The one way in which tests wait for what another task, process or pod does."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def until(
    condition: Callable[[], Any],
    what: str = "a condition",
    *,
    timeout: float = 20.0,
    every: float = 0.005,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """The first true value of `condition`, plain or awaited, asked each `every` seconds.

    AssertionError names `what` and the last value after `timeout` seconds, which are there to end and not to measure.
    """
    end, last = clock() + timeout, None
    while True:
        last = condition()
        if inspect.isawaitable(last):
            last = await last
        if last:
            return last
        if clock() > end:
            raise AssertionError(f"{what}: not within {timeout:g} s; last: {last!r}")
        await asyncio.sleep(every)
