"""`te dashboard`: the pages of one slot, and its control port."""

import asyncio
from typing import Final

from tradingengine.config import load_settings
from tradingengine.control.server import Listener, serve
from tradingengine.control.server import run as run_loop
from tradingengine.control.state import ControlState
from tradingengine.control.warmup import WarmUp, hot_paths
from tradingengine.dashboard.app import create_app
from tradingengine.dashboard.first_data import StorageSource
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database
from tradingengine.storage.reads import Reads
from tradingengine.telemetry.logs import configure_logging
from tradingengine.telemetry.metrics import Metrics
from tradingengine.telemetry.middleware import RequestMetrics

POOL_SIZE: Final = 8


def run() -> None:
    """Serve until SIGTERM; raises ConfigError for a wrong setting or a missing front end."""
    run_loop(_main)


async def _main() -> None:
    settings = load_settings("dashboard")
    configure_logging(
        component="dashboard",
        level=settings.log_level,
        release=settings.release,
        slot=settings.slot,
        pod=settings.pod,
    )
    metrics = Metrics(component="dashboard", release=settings.release, slot=settings.slot)
    state = ControlState(settings, metrics)
    database = Database(settings.database, application_name=f"dashboard {settings.pod}", size=POOL_SIZE)
    cache = streams.command_client(settings.cache, timeout=0.4, name=f"dashboard-{settings.pod}")
    await database.open()
    try:
        source = StorageSource(database, Reads(database, cache, settings.engine), state)
        app = create_app(settings, source, withdrawn=lambda: state.withdrawn)
        listener = Listener("http", RequestMetrics(app, metrics), settings.http_host, settings.http_port)
        warm = WarmUp(listener.host, listener.port, hot_paths("dashboard"), settings.current_probe_token)
        await serve(state, [listener], warm_up=warm.run)
    finally:
        await asyncio.gather(database.close(), cache.aclose())
