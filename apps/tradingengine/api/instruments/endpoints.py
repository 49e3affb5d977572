"""`/v1/instruments`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.instruments.schemas import InstrumentList
from tradingengine.api.problems import problems
from tradingengine.api.responses import Json
from tradingengine.api.schemas import Text
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/instruments", tags=["prices"])


@router.get("", response_model=InstrumentList, summary="Search instruments", responses=problems(401, 422))
async def search_instruments(
    user: Reader,
    state: State,
    query: Annotated[Text, Query(max_length=64, description="Words of symbol or name; empty lists all.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Indices and shares whose symbol or name holds every word."""
    return Json({"items": await state.reads.instruments(query, limit), "next_cursor": None})
