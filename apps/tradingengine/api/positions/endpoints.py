"""`/v1/positions`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader, Trader
from tradingengine.api.orders.endpoints import IdempotencyKey
from tradingengine.api.orders.schemas import Order
from tradingengine.api.orders.service import check_key
from tradingengine.api.positions.schemas import ExitRequest, PositionList
from tradingengine.api.positions.service import ExitService
from tradingengine.api.problems import problems
from tradingengine.api.responses import Json
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/positions", tags=["positions"])


@router.get("", response_model=PositionList, summary="List positions", responses=problems(401))
async def list_positions(user: Reader, state: State) -> Response:
    """Open ones, and those closed on this market day."""
    return Json({"items": await state.reads.positions(), "next_cursor": None})


@router.post(
    "/exit",
    status_code=201,
    response_model=Order,
    summary="Close a position",
    responses={200: {"model": Order, "description": "The key was used before."}, **problems(401, 403, 409, 422)},
)
async def exit_position(
    user: Trader, state: State, body: ExitRequest, idempotency_key: IdempotencyKey = None
) -> Response:
    """A protected MARKET order that can only make the position smaller; queued while the link is cut."""
    document, is_new = await ExitService(state, user).exit(body, check_key(idempotency_key))
    return Json(document, status_code=201 if is_new else 200, headers={"location": f"/v1/orders/{document['id']}"})
