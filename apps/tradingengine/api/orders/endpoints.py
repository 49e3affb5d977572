"""`/v1/orders`."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from tradingengine.api.auth import DryRunner, Reader, Trader
from tradingengine.api.orders.counting import OrderRoute
from tradingengine.api.orders.dry_run import DryRuns
from tradingengine.api.orders.schemas import NEW_ORDER_EXAMPLES, DryRun, NewOrder, Order, OrderPage
from tradingengine.api.orders.service import OrderService
from tradingengine.api.parameters import REDUCES_RISK, IdempotencyKey, Limit, OrderIdInPath
from tradingengine.api.problems import (
    ORDER_RULES,
    EdgeSilentError,
    EdgeUnreachableError,
    HaltedError,
    IdempotencyConflictError,
    NoPositionError,
    OrderDoneError,
    PricesStaleError,
    problems,
)
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.domain.ids import ID_PATTERN, is_id
from tradingengine.errors import NotFoundError
from tradingengine.security.roles import Permission, allowed

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=OrderRoute)

LOCATION: Final[dict[str, Any]] = {
    "Location": {"description": "The order's path.", "required": True, "schema": {"type": "string"}}
}
OrderCursor = Annotated[str | None, Query(pattern=ID_PATTERN, description="`next_cursor` of the page before.")]


@router.post(
    "",
    status_code=201,
    response_model=Order,
    summary="Place an order",
    responses={
        200: {
            "model": Order,
            "description": "The key was used before: the order it stands for.",
            "headers": LOCATION,
        },
        201: {"description": "Stored and on its way to the edge.", "headers": LOCATION},
        202: {"model": DryRun, "description": "A dry run of the prober: judged by the edge's gate, stored nowhere."},
        **problems(
            EdgeSilentError,
            HaltedError,
            IdempotencyConflictError,
            NoPositionError,
            PricesStaleError,
            EdgeUnreachableError,
            rules=ORDER_RULES,
        ),
    },
)
async def place_order(
    user: DryRunner,
    state: State,
    body: Annotated[NewOrder, Body(openapi_examples=NEW_ORDER_EXAMPLES)],
    idempotency_key: IdempotencyKey,
) -> Response:
    """Checks the order against its instrument, stores it with its command in one transaction, and sends it.

    503 `edge_unreachable` means that it was stored as NOT_DELIVERED (`order_id` in the problem) and is never sent.
    A person's dry run is stored as any order; the prober may place nothing else, and its dry runs leave no trace.
    """
    if not allowed(user.roles, Permission.TRADE):
        return Json(await DryRuns(state).judge(body), status_code=202)
    document, is_new = await OrderService(state, user).place(body, idempotency_key)
    location = {"location": f"/v1/orders/{document['id']}"}
    return Json(document, status_code=201 if is_new else 200, headers=location)


@router.get("", response_model=OrderPage, summary="List orders")
async def list_orders(
    user: Reader,
    state: State,
    which: Annotated[Literal["open", "done", "all"], Query(alias="state", description="Which of them.")] = "all",
    cursor: OrderCursor = None,
    limit: Limit = 50,
) -> Response:
    """Newest first."""
    return Json(await state.reads.orders(which, cursor=cursor, limit=limit))


@router.get("/{order_id}", response_model=Order, summary="Get one order")
async def get_order(user: Reader, state: State, order_id: OrderIdInPath) -> Response:
    """With its timeline."""
    if not is_id(order_id):
        raise NotFoundError(f"There is no order {order_id[:64]!r}.", field="id")
    return Json(await state.reads.order(order_id))


@router.delete(
    "/{order_id}",
    status_code=202,
    response_model=Order,
    summary="Cancel an order",
    responses={202: {"description": "The cancel is queued."}, **problems(OrderDoneError)},
    openapi_extra=REDUCES_RISK,
)
async def cancel_order(user: Trader, state: State, order_id: OrderIdInPath) -> Response:
    """Queued on the stream that the edge reads first; it is delivered when a cut link heals."""
    return Json(await OrderService(state, user).cancel(order_id), status_code=202)
