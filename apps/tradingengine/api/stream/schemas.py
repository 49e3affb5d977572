"""Messages of the WebSocket, for the OpenAPI document: `{"v": 1, "t", "seq", "at", "d"}` with `d` by `t`."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from tradingengine.api.alerts.schemas import Alert
from tradingengine.api.candles.schemas import Candle
from tradingengine.api.halt.schemas import Halt
from tradingengine.api.orders.schemas import Order
from tradingengine.api.positions.schemas import Position
from tradingengine.api.quotes.schemas import Quote
from tradingengine.api.schemas import MAX_NUMBER, Document, Symbol
from tradingengine.api.status.schemas import Status
from tradingengine.api.summary.schemas import Summary

_REF: Final = "#/components/schemas/{model}"


class Hello(Document):
    """The first message: who serves."""

    release: str
    slot: str


class LiveCandle(Candle):
    """The bar of this minute, as far as it is."""

    symbol: Symbol


class Empty(Document):
    """Nothing: the message's kind says all."""


class Envelope(Document):
    """What is around each message; `d` is by `t`, see `x-websocket`."""

    v: Annotated[int, Field(ge=1, le=1)]
    t: str
    seq: Annotated[int, Field(ge=1, le=MAX_NUMBER, description="Counts up by one in each connection.")]
    at: Annotated[int, Field(ge=0, le=MAX_NUMBER, description="Epoch milliseconds at which it was sent.")]
    d: Any


_ONE: Final[dict[str, type[BaseModel]]] = {
    "hello": Hello, "candle": LiveCandle, "order": Order, "summary": Summary, "status": Status, "alert": Alert,
    "pong": Empty, "resync": Empty,
}  # fmt: skip
_MANY: Final[dict[str, type[BaseModel]]] = {"quotes": Quote, "position": Position}


def stream_schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of `d` by kind of message, and the components that they refer to."""
    models: set[type[BaseModel]] = {*_ONE.values(), *_MANY.values(), Halt, Envelope}
    wanted: list[tuple[type[BaseModel], Literal["serialization"]]] = [(model, "serialization") for model in models]
    _, definitions = models_json_schema(wanted, ref_template=_REF)
    messages: dict[str, Any] = {kind: _ref(model.__name__) for kind, model in _ONE.items()}
    messages |= {kind: {"type": "array", "items": _ref(model.__name__)} for kind, model in _MANY.items()}
    messages["halt"] = {"anyOf": [_ref(Halt.__name__), {"type": "null"}]}
    return messages, definitions["$defs"]


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}
