"""How long the journal keeps bars and marks; everything else it keeps for ever."""

import asyncio
from datetime import timedelta
from typing import Final

from tradingengine.domain.clock import WallClock
from tradingengine.execution.journal.journal import Journal

KEPT: Final = timedelta(days=30)
"""Within it a database that is restored from a backup gets its prices back from the edge."""
_AGAIN_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0


async def keep_short(journal: Journal, wall: WallClock) -> None:
    """Remove what is older than `KEPT` and stored in the cloud, a stretch at a time, until cancelled."""
    while True:
        removed = await journal.prune(wall.now() - KEPT)
        await asyncio.sleep(_PAUSE_SECONDS if removed else _AGAIN_SECONDS)
