"""`/healthz`, `/readyz` and `/metrics`. Health comes from the loop's own beats, not from a task that always answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tradingengine_operator.runtime.process.metrics import OperatorMetrics

BEAT_SECONDS = 1.0
LATE_SECONDS = 15.0


class Watchdog:
    """Beats once a second in the event loop that does the work; any thread may look at it."""

    def __init__(self, metrics: OperatorMetrics, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.metrics = metrics
        self._monotonic = monotonic
        self._last = monotonic()

    async def beat(self, leading: Callable[[], bool]) -> None:
        """Beats for ever; each beat measures how late it is."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now = self._monotonic()
            self.metrics.loop_lag.set(max(0.0, now - self._last - BEAT_SECONDS))
            self.metrics.lease_held.set(int(leading()))
            self._last = now

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return self._monotonic() - self._last

    @property
    def late(self) -> bool:
        """Whether the loop does not get to its beats, so that it does no work either."""
        return self.age > LATE_SECONDS


class HealthServer:
    """Serves health and metrics on a port of its own."""

    def __init__(
        self, metrics: OperatorMetrics, watchdog: Watchdog, stuck: Callable[[], list[str]], ready: Callable[[], bool]
    ) -> None:
        self._metrics = metrics
        self._watchdog = watchdog
        self._stuck = stuck
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, port: int, host: str = "0.0.0.0") -> int:  # noqa: S104 - a pod's port
        """Listens; returns the port, which is a free one when 0 was asked for."""
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._show)]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        stuck = self._stuck()
        if stuck:
            return web.json_response({"status": "stuck", "engines": stuck}, status=500)
        if self._watchdog.late:
            return web.json_response({"status": "late", "seconds": round(self._watchdog.age, 1)}, status=500)
        return web.json_response({"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        ready = self._ready()
        return web.json_response({"status": "ok" if ready else "starting"}, status=200 if ready else 503)

    async def _show(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
