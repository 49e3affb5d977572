"""What an alert looks like from outside."""

from typing import Literal

from tradingengine.api.schemas import Cursor, Document, Time


class Alert(Document):
    """Something that a person should see."""

    id: str
    severity: Literal["info", "warning", "critical"]
    title: str
    detail: str
    mend: str | None
    at: Time


class AlertList(Document):
    """A page of alerts, newest first."""

    items: list[Alert]
    next_cursor: Cursor
