"""`/v1/instruments`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.instruments.schemas import InstrumentList
from tradingengine.api.parameters import Limit, OffsetCursor
from tradingengine.api.responses import Json
from tradingengine.api.schemas import PRINTABLE
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/instruments", tags=["prices"])

Words = Annotated[
    str,
    Query(max_length=64, pattern=PRINTABLE, description="Words of symbol or name; empty lists all.", examples=["tcs"]),
]


@router.get("", response_model=InstrumentList, summary="Search instruments")
async def search_instruments(
    user: Reader, state: State, query: Words = "", cursor: OffsetCursor = None, limit: Limit = 50
) -> Response:
    """Indices and shares whose symbol or name holds every word."""
    return Json(await state.reads.instruments(query, cursor=cursor, limit=limit))
