"""`te migrate`."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from tradingengine.config import load_settings
from tradingengine.errors import TradingEngineError
from tradingengine.storage import migrate

#: Where a kubelet reads what a container says at its end.
TERMINATION_LOG = "/dev/termination-log"


def run(*, wait_seconds: float, check_only: bool, phase: migrate.Phase = "expand") -> int:
    """Migrate, or with `check_only` only say whether the schema is current (1 when it is not). Progress on stderr.

    What came of it is left for the operator as the container's last words: a JSON object with `revision` and
    `contract`, the newest of each phase that this version knows, or the reason of a failure.
    """
    settings = load_settings("migrations")
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)  # noqa: T201

    if check_only:
        revision, head = asyncio.run(migrate.current_revision(settings.database.written())), migrate.head_revision()
        say(f"the schema is at {revision or 'nothing'}, this version wants {head}")
        return 0 if revision == head else 1
    try:
        asyncio.run(migrate.upgrade(settings.database.written(), wait_seconds=wait_seconds, say=say, phase=phase))
    except TradingEngineError as error:
        _leave(f"{error.detail} {error.mend or ''}".strip())
        raise
    _leave(json.dumps({"revision": migrate.head_revision(), "contract": migrate.head_revision("contract")}))
    return 0


def _leave(words: str) -> None:
    """Last words; outside of a pod there is nobody who reads them."""
    path = Path(os.environ.get("TE_TERMINATION_LOG", TERMINATION_LOG))
    if path.is_file():
        path.write_text(words[:2048], encoding="utf-8")
