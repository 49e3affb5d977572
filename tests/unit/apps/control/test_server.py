"""Starting and stopping in good order."""

import asyncio
import socket

import httpx
import pytest
from starlette.applications import Starlette
from te_devcluster.ports import free_port
from tradingengine.control.server import Listener, PortError, report_loop_error, serve
from tradingengine.control.state import ControlState

from tests.unit.apps.control.conftest import make_state

pytestmark = pytest.mark.unit


@pytest.fixture
def pod() -> ControlState:
    """A pod on a free control port."""
    return make_state(TE_HTTP_HOST="127.0.0.1", TE_CONTROL_PORT=str(free_port()))


async def wait_started(state: ControlState) -> None:
    """Until the pod serves."""

    async def started() -> None:
        while not state.started:
            await asyncio.sleep(0.005)

    await asyncio.wait_for(started(), timeout=20)


async def test_readiness_falls_before_the_hooks_run_and_tasks_end_after_requests(pod: ControlState) -> None:
    order: list[str] = []
    stop = asyncio.Event()

    async def worker() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            order.append("task")

    def hook() -> None:
        order.append(f"hook ready={not pod.unready_reasons()}")

    pod.on_stop.append(hook)
    listener = Listener("console", Starlette(), "127.0.0.1", free_port())
    task = asyncio.create_task(serve(pod, [listener], background=[worker], stop=stop))
    await wait_started(pod)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{pod.settings.control_port}/readyz")).status_code == 200
    stop.set()
    await asyncio.wait_for(task, timeout=30)
    assert order == ["hook ready=False", "task"]


async def test_a_failing_task_ends_the_process_with_its_error(pod: ControlState) -> None:
    async def broken() -> None:
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        await asyncio.wait_for(serve(pod, background=[broken]), timeout=30)


async def test_a_port_in_use_is_named_and_nothing_is_served(pod: ControlState) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = [
            Listener("console", Starlette(), "127.0.0.1", free_port()),
            Listener("http", None, "127.0.0.1", port),
        ]
        with pytest.raises(PortError, match=rf"port {port} \(http\) of 127\.0\.0\.1"):
            await serve(pod, listeners)
    socket.create_server(("127.0.0.1", listeners[0].port)).close()
    assert not pod.started


async def test_a_hook_that_hangs_is_left_behind(pod: ControlState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingengine.control.server.GRACE_SECONDS", 0.2)
    stop = asyncio.Event()

    async def hang() -> None:
        await asyncio.sleep(60)

    pod.on_stop.append(hang)
    task = asyncio.create_task(serve(pod, stop=stop))
    await wait_started(pod)
    stop.set()
    await asyncio.wait_for(task, timeout=30)
    assert pod.stopping


async def test_an_abandoned_look_up_is_no_news_and_any_other_lost_error_is(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    report_loop_error(loop, {"message": "lost", "exception": socket.gaierror(-3, "no name")})
    assert caplog.records == []
    report_loop_error(loop, {"message": "lost", "exception": OSError("a disk")})
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_every_port_names_its_requests_also_those_that_it_refuses(pod: ControlState) -> None:
    stop, port = asyncio.Event(), free_port()
    task = asyncio.create_task(serve(pod, [Listener("console", Starlette(), "127.0.0.1", port)], stop=stop))
    await wait_started(pod)
    control = pod.settings.control_port
    try:
        async with httpx.AsyncClient(headers={"x-request-id": "a-name-of-mine"}) as client:
            for url in (f"{port}/nothing", f"{control}/healthz", f"{control}/nothing", f"{control}/control/v1/state"):
                answer = await client.get(f"http://127.0.0.1:{url}")
                assert answer.headers["x-request-id"] == "a-name-of-mine", url
        assert (answer.status_code, answer.json()["request_id"]) == (401, "a-name-of-mine")
    finally:
        stop.set()
        await task
