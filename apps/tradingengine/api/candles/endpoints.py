"""`/v1/candles`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.candles.schemas import CandleList
from tradingengine.api.problems import problems
from tradingengine.api.responses import Json
from tradingengine.api.schemas import Text
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/candles", tags=["prices"])


@router.get("", response_model=CandleList, summary="Candles of one instrument", responses=problems(401, 422))
async def get_candles(
    user: Reader,
    state: State,
    symbol: Annotated[Text, Query(max_length=64)],
    interval: Annotated[str, Query(description="1m, 5m, 15m, 1h or 1d.")] = "1m",
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
    before: Annotated[int | None, Query(ge=0, description="Epoch seconds: only bars that start earlier.")] = None,
) -> Response:
    """Closed bars of the current run, oldest first; the forming one comes over the WebSocket."""
    return Json(await state.reads.candles(symbol, interval, limit=limit, before=before))
