"""`/ws`."""

import asyncio
import contextlib
import logging

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tradingengine.api.auth import check_origin, session_user
from tradingengine.api.problems import CrossOriginError
from tradingengine.api.state import ApiState
from tradingengine.api.stream.client import NO_SESSION, Client, SlowClientError
from tradingengine.api.stream.hub import FAILED, NOT_LOGGED_IN, RELEASE_GONE, RESTART, Hub
from tradingengine.control.release_path import path_release
from tradingengine.security import sessions
from tradingengine.security.probing import is_prober
from tradingengine.security.roles import Permission, allowed

log = logging.getLogger(__name__)
router = APIRouter()

POLICY_VIOLATION = 1008


@router.websocket("/ws")
async def stream(websocket: WebSocket, release: str = "") -> None:
    """Live data for one page. It is accepted before it is refused: a browser sees close codes of accepted ones only."""
    state: ApiState = websocket.state.api
    await websocket.accept()
    token = websocket.cookies.get(sessions.COOKIE)
    probe = is_prober(websocket.headers, state.settings.current_probe_token())
    refusal = await _refusal(state, websocket, token, path_release(websocket.scope) or release, probe=probe)
    if refusal is not None:
        await websocket.close(refusal)
        return
    session = NO_SESSION if probe else sessions.token_hash(token or "")
    client = Client(websocket.send_text, session_hash=session)
    await _talk(state.hub, websocket, client)


async def _refusal(
    state: ApiState, websocket: WebSocket, token: str | None, release: str, *, probe: bool
) -> int | None:
    own = state.settings.release
    if state.control.stopping:
        return RESTART
    if state.control.withdrawn or (release and own and release != own):
        return RELEASE_GONE
    try:
        check_origin(websocket)
    except CrossOriginError:
        return POLICY_VIOLATION
    if probe:
        return None
    user = await session_user(state, token)
    if user is None or not allowed(user.roles, Permission.READ):
        return NOT_LOGGED_IN
    return None


async def _talk(hub: Hub, websocket: WebSocket, client: Client) -> None:
    hub.add(client)
    pump = asyncio.create_task(client.pump())
    listen = asyncio.create_task(_listen(hub, websocket, client))
    code: int | None = None
    try:
        await asyncio.wait({pump, listen}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            code = _close_code(pump)
    finally:
        hub.remove(client)
        for task in (pump, listen):
            task.cancel()
        await asyncio.gather(pump, listen, return_exceptions=True)
    if code is not None and websocket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(2.0):
                await websocket.close(code)


def _close_code(pump: "asyncio.Task[int]") -> int:
    error = pump.exception()
    if error is None:
        return pump.result()
    if isinstance(error, SlowClientError | WebSocketDisconnect | RuntimeError):
        return RESTART  # the client's doing: it takes nothing, or is gone
    log.error("a WebSocket failed", exc_info=error)
    return FAILED


async def _listen(hub: Hub, websocket: WebSocket, client: Client) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            text = await websocket.receive_text()
            answer = client.subscribe(text)
            if answer is not None:
                client.offer(answer, "", b"{}")
            else:
                hub.subscribed(client)
