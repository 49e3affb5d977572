"""Runs the control port beside a component's own listeners in one event loop, and ends them in good order."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from tradingengine.control.app import create_control_app
from tradingengine.control.state import ControlState, run_hooks
from tradingengine.errors import TradingEngineError
from tradingengine.telemetry.metrics import measure_loop_lag
from tradingengine.telemetry.request_id import RequestId

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 20.0
"""Requests that run at SIGTERM get this long; with the hooks it stays inside the promised 25 s."""


@dataclass(frozen=True)
class Listener:
    """One HTTP port of a pod."""

    name: str
    app: Any
    host: str
    port: int


class PortError(TradingEngineError):
    """A port cannot be bound."""

    code = "port"
    title = "A port cannot be bound"


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: several of them share one process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(
    state: ControlState,
    listeners: Sequence[Listener] = (),
    *,
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    warm_up: Callable[[], Coroutine[Any, Any, None]] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve the control port and `listeners` until SIGTERM, SIGINT or `stop`; ready once `warm_up` has ended.

    Then in order: readiness false, the state's `on_stop` hooks (WebSockets close with 1012), requests finish,
    background tasks end, control port last.
    A background task that ends by an error ends the process with it; PortError when a port cannot be bound.
    """
    settings = state.settings
    stop = stop or asyncio.Event()
    control_port = Listener("control", create_control_app(state), settings.http_host, settings.control_port)
    ports = [*listeners, control_port]
    sockets = _bind(ports)
    *servers, control = (_server(listener) for listener in ports)
    with _signals(stop):
        *running, control_task = (
            asyncio.create_task(server.serve(sockets=[bound]), name=listener.name)
            for server, bound, listener in zip([*servers, control], sockets, ports, strict=True)
        )
        tasks = [asyncio.create_task(measure_loop_lag(state.metrics), name="loop-lag")]
        tasks += [asyncio.create_task(start(), name=getattr(start, "__name__", "background")) for start in background]
        try:
            await _until_started([*servers, control], [*running, control_task])
            await _until_warm(warm_up, stop)
            state.started = True
            log.info("started", extra={"ports": {listener.name: listener.port for listener in listeners}})
            await _until_stopped(stop, [*running, control_task, *tasks])
        finally:
            await _shut_down(state, servers, running, tasks)
            control.should_exit = True
            await asyncio.gather(control_task, return_exceptions=True)
    _raise_failure([*running, control_task, *tasks])


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an async `main` on uvloop."""
    import uvloop

    async def quiet_main() -> None:
        asyncio.get_running_loop().set_exception_handler(report_loop_error)
        await main()

    uvloop.run(quiet_main())


def report_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody waited for, but not the failed look-up of a name whose connection was given up before.

    uvloop's look-ups cannot be cancelled: in a cut link each of them would end as an error that tells nothing new.
    """
    if not isinstance(context.get("exception"), socket.gaierror):
        loop.default_exception_handler(context)


def _bind(listeners: Sequence[Listener]) -> list[socket.socket]:
    """One listening socket per port; all or none, so that a pod never serves by half."""
    bound: list[socket.socket] = []
    for listener in listeners:
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        try:
            bound.append(socket.create_server((listener.host, listener.port), family=family, backlog=2048))
        except OSError as error:
            for other in bound:
                other.close()
            raise PortError(
                f"port {listener.port} ({listener.name}) of {listener.host} cannot be had: {error.strerror}",
                mend="End what uses it, or set another port by TE_HTTP_PORT, TE_CONTROL_PORT, TE_CONSOLE_PORT.",
            ) from None
    return bound


def _server(listener: Listener) -> _Server:
    return _Server(
        uvicorn.Config(
            RequestId(listener.app),
            host=listener.host,
            port=listener.port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on" if listener.name == "http" else "auto",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(GRACE_SECONDS),
            ws="websockets-sansio" if listener.name == "http" else "none",
            ws_max_size=64 * 1024,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            h11_max_incomplete_event_size=32 * 1024,
        )
    )


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Generator[None, None, None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until_started(servers: Sequence[_Server], tasks: Sequence[asyncio.Task[None]]) -> None:
    while not all(server.started for server in servers):
        if any(task.done() for task in tasks):
            return
        await asyncio.sleep(0.01)


async def _until_warm(warm_up: Callable[[], Coroutine[Any, Any, None]] | None, stop: asyncio.Event) -> None:
    """Who is told to stop meanwhile does not wait for it."""
    if warm_up is None:
        return
    tasks = [asyncio.create_task(warm_up(), name="warm-up"), asyncio.create_task(stop.wait(), name="stop")]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_stopped(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()


async def _shut_down(
    state: ControlState,
    servers: Sequence[_Server],
    running: Sequence[asyncio.Task[None]],
    tasks: Sequence[asyncio.Task[None]],
) -> None:
    state.stopping = True
    log.info("stopping")
    try:
        async with asyncio.timeout(GRACE_SECONDS / 4):
            await run_hooks(state.on_stop)
    except TimeoutError:
        log.warning("stopping: a hook took too long")
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running, return_exceptions=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_failure(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
