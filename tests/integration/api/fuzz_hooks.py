"""What schemathesis is told beside the OpenAPI document: who is logged in, and which refusals are right.

Loaded by schemathesis' own process (SCHEMATHESIS_HOOKS), never by pytest.
"""

import os
import random
from typing import Any

import schemathesis
from pydantic import ValidationError
from tradingengine.api.orders.schemas import NewOrder
from tradingengine.domain.reasons import ReasonCode

SESSION = os.environ["TE_FUZZ_SESSION"]
RULES = {f"/problems/{code}" for code in ReasonCode if code is not ReasonCode.INVALID} | {"/problems/prices_stale"}


@schemathesis.auth()
class Cookie:
    """The session of a trader who was logged in before."""

    def get(self, case: Any, context: Any) -> str:
        """The token."""
        return SESSION

    def set(self, case: Any, data: str, context: Any) -> None:
        """Into the cookie."""
        case.cookies = {**(case.cookies or {}), "te-session": data}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Logging out ends another session than that of all other calls; logins come from everywhere, so that the limit
    of failures is not all that they meet."""
    if (case.method.upper(), case.path) == ("DELETE", "/v1/session"):
        case.cookies = {"te-session": "a-session-that-is-over"}
    elif (case.method.upper(), case.path) == ("POST", "/v1/session"):
        place = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
        case.headers = {**(case.headers or {}), "x-forwarded-for": place}


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Half of the orders that fit the document also fit the desk: else none would be taken."""
    try:
        order = NewOrder.model_validate(body)
    except ValidationError:
        return body
    if len(order.symbol) % 2:
        return body
    prices = {"price": "2500.05"} if order.type.needs_price else {}
    if order.type.needs_trigger:
        prices["trigger_price"] = "2500.05"
    kept = {name: value for name, value in body.items() if name in ("side", "type", "dry_run")}
    return {**kept, **prices, "symbol": "NSE:RELIANCE", "quantity": 1 + order.quantity % 1000}


@schemathesis.check
def a_rule_beyond_the_schema_is_named(ctx: Any, response: Any, case: Any) -> None:
    """An order that fits the document is refused with 422 only by a rule that has a name, never as `invalid`."""
    mode = case.meta.generation.mode if case.meta is not None else None
    if mode is None or not mode.is_positive or response.status_code != 422:
        return
    told = response.json().get("type")
    assert told in RULES, f"{told}: what fits the document is refused without a rule's name"
