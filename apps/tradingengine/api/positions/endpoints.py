"""`/v1/positions`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader, Trader
from tradingengine.api.orders.counting import OrderRoute
from tradingengine.api.orders.endpoints import LOCATION
from tradingengine.api.orders.schemas import Order
from tradingengine.api.parameters import MAX_PAGE, REDUCES_RISK, IdempotencyKey, Limit, TextCursor
from tradingengine.api.positions.schemas import ExitRequest, PositionList
from tradingengine.api.positions.service import ExitService
from tradingengine.api.problems import (
    EdgeUnreachableError,
    IdempotencyConflictError,
    NoPositionError,
    problems,
)
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.domain.reasons import ReasonCode
from tradingengine.storage import paging
from tradingengine.storage.documents import position_order

router = APIRouter(prefix="/v1/positions", tags=["positions"], route_class=OrderRoute)


@router.get("", response_model=PositionList, summary="List positions")
async def list_positions(user: Reader, state: State, cursor: TextCursor = None, limit: Limit = MAX_PAGE) -> Response:
    """Open ones, and those closed on this market day."""
    return Json(paging.by_key(await state.reads.positions(), position_order, cursor, limit))


@router.post(
    "/exit",
    status_code=201,
    response_model=Order,
    summary="Close a position",
    responses={
        200: {"model": Order, "description": "The key was used before.", "headers": LOCATION},
        201: {"description": "Stored and on its way to the edge.", "headers": LOCATION},
        **problems(IdempotencyConflictError, NoPositionError, EdgeUnreachableError, rules=[ReasonCode.BAD_QUANTITY]),
    },
    openapi_extra=REDUCES_RISK,
)
async def exit_position(user: Trader, state: State, body: ExitRequest, idempotency_key: IdempotencyKey) -> Response:
    """A protected MARKET order that can only make the position smaller; queued while the link is cut."""
    document, is_new = await ExitService(state, user).exit(body, idempotency_key)
    return Json(document, status_code=201 if is_new else 200, headers={"location": f"/v1/orders/{document['id']}"})
