"""Kubernetes Events for people: on transitions only, and the same one not again within ten minutes."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.state import render_time
from tradingengine_operator.runtime.process.clock import utc_now

COOL_DOWN_SECONDS = 600.0
#: Oldest entries are dropped beyond this, so that the memory is bounded.
REMEMBERED = 500
logger = logging.getLogger(__name__)


class Announcer:
    """Posts Events of engines. A failure is logged and forgotten: an Event never stops a pass."""

    def __init__(
        self, client: KubernetesClient, instance: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._instance = instance
        self._monotonic = monotonic
        self._seen: dict[tuple[str, str, str], float] = {}

    async def announce(self, engine: Manifest, reason: str, message: str, *, warning: bool = False) -> None:
        """Tells of a transition of `engine`."""
        metadata = engine["metadata"]
        key, now = (metadata["uid"], reason, message), self._monotonic()
        if now - self._seen.get(key, -COOL_DOWN_SECONDS) < COOL_DOWN_SECONDS:
            return
        self._remember(key, now)
        stamp = render_time(utc_now())
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{secrets.token_hex(8)}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "reason": reason,
            "message": message[:1024],
            "type": "Warning" if warning else "Normal",
            "action": "Reconcile",
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": self._instance[:128],
            "source": {"component": names.FIELD_MANAGER},
            "firstTimestamp": stamp[:19] + "Z",
            "lastTimestamp": stamp[:19] + "Z",
            "count": 1,
        }
        try:
            await self._client.create(event)
        except ApiError as error:
            logger.warning("event %s was not posted: %s", reason, error.message)

    def _remember(self, key: tuple[str, str, str], now: float) -> None:
        self._seen[key] = now
        while len(self._seen) > REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
