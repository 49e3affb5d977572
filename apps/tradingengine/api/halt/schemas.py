"""What a halt looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import PRINTABLE, Body, Count, Document, Time


class HaltRequest(Body):
    """Why trading is halted."""

    reason: str | None = Field(None, max_length=200, pattern=PRINTABLE, examples=["Prices look wrong"])


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
