"""Parts that schemas of several nouns share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Rupees = Annotated[str, Field(pattern=r"^-?\d+(\.\d{1,2})?$", examples=["2500.05"], description="Rupees as text.")]
Time = Annotated[str, Field(examples=["2026-11-23T03:45:00.000000Z"], description="RFC 3339, UTC.")]
OrderId = Annotated[str, Field(examples=["019abf30-5c1e-7a52-9d54-2f1de1b2c3d4"], description="UUIDv7.")]
Symbol = Annotated[str, Field(examples=["NSE:RELIANCE"], min_length=1, max_length=64)]


class Document(BaseModel):
    """An answer; what it describes is built elsewhere."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """A request; a property that is not known is an error and never silently dropped."""

    model_config = ConfigDict(extra="forbid", strict=True)
