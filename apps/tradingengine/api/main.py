"""The api process."""

from tradingengine.api.app import create_app
from tradingengine.config import Settings, load_settings
from tradingengine.control.server import Listener, serve
from tradingengine.control.server import run as run_loop
from tradingengine.control.state import ControlState
from tradingengine.storage.schema import REVISION
from tradingengine.telemetry.logs import configure_logging
from tradingengine.telemetry.metrics import Metrics


def make_control(settings: Settings) -> ControlState:
    """Control state and metrics of an api pod."""
    metrics = Metrics(component=settings.component, release=settings.release, slot=settings.slot)
    return ControlState(settings, metrics, schema_revision=REVISION)


def run() -> int:
    """Serve until told to stop."""
    settings = load_settings("api")
    configure_logging(
        component=settings.component,
        level=settings.log_level,
        release=settings.release,
        slot=settings.slot,
        pod=settings.pod,
    )
    control = make_control(settings)
    listener = Listener("http", create_app(control), settings.http_host, settings.http_port)
    run_loop(lambda: serve(control, [listener]))
    return 0
