"""Secrets may be read by name and not be watched, so they are read seldom and kept.

One is read at the first pass, after a change of the engine (its specification or annotations, so that a person can ask
for it), and when it was not read for the time of a resync. One that is not there is asked for in every pass, and so is
one that its user forgot since it would not do.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.plan import kinds

from .watch import RESYNC_SECONDS


class SecretReader:
    """Secrets of all engines, by uid of the engine and name. Values are in memory only, and never in a log.

    An engine that is made anew under a name that was there before shares nothing with it.
    """

    def __init__(
        self,
        client: KubernetesClient,
        *,
        seconds: float = RESYNC_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._seconds = seconds
        self._monotonic = monotonic
        self._known: dict[str, dict[str, tuple[float, Manifest]]] = {}

    async def get(self, namespace: str, uid: str, name: str) -> Manifest | None:
        """A Secret that the engine `uid` needs as it was when it was last read, None when it is not there."""
        read_at, manifest = self._known.get(uid, {}).get(name, (0.0, None))
        if manifest is not None and self._monotonic() - read_at < self._seconds:
            return manifest
        return await self.read(namespace, uid, name)

    async def read(self, namespace: str, uid: str, name: str) -> Manifest | None:
        """A Secret as it is now: for whoever is about to write what people write, too."""
        now = self._monotonic()
        found = await self._client.get(kinds.SECRET, namespace, name)
        known = self._known.setdefault(uid, {})
        if found is None:
            known.pop(name, None)
        else:
            known[name] = (now, found)
        return found

    def wrote(self, uid: str, manifest: Manifest) -> None:
        """The answer to a write of ours."""
        self._known.setdefault(uid, {})[manifest["metadata"]["name"]] = (self._monotonic(), manifest)

    def forget(self, uid: str) -> None:
        """All of an engine are read anew when they are next asked for."""
        self._known.pop(uid, None)
