"""What a halt looks like from outside."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tradingengine.api.schemas import Count, Document, Time

MAX_REASON: Final = 200
"""Characters of a reason that are kept."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of characters, which no store takes."""


def _writable(value: Any) -> Any:
    """The start of a text as one line; None where nothing is left of it."""
    if not isinstance(value, str):
        return value
    return " ".join(_CONTROL.sub(" ", value).split())[:MAX_REASON].rstrip() or None


class HaltRequest(BaseModel):
    """Why trading is halted. No body keeps a halt from being taken: what cannot be read counts as no reason."""

    model_config = ConfigDict(extra="ignore", strict=True)

    reason: Annotated[str | None, BeforeValidator(_writable)] = Field(
        default=None,
        description=f"The first {MAX_REASON} characters are kept; control characters and line breaks become blanks.",
        examples=["Prices look wrong"],
    )


class HaltEntries(Document):
    """Entries that were open when the gate closed, and those that the broker's book confirmed as cancelled."""

    total: Count
    cancelled: Count


class Halt(Document):
    """One halt and how far it is: `not_delivered` means that the edge did not confirm within 5 s; it stays queued."""

    id: str
    state: Literal["requested", "delivered", "confirmed", "not_delivered"]
    by: str
    reason: str | None
    requested_at: Time
    delivered_at: Time | None
    confirmed_at: Time | None
    entries: HaltEntries
    release_requested_at: Time | None
    released_at: Time | None
