"""What the status looks like from outside."""

from typing import Literal

from tradingengine.api.halt.schemas import Halt
from tradingengine.api.release.schemas import ReleaseDocument
from tradingengine.api.schemas import Count, Document, Time
from tradingengine.domain.orders import TradingState


class TradingSession(Document):
    """Trading session of one segment, market time."""

    segment: str
    state: Literal["open", "closed", "preopen", "unknown"]
    until: Time | None


class Market(Document):
    """Where prices come from, and their clock."""

    source: Literal["simulator", "replay", "broker"]
    market_time: Time | None
    speed: float | None
    run: str | None
    sessions: list[TradingSession]


class Feed(Document):
    """Age of the prices."""

    state: Literal["live", "stale", "down"]
    age_ms: Count | None


class Edge(Document):
    """The edge as the cloud sees it."""

    state: Literal["connected", "unreachable"]
    age_ms: Count | None
    epoch: Count | None
    trading_state: TradingState | None
    unshipped: Count | None
    version: str | None


class BrokerState(Document):
    """A broker as the edge sees it."""

    name: str
    state: str


class UserRelease(Document):
    """The release that serves this person."""

    release: str
    slot: Literal["a", "b", ""]
    version: str
    weight: float | None


class Status(Document):
    """Everything that the frame of the page shows."""

    mode: Literal["paper", "live"]
    environment: Literal["development", "staging", "production"]
    now: Time
    market: Market
    feed: Feed
    edge: Edge
    brokers: list[BrokerState]
    halt: Halt | None
    release: ReleaseDocument | None
    user_release: UserRelease
