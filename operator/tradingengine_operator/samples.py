"""What a metrics server answered: the one word that clients, flows and runtime have in common for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Kind(StrEnum):
    """What a sample is."""

    VALUE = "value"
    NO_DATA = "no-data"
    NO_SERVER = "no-server"


@dataclass(frozen=True)
class Sample:
    """One answer of the metrics server; `value` is a share of 0 to 1, only for `Kind.VALUE`."""

    kind: Kind
    at: datetime
    value: Decimal | None = None
    detail: str = ""
