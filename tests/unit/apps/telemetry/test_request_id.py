"""One name for a request, in its answer and in the log."""

import json
import logging
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket
from tradingengine.errors import NotFoundError
from tradingengine.telemetry.logs import configure_logging
from tradingengine.telemetry.request_id import RequestId, request_id, stamp

pytestmark = pytest.mark.unit
UUID = "8a6e4d0c-3f56-4a5e-9a2c-0d1f2e3b4c5d"


async def _show(request: Request) -> Response:
    logging.getLogger("test").info("served")
    return PlainTextResponse(request_id() or "")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(request_id() or "")
    await socket.close()


def app() -> RequestId:
    """Shows the name that it knows."""
    return RequestId(Starlette(routes=[Route("/", _show), WebSocketRoute("/ws", _socket)]))


async def ask(path: str = "/", **headers: str) -> httpx.Response:
    """One request."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app()), base_url="http://pod") as client:
        return await client.get(path, headers=headers)


async def test_each_request_has_a_name_of_its_own_whatever_the_answer() -> None:
    first, second, missing = await ask(), await ask(), await ask("/nothing")
    assert first.text == first.headers["x-request-id"]
    assert len({answer.headers["x-request-id"] for answer in (first, second, missing)}) == 3
    assert missing.status_code == 404


@pytest.mark.parametrize("name", [UUID, UUID.replace("-", ""), "trace.2026-11-28_07"])
async def test_a_fitting_name_is_kept(name: str) -> None:
    answer = await ask(**{"x-request-id": name})
    assert (answer.text, answer.headers.get_list("x-request-id")) == (name, [name])


@pytest.mark.parametrize("name", ["", "short", "x" * 65, "a name with blanks", '{"level":"ERROR"}', "né-pas-ascii-1"])
async def test_what_could_break_a_log_line_gets_a_new_name(name: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app()), base_url="http://pod") as client:
        answer = await client.get("/", headers=[(b"x-request-id", name.encode())])
    assert answer.text == answer.headers["x-request-id"] != name
    assert len(answer.text) == 32


def test_every_line_about_a_request_has_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging(component="api", level="INFO")
        answer = TestClient(app()).get("/", headers={"x-request-id": UUID})
        logging.getLogger("test").info("outside of requests")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = {line["message"]: line.get("request_id") for line in lines if line["logger"] == "test"}
    assert told == {"served": UUID, "outside of requests": None}
    assert answer.headers["x-request-id"] == UUID


def test_a_websocket_has_a_name_too_also_when_it_is_refused() -> None:
    client = TestClient(app())
    with client.websocket_connect("/ws", headers={"x-request-id": UUID}) as socket:
        assert socket.receive_text() == UUID
        headers: Any = socket.extra_headers
        assert (b"x-request-id", UUID.encode()) in headers
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/other", headers={"x-request-id": UUID}),
    ):
        pass
    denial: Any = refused.value
    assert (denial.status_code, denial.headers["x-request-id"]) == (403, UUID)


async def test_a_problem_holds_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "request_id" not in stamp(NotFoundError("There is no x.").problem())
    seen: list[dict[str, Any]] = []

    async def fail(request: Request) -> Response:
        seen.append(stamp(NotFoundError("There is no x.").problem()))
        return Response()

    inner = RequestId(Starlette(routes=[Route("/", fail)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=inner), base_url="http://pod") as client:
        answer = await client.get("/")
    assert seen[0]["request_id"] == answer.headers["x-request-id"]
