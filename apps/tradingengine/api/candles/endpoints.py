"""`/v1/candles`."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.candles.schemas import CandleList
from tradingengine.api.problems import UnknownInstrumentError, problems
from tradingengine.api.responses import Json
from tradingengine.api.schemas import MAX_EPOCH, Symbol, epoch_seconds, whole_number
from tradingengine.api.state import State
from tradingengine.domain.candles import Interval
from tradingengine.storage.reads import MAX_CANDLES

router = APIRouter(prefix="/v1/candles", tags=["prices"])

Before = Annotated[
    int | None,
    Query(ge=0, le=MAX_EPOCH, description="Epoch seconds: only bars that start earlier.", examples=[1_767_671_100]),
    BeforeValidator(epoch_seconds),
]
CandleCursor = Annotated[
    str | None,
    Query(pattern=r"^[0-3]?[0-9]{1,9}$", description="`next_cursor` of the page before: its bars and older ones."),
]
Bars = Annotated[int, Query(ge=1, le=MAX_CANDLES, description="Most bars."), BeforeValidator(whole_number)]


@router.get(
    "", response_model=CandleList, summary="Candles of one instrument", responses=problems(UnknownInstrumentError)
)
async def get_candles(
    user: Reader,
    state: State,
    symbol: Annotated[Symbol, Query(description="One instrument.")],
    interval: Annotated[Interval, Query(description="Length of a bar.")] = Interval.M1,
    before: Before = None,
    cursor: CandleCursor = None,
    limit: Bars = 500,
) -> Response:
    """Closed bars of the current run, oldest first; the forming one comes over the WebSocket.

    The next page holds older bars. With both `before` and `cursor` the earlier time counts.
    """
    if not await state.reads.known_symbols([symbol]):
        raise UnknownInstrumentError(
            f"{symbol} is not known here.", field="symbol", mend="Choose a symbol from /v1/instruments."
        )
    ends = [end for end in (before, int(cursor) if cursor is not None else None) if end is not None]
    return Json(await state.reads.candles(symbol, interval, limit=limit, before=min(ends, default=None)))
