"""Background loops that outlive what goes wrong in one round."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tradingengine.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 2.0
_LOG_EVERY: Final = 30


async def run_loop(name: str, once: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    """Call `once` again and again until cancelled.

    An error ends only its round: it is counted, logged (the first and then each thirtieth of a row), and the next
    round comes after a pause that doubles from 0.1 s to 2 s. `once` itself must wait when it has nothing to do.
    """
    failures = 0
    while True:
        try:
            await once()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The edge of a loop: whatever it was, it is counted, logged, and tried again.
            failures += 1
            metrics.loop_errors.labels(name).inc()
            if failures % _LOG_EVERY == 1:
                log.warning(
                    "a round of %s failed",
                    name,
                    extra={"loop": name, "failures": failures, "error": f"{type(error).__name__}: {error}"},
                    exc_info=error if failures == 1 else None,
                )
            await asyncio.sleep(min(FIRST_DELAY * 2 ** min(failures - 1, 10), LONGEST_DELAY))
        else:
            if failures:
                log.info("%s works again", name, extra={"loop": name, "failures": failures})
            failures = 0
