"""`/v1/halt`."""

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from tradingengine.api.auth import Halter, Reader, Releaser
from tradingengine.api.halt.schemas import Halt, HaltRequest
from tradingengine.api.halt.service import HaltService, NotHaltedError
from tradingengine.api.parameters import REDUCES_RISK
from tradingengine.api.problems import EdgeUnreachableError, problems
from tradingengine.api.responses import Json
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/halt", tags=["halt"])


@router.post(
    "",
    status_code=202,
    response_model=Halt,
    summary="Halt trading",
    responses={
        200: {"model": Halt, "description": "Trading is halted already: that halt."},
        202: {"description": "Stored and queued; follow its state."},
    },
    openapi_extra=REDUCES_RISK,
)
async def halt(user: Halter, state: State, body: Annotated[HaltRequest | None, Body()] = None) -> Response:
    """Closes the edge's gate and cancels what adds risk; stops and exits stay. Survives any restart.

    Pressed while a release is on its way it is sent again.
    """
    document, is_new = await HaltService(state, user).halt(body.reason if body is not None else None)
    return Json(document, status_code=202 if is_new else 200)


@router.get("", response_model=Halt | None, summary="The newest halt")
async def get_halt(user: Reader, state: State) -> Response:
    """Released or not; null when there never was one."""
    return Json(await state.reads.latest_halt())


@router.delete(
    "",
    status_code=202,
    response_model=Halt,
    summary="Release the halt",
    responses={
        202: {"description": "Queued for 30 s; the halt ends when the edge says so."},
        **problems(NotHaltedError, EdgeUnreachableError),
    },
)
async def release(user: Releaser, state: State) -> Response:
    """Asks the edge to take new risk again. It must listen: 503 `edge_unreachable` otherwise, and the halt stays."""
    return Json(await HaltService(state, user).release(), status_code=202)
