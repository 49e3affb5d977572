"""`/v1/quotes`."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.parameters import Limit, OffsetCursor
from tradingengine.api.problems import UnknownInstrumentError, problems
from tradingengine.api.quotes.schemas import QuoteList
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.storage import paging

router = APIRouter(prefix="/v1/quotes", tags=["prices"])
MAX_SYMBOLS = 200

_SYMBOL = "[A-Z0-9]{1,16}:[A-Za-z0-9&._+*/-]{1,47}"
Symbols = Annotated[
    str,
    Query(
        pattern=f"^{_SYMBOL}(,{_SYMBOL}){{0,{MAX_SYMBOLS - 1}}}$",
        description=f"1 to {MAX_SYMBOLS} symbols with commas between them.",
        examples=["NSE:RELIANCE,NSE:TCS"],
    ),
]


@router.get("", response_model=QuoteList, summary="Latest quotes", responses=problems(UnknownInstrumentError))
async def get_quotes(
    user: Reader, state: State, symbols: Symbols, cursor: OffsetCursor = None, limit: Limit = MAX_SYMBOLS
) -> Response:
    """The last quotes that the edge published; `market_time` is the tape's own clock.

    Symbols that nobody knows are a 404 `unknown_instrument`, which names them as `unknown`.
    """
    wanted = list(dict.fromkeys(symbols.split(",")))
    known = await state.reads.known_symbols(wanted)
    unknown = [symbol for symbol in wanted if symbol not in known]
    if unknown:
        raise UnknownInstrumentError(
            f"Not known here: {', '.join(unknown[:5])}{' and more' if len(unknown) > 5 else ''}.",
            field="symbols",
            mend="Choose symbols from /v1/instruments.",
            extra={"unknown": unknown},
        )
    return Json(paging.by_offset(await state.reads.quotes(wanted), cursor, limit))
