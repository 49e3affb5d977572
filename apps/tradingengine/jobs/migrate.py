"""`te migrate`."""

import asyncio
import sys
import time

from tradingengine.config import load_settings
from tradingengine.storage import migrate


def run(*, wait_seconds: float, check_only: bool) -> int:
    """Migrate, or with `check_only` only say whether the schema is current (1 when it is not). Progress on stderr."""
    settings = load_settings("migrations")
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)  # noqa: T201

    if check_only:
        revision, head = asyncio.run(migrate.current_revision(settings.database.written())), migrate.head_revision()
        say(f"the schema is at {revision or 'nothing'}, this version wants {head}")
        return 0 if revision == head else 1
    asyncio.run(migrate.upgrade(settings.database.written(), wait_seconds=wait_seconds, say=say))
    return 0
