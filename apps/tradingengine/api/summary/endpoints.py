"""`/v1/summary`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.api.summary.schemas import Summary

router = APIRouter(prefix="/v1/summary", tags=["status"])


@router.get("", response_model=Summary, summary="Summary of the day")
async def get_summary(user: Reader, state: State) -> Response:
    """P&L, exposure, orders and strategies."""
    return Json(await state.reads.summary())
