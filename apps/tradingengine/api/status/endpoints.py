"""`/v1/status`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.api.status.schemas import Status

router = APIRouter(prefix="/v1/status", tags=["status"])


@router.get("", response_model=Status, summary="Status")
async def get_status(user: Reader, state: State) -> Response:
    """Mode, market and its clock, feed, edge, brokers, halt, release."""
    return Json(await state.reads.status(state.control.release_document, state.user_release()))
