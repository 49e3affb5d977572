"""Parts that schemas of several nouns share."""

import unicodedata
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

Rupees = Annotated[str, Field(pattern=r"^-?\d+(\.\d{1,2})?$", examples=["2500.05"], description="Rupees as text.")]
Time = Annotated[str, Field(examples=["2026-11-23T03:45:00.000000Z"], description="RFC 3339, UTC.")]
OrderId = Annotated[str, Field(examples=["019abf30-5c1e-7a52-9d54-2f1de1b2c3d4"], description="UUIDv7.")]
_SYMBOL: Final = r"^[A-Z0-9]{1,16}:[A-Za-z0-9&._+*/-]{1,47}$"
Symbol = Annotated[str, Field(examples=["NSE:RELIANCE"], min_length=1, max_length=64, pattern=_SYMBOL)]


def printable(text: str) -> str:
    """The text; ValueError when it has control characters, which neither Postgres nor a log line takes well."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, AfterValidator(printable)]
"""Text of a query."""


class Document(BaseModel):
    """An answer; what it describes is built elsewhere."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """A request; a property that is not known is an error and never silently dropped."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def _printable(cls, value: Any) -> Any:
        return printable(value) if isinstance(value, str) else value
