"""Background loops that survive errors: an error is counted and logged, the loop goes on after a bounded pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tradingengine.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0


async def keep_running(name: str, body: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    """Run `body` again and again until cancelled; pauses of 0.1 to 2 s after errors."""
    pause = FIRST_PAUSE
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await body()
        except Exception:  # the loop's edge: counted and logged with its traceback
            metrics.loop_errors.labels(name).inc()
            log.exception("a loop failed and goes on", extra={"loop": name})
        pause = FIRST_PAUSE if loop.time() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
        await asyncio.sleep(pause)


class Backoff:
    """Pauses between attempts to reach something: 0.1 s, doubling up to 2 s, back to 0.1 s after a success."""

    def __init__(self) -> None:
        """The first pause is the shortest."""
        self._pause = FIRST_PAUSE

    def succeeded(self) -> None:
        """The next pause is short again."""
        self._pause = FIRST_PAUSE

    async def wait(self) -> None:
        """Sleep once."""
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
