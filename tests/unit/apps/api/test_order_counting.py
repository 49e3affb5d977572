"""Which requests count as orders, and as what."""

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from tradingengine.api.orders.counting import outcome_of
from tradingengine.api.problems import (
    BadJsonError,
    CrossOriginError,
    EdgeUnreachableError,
    ForbiddenError,
    HaltedError,
    NotLoggedInError,
    OrderRefusedError,
    PricesStaleError,
)
from tradingengine.domain.errors import DomainError
from tradingengine.domain.reasons import ReasonCode, fault
from tradingengine.errors import DatabaseUnavailableError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (OrderRefusedError(fault("price", ReasonCode.BAD_TICK, "x")), ("refused", "bad_tick")),
        (PricesStaleError("x"), ("refused", "prices_stale")),
        (HaltedError("x"), ("refused", "halted")),
        (DomainError("x"), ("refused", "invalid")),
        (RequestValidationError([{"type": "missing", "loc": ("body", "symbol"), "msg": "x"}]), ("refused", "invalid")),
        (EdgeUnreachableError("x"), ("undelivered", "edge_unreachable")),
        (DatabaseUnavailableError("x"), ("failed", "database_unavailable")),
        (ValueError("x"), ("failed", "internal")),
        (RequestValidationError([{"type": "json_invalid", "loc": ("body", 1), "msg": "x"}]), None),
        (NotLoggedInError("x"), None),
        (ForbiddenError("x"), None),
        (CrossOriginError("x"), None),
        (BadJsonError("x"), None),
        (HTTPException(400), None),
    ],
)
def test_outcomes(error: Exception, counted: tuple[str, str] | None) -> None:
    assert outcome_of(error) == counted
