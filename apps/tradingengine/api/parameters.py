"""Parameters that calls share, and the one place that refuses what no call knows.

A typing error in a parameter's name must not pass for an answer to another question. The exception are calls that
reduce risk (`REDUCES_RISK`): nothing that they do not need may stand in their way, so what they do not know they
do not read, and a body that they can do without refuses none of them (`halt.endpoints.said`).
"""

from typing import Annotated, Any, Final
from weakref import WeakKeyDictionary

from fastapi import Header, Path, Query, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.requests import HTTPConnection, Request

from tradingengine.api.problems import MediaTypeError
from tradingengine.api.schemas import PRINTABLE, whole_number
from tradingengine.domain.ids import ID_PATTERN
from tradingengine.errors import InvalidInputError

REDUCES_RISK: Final[dict[str, Any]] = {"x-reduces-risk": True}
"""`openapi_extra` of calls that reduce risk: exits, cancels, halts."""
MAX_PAGE: Final = 500
KEY_PATTERN: Final = r"^[!-~\xa1-\xac\xae-\xff]([ -~\xa1-\xac\xae-\xff]*[!-~\xa1-\xac\xae-\xff])?$"
"""Printable characters of a header, no blank at the ends."""

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most items of a page."), BeforeValidator(whole_number)]
TextCursor = Annotated[
    str | None, Query(max_length=256, pattern=PRINTABLE, description="`next_cursor` of the page before.")
]
OffsetCursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,9}$", description="`next_cursor` of the page before.", examples=["50"])
]
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=KEY_PATTERN,
        description="Yours, a new one for each new act; the same key and body again give the same order.",
        examples=["7f0c2c1e-5a0f-4a57-9b7d-0f6f3d0a9c11"],
    ),
]
# Described and not enforced: what is no id names no order, and that is a 404.
OrderIdInPath = Annotated[
    str,
    Path(
        description="The order's id.",
        json_schema_extra={"pattern": ID_PATTERN},
        examples=["019abf30-5c1e-7a52-9d54-2f1de1b2c3d4"],
    ),
]


async def known_parameters(connection: HTTPConnection) -> None:
    """For every call: refuse what it would not read.

    InvalidInputError for a query parameter that it does not know or that is given twice, MediaTypeError for a body
    that does not say that it is JSON.
    """
    route = connection.scope.get("route")
    if not isinstance(connection, Request) or not isinstance(route, APIRoute):
        return
    if not (route.openapi_extra or {}).get("x-reduces-risk"):
        _check_query(connection, route)
    if route.body_field is not None and not _is_json(connection) and await connection.body():
        raise MediaTypeError(
            "The body is read as JSON and as nothing else.", mend="Send it with 'Content-Type: application/json'."
        )


def _check_query(request: Request, route: APIRoute) -> None:
    known = _query_names(route)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        shown = name[:64]
        if name not in known:
            mend = f"Known here: {', '.join(sorted(known))}." if known else "This call takes no query parameters."
            raise InvalidInputError(f"There is no query parameter {shown!r} here.", field=shown or "query", mend=mend)
        if name in seen:
            raise InvalidInputError(f"{shown} is given more than once.", field=shown, mend="Give it once.")
        seen.add(name)


_names: Final["WeakKeyDictionary[Any, frozenset[str]]"] = WeakKeyDictionary()


def _query_names(route: APIRoute) -> frozenset[str]:
    known = _names.get(route.endpoint)
    if known is None:
        fields = get_flat_params(route.dependant)
        known = frozenset(field.alias for field in fields if isinstance(field.field_info, params.Query))
        _names[route.endpoint] = known
    return known


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
