"""What a rollout looks like from outside."""

from typing import Literal

from tradingengine.api.schemas import Document, Time


class SlotRelease(Document):
    """The release that a slot holds."""

    slot: Literal["a", "b"]
    release: str
    version: str


class Weights(Document):
    """Percent of new visitors by slot."""

    a: float
    b: float


class Step(Document):
    """One step; null holds until somebody promotes."""

    weight: float
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
    step: int
    steps: list[Step]
    step_started_at: Time | None
    reason: str
    checks: list[Check]
    at: Time
