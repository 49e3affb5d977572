"""`/v1/alerts`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.alerts.schemas import AlertList
from tradingengine.api.auth import Reader
from tradingengine.api.problems import problems
from tradingengine.api.responses import Json
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/alerts", tags=["status"])


@router.get("", response_model=AlertList, summary="List alerts", responses=problems(401, 422))
async def list_alerts(user: Reader, state: State, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Response:
    """Newest first."""
    return Json({"items": await state.reads.alerts(limit=limit), "next_cursor": None})
