"""One entry of the journal, and its form on the wire."""

from typing import Any, Final

import msgspec

BULK_TYPES: Final = frozenset({"candles.closed", "instruments.snapshot", "mark", "strategy.state"})
"""Entries that say nothing about orders: skipped when the order book is rebuilt."""


class Draft(msgspec.Struct, frozen=True):
    """What is to be journalled: `type` and `data` of interfaces.md, `id` of the order or command it is about."""

    type: str
    data: dict[str, Any]
    id: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What was journalled. `at` and `market_time` are RFC 3339 texts; `seq` rises by one without gaps."""

    seq: int
    epoch: int
    at: str
    market_time: str | None
    run: str
    type: str
    id: str | None
    data: dict[str, Any]

    def body(self, journal: str) -> bytes:
        """The JSON of an entry of stream `te:events`; `journal` is the journal's uuid."""
        return msgspec.json.encode(
            {
                "v": 1,
                "journal": journal,
                "epoch": self.epoch,
                "seq": self.seq,
                "at": self.at,
                "market_time": self.market_time,
                "run": self.run,
                "type": self.type,
                "id": self.id,
                "data": self.data,
            }
        )
