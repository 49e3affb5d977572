"""What stands before every page and call."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tradingengine.control.middleware import (
    MAX_BODY_BYTES,
    BodyLimit,
    ReleaseGuard,
    SecurityHeaders,
    is_safe,
)
from tradingengine.control.release_path import ReleasePath
from tradingengine.control.state import ControlState
from tradingengine.telemetry.types import Message, Receive, Scope, Send

from tests.unit.apps.control.conftest import client_of, make_state

pytestmark = pytest.mark.unit


async def echo(request: Request) -> Response:
    """The length of the body."""
    return Response(str(len(await request.body())), headers={"x-frame-options": "SAMEORIGIN"})


APP = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])


@pytest.mark.parametrize(("own", "given", "code"), [("7", "7", 200), ("7", "6", 409), ("7", "", 200), ("", "6", 200)])
async def test_a_foreign_release_is_sent_away(own: str, given: str, code: int) -> None:
    headers = {"x-te-release": given} if given else {}
    async with client_of(ReleaseGuard(APP, make_state(TE_RELEASE=own)), **headers) as client:
        answer = await client.get("/")
    assert answer.status_code == code
    if code == 409:
        assert answer.json()["type"] == "/problems/release-gone"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "code"), [("/r/7/", 200), ("/r/7", 200), ("/r/6/", 409), ("/r/77/", 409), ("/r/x/", 404), ("/", 200)]
)
async def test_a_path_names_its_release(path: str, code: int) -> None:
    async with client_of(ReleasePath(ReleaseGuard(APP, make_state()))) as client:
        answer = await client.get(path)
    assert answer.status_code == code
    assert code != 409 or answer.json()["type"] == "/problems/release-gone"


async def test_a_withdrawn_pod_sends_everybody_away(state: ControlState) -> None:
    await state.withdraw("7", 0)
    async with client_of(ReleaseGuard(APP, state)) as client:
        assert (await client.get("/")).status_code == 409


async def test_long_bodies_are_refused_whether_or_not_they_say_so() -> None:
    async def half() -> AsyncIterator[bytes]:
        for _ in range(2):
            yield b"x" * (MAX_BODY_BYTES // 4)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * (MAX_BODY_BYTES // 4)

    async with client_of(BodyLimit(APP)) as client:
        assert (await client.post("/", content=b"x" * MAX_BODY_BYTES)).text == str(MAX_BODY_BYTES)
        assert (await client.post("/", content=b"x" * (MAX_BODY_BYTES + 1))).status_code == 413
        assert (await client.post("/", content=body())).status_code == 413
        assert (await client.post("/", content=half())).text == str(MAX_BODY_BYTES // 2)
        odd = httpx.Request("POST", "http://pod/", headers={"content-length": "-1"}, content=b"")
        assert (await client.send(odd)).status_code == 413


async def test_headers_are_added_where_an_answer_has_none() -> None:
    async with client_of(SecurityHeaders(APP, {"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"})) as client:
        headers = (await client.get("/")).headers
    assert (headers["x-frame-options"], headers["referrer-policy"]) == ("SAMEORIGIN", "no-referrer")


async def test_what_is_not_http_passes_untouched(state: ControlState) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def ignore(message: Message) -> None:
        return None

    state.state = "withdrawn"
    for middleware in (ReleaseGuard(app, state), BodyLimit(app), SecurityHeaders(app, {"a": "b"})):
        await middleware({"type": "websocket", "headers": []}, nothing, ignore)
    assert seen == ["websocket"] * 3


def test_safe_methods_change_nothing() -> None:
    assert is_safe("GET")
    assert not is_safe("DELETE")
