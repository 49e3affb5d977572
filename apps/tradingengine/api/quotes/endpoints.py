"""`/v1/quotes`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.problems import problems
from tradingengine.api.quotes.schemas import QuoteList
from tradingengine.api.responses import Json
from tradingengine.api.schemas import Text
from tradingengine.api.state import State
from tradingengine.errors import InvalidInputError

router = APIRouter(prefix="/v1/quotes", tags=["prices"])
MAX_SYMBOLS = 200


@router.get("", response_model=QuoteList, summary="Latest quotes", responses=problems(401, 422))
async def get_quotes(
    user: Reader,
    state: State,
    symbols: Annotated[
        Text, Query(max_length=8192, description="Symbols with commas between them.", examples=["NSE:RELIANCE,NSE:TCS"])
    ],
) -> Response:
    """The last quotes that the edge published; `market_time` is the tape's own clock."""
    wanted = [symbol for symbol in dict.fromkeys(part.strip() for part in symbols.split(",")) if symbol]
    if not 1 <= len(wanted) <= MAX_SYMBOLS:
        raise InvalidInputError(f"1 to {MAX_SYMBOLS} symbols can be asked for at once.", field="symbols")
    return Json({"items": await state.reads.quotes(wanted)})
