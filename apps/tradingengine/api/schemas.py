"""Parts that schemas of several nouns share.

Each number has bounds and each text a length: what a store cannot hold is refused before it gets there, with the
field's name.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from tradingengine.domain.ids import ID_PATTERN

MAX_NUMBER: Final = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exactly; a bigint column holds it a thousand times over."""
MAX_EPOCH: Final = 4_102_444_800
"""2100-01-01 in epoch seconds. What is larger by a factor of a thousand is a time in a finer unit."""
MAX_UNITS: Final = 10**9
"""Units of one order. A larger number is no order but a mistake."""
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Text without control characters, which neither Postgres nor a log line takes well."""
_MONEY: Final = r"^[0-9]{1,13}(\.[0-9]{1,2})?$"
_SIGNED_MONEY: Final = r"^-?[0-9]{1,19}(\.[0-9]{1,2})?$"
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"
_SYMBOL: Final = r"^[A-Z0-9]{1,16}:[A-Za-z0-9&._+*/-]{1,47}$"
_DIGITS: Final = re.compile(r"-?[0-9]{1,30}")


def whole_number(value: Any) -> Any:
    """A number of a query: digits alone. `int` would also take "1_000", " 7", "+7" and digits of other scripts."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value) is None:
            raise PydanticCustomError("whole_number", "a whole number is needed, digits alone")
        return int(value)
    return value


def epoch_seconds(value: Any) -> Any:
    """Epoch seconds of a query; a time in a finer unit is told from one that is only too late."""
    number = whole_number(value)
    if isinstance(number, int) and number > MAX_EPOCH:
        unit = next((name for name, scale in _FINER.items() if number <= MAX_EPOCH * scale), None)
        what = f"looks like {unit}; give seconds" if unit else "lies after the year 2100; give epoch seconds"
        raise PydanticCustomError("epoch_seconds", "{what}", {"what": what})
    return number


_FINER: Final = {"milliseconds": 1000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}


def json_integer(value: Any) -> Any:
    """JSON has one kind of number: 10.0 is ten. Truth values and fractions stay what they are, and are refused."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


Rupees = Annotated[
    str, Field(pattern=_SIGNED_MONEY, max_length=24, examples=["2500.05"], description="Rupees as text.")
]
Price = Annotated[str, Field(pattern=_MONEY, max_length=16, examples=["2500.05"], description="Rupees as text.")]
Percent = Annotated[str, Field(pattern=_SIGNED_MONEY, max_length=24, examples=["1.25"], description="Percent as text.")]
Time = Annotated[
    str, Field(pattern=_TIME, max_length=32, examples=["2026-11-23T03:45:00.000000Z"], description="RFC 3339, UTC.")
]
EpochSeconds = Annotated[int, Field(ge=0, le=MAX_EPOCH, examples=[1_767_671_100])]
Count = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
"""How many of something."""
Units = Annotated[int, Field(ge=1, le=MAX_UNITS, examples=[10]), BeforeValidator(json_integer)]
"""Units of an order in a request."""
OrderId = Annotated[
    str, Field(pattern=ID_PATTERN, examples=["019abf30-5c1e-7a52-9d54-2f1de1b2c3d4"], description="UUIDv7.")
]
Symbol = Annotated[str, Field(examples=["NSE:RELIANCE"], min_length=3, max_length=64, pattern=_SYMBOL)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]
"""A short name that was given elsewhere, such as an account's."""
Lax = Strict(strict=False)
"""A name of an enum of the domain: bodies are strict, and JSON brings it as text."""
Cursor = Annotated[str | None, Field(description="Give it as `cursor` for the next page; null on the last one.")]


class Document(BaseModel):
    """An answer; what it describes is built elsewhere."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """A request; a property that is not known is an error and never silently dropped."""

    model_config = ConfigDict(extra="forbid", strict=True)
