"""The api process."""

from tradingengine.api.app import create_app
from tradingengine.config import Settings, load_settings
from tradingengine.control.server import Listener, serve
from tradingengine.control.server import run as run_loop
from tradingengine.control.state import ControlState
from tradingengine.control.warmup import WarmUp, hot_paths
from tradingengine.storage.schema import REVISION
from tradingengine.telemetry.logs import configure_logging
from tradingengine.telemetry.metrics import Metrics
from tradingengine.telemetry.middleware import RequestMetrics


def make_control(settings: Settings) -> ControlState:
    """Control state and metrics of an api pod."""
    metrics = Metrics(component=settings.component, release=settings.release, slot=settings.slot)
    return ControlState(settings, metrics, schema_revision=REVISION)


def http_listener(control: ControlState) -> Listener:
    """The application behind its port. Requests are counted outside of it: so are answers to errors nobody caught."""
    settings = control.settings
    return Listener(
        "http", RequestMetrics(create_app(control), control.metrics), settings.http_host, settings.http_port
    )


def warm_up(settings: Settings) -> WarmUp:
    """What an api pod does before it is ready."""
    return WarmUp(settings.http_host, settings.http_port, hot_paths("api"), settings.current_probe_token)


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
    listener = http_listener(control)
    run_loop(lambda: serve(control, [listener], warm_up=warm_up(settings).run))
    return 0
