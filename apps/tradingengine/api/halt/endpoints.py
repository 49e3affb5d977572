"""`/v1/halt`."""

import logging
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from tradingengine.api.auth import Halter, Reader, Releaser
from tradingengine.api.halt.schemas import Halt, HaltRequest
from tradingengine.api.halt.service import HaltService, NotHaltedError
from tradingengine.api.parameters import REDUCES_RISK
from tradingengine.api.problems import EdgeUnreachableError, problems
from tradingengine.api.responses import Json
from tradingengine.api.state import State

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/halt", tags=["halt"])
HALT_BODY: Final = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{HaltRequest.__name__}"}}},
    }
}
"""The body is read by `said`, so the framework does not know of it."""


async def said(request: Request) -> HaltRequest:
    """The body of a halt. Whatever it is, it is no reason to go on trading: what cannot be read is logged."""
    content = await request.body()
    try:
        return HaltRequest.model_validate(await request.json()) if content else HaltRequest()
    except (ValueError, RecursionError) as error:
        log.warning("a halt came without a reason: its body could not be read", extra={"why": type(error).__name__})
        return HaltRequest()


@router.post(
    "",
    status_code=202,
    response_model=Halt,
    summary="Halt trading",
    responses={
        200: {"model": Halt, "description": "Trading is halted already: that halt."},
        202: {"description": "Stored and queued; follow its state."},
    },
    openapi_extra={**REDUCES_RISK, **HALT_BODY},
)
async def halt(user: Halter, state: State, body: Annotated[HaltRequest, Depends(said)]) -> Response:
    """Closes the edge's gate and cancels what adds risk; stops and exits stay. Survives any restart.

    Pressed while a release is on its way it is sent again.
    """
    document, is_new = await HaltService(state, user).halt(body.reason)
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
