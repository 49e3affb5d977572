"""`/v1/orders`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Header, Path, Query
from starlette.responses import Response

from tradingengine.api.auth import Reader, Trader
from tradingengine.api.orders.schemas import NEW_ORDER_EXAMPLES, NewOrder, Order, OrderPage
from tradingengine.api.orders.service import OrderService, check_key
from tradingengine.api.problems import problems
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.domain.ids import is_id
from tradingengine.errors import InvalidInputError, NotFoundError

router = APIRouter(prefix="/v1/orders", tags=["orders"])

IdempotencyKey = Annotated[
    str | None,
    Header(description="Yours; the same key and body again give the same order.", examples=["7f0c2c1e-order-1"]),
]


@router.post(
    "",
    status_code=201,
    response_model=Order,
    summary="Place an order",
    responses={
        200: {"model": Order, "description": "The key was used before: the order it stands for."},
        201: {"description": "Stored and on its way to the edge."},
        **problems(401, 403, 409, 422),
    },
)
async def place_order(
    user: Trader,
    state: State,
    body: Annotated[NewOrder, Body(openapi_examples=NEW_ORDER_EXAMPLES)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Checks the order against its instrument, stores it with its command in one transaction, and sends it.

    503 `edge_unreachable` means that it was stored as NOT_DELIVERED (`order_id` in the problem) and is never sent.
    """
    document, is_new = await OrderService(state, user).place(body, check_key(idempotency_key))
    location = {"location": f"/v1/orders/{document['id']}"}
    return Json(document, status_code=201 if is_new else 200, headers=location)


@router.get("", response_model=OrderPage, summary="List orders", responses=problems(401, 422))
async def list_orders(
    user: Reader,
    state: State,
    which: Annotated[Literal["open", "done", "all"], Query(alias="state")] = "all",
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Newest first."""
    if cursor is not None and not is_id(cursor):
        raise InvalidInputError("The cursor is not one of ours.", field="cursor", mend="Give next_cursor as it came.")
    return Json(await state.reads.orders(which, cursor=cursor, limit=limit))


@router.get("/{order_id}", response_model=Order, summary="Get one order", responses=problems(401, 404))
async def get_order(user: Reader, state: State, order_id: Annotated[str, Path(max_length=64)]) -> Response:
    """With its timeline."""
    if not is_id(order_id):
        raise NotFoundError(f"There is no order {order_id!r}.", field="id")
    return Json(await state.reads.order(order_id))


@router.delete(
    "/{order_id}",
    status_code=202,
    response_model=Order,
    summary="Cancel an order",
    responses={202: {"description": "The cancel is queued."}, **problems(401, 403, 404, 409)},
)
async def cancel_order(user: Trader, state: State, order_id: Annotated[str, Path(max_length=64)]) -> Response:
    """Queued on the stream that the edge reads first; it is delivered when a cut link heals."""
    return Json(await OrderService(state, user).cancel(order_id), status_code=202)
