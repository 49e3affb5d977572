"""What a rollout looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import Document, Time


class SlotRelease(Document):
    """The release that a slot holds."""

    slot: Literal["a", "b"]
    release: str
    version: str


class Weights(Document):
    """Percent of new visitors by slot."""

    a: float = Field(ge=0, le=100)
    b: float = Field(ge=0, le=100)


class Step(Document):
    """One step; null holds until somebody promotes."""

    weight: float = Field(ge=0, le=100)
    hold_seconds: float | None


class Check(Document):
    """One judgement with its latest value."""

    name: str
    value: str | None
    limit: str


class ReleaseDocument(Document):
    """The rollout as the operator told it last."""

    phase: str
    version: str
    stable: SlotRelease | None
    canary: SlotRelease | None
    weights: Weights
    step: int = Field(ge=0, le=20)
    steps: list[Step]
    step_started_at: Time | None
    reason: str
    checks: list[Check]
    at: Time
