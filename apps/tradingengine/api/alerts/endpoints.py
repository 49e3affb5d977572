"""`/v1/alerts`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.alerts.schemas import AlertList
from tradingengine.api.auth import Reader
from tradingengine.api.parameters import Limit
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.storage.paging import ALERT_CURSOR

router = APIRouter(prefix="/v1/alerts", tags=["status"])

AlertCursor = Annotated[str | None, Query(pattern=ALERT_CURSOR, description="`next_cursor` of the page before.")]


@router.get("", response_model=AlertList, summary="List alerts")
async def list_alerts(user: Reader, state: State, cursor: AlertCursor = None, limit: Limit = 50) -> Response:
    """Newest first."""
    return Json(await state.reads.alerts(cursor=cursor, limit=limit))
