"""`te prober`: asks until it is ended, and shows what came of it on its control port."""

import os

from tradingengine.config import Settings, load_settings
from tradingengine.control.server import run as run_loop
from tradingengine.control.server import serve
from tradingengine.control.state import ControlState
from tradingengine.jobs.prober.outcomes import ProbeMetrics
from tradingengine.jobs.prober.prober import Prober
from tradingengine.jobs.prober.table import Table, load_table
from tradingengine.jobs.prober.targets import Targets, load_targets
from tradingengine.telemetry.logs import configure_logging
from tradingengine.telemetry.metrics import Metrics


def run() -> None:
    """Until SIGTERM; ConfigError for a wrong setting or table."""
    settings = load_settings("prober")
    configure_logging(component="prober", level=settings.log_level, pod=settings.pod)
    targets, table = load_targets(os.environ), load_table()
    run_loop(lambda: probe(settings, targets, table))


async def probe(settings: Settings, targets: Targets, table: Table) -> None:
    """Serve the control port and probe. Its control API lets nobody in: there is nothing to be told."""
    metrics = Metrics(component="prober")
    state = ControlState(settings, metrics)
    state.readiness["token"] = lambda: None if settings.current_probe_token() else "the token cannot be read"
    prober = Prober(targets, table, settings.current_probe_token, ProbeMetrics(metrics.registry))
    await serve(state, background=[prober.run])
