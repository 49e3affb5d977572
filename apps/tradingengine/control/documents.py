"""Bodies that the operator sends, decoded strictly where it matters; unknown properties are ignored."""

from typing import Annotated, Any, Literal

import msgspec

ReleaseNumber = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,9}$")]
Weight = Annotated[float, msgspec.Meta(ge=0, le=100)]


class WithdrawRequest(msgspec.Struct, frozen=True):
    """`POST /control/v1/withdraw`."""

    release: ReleaseNumber
    spread_seconds: Annotated[float, msgspec.Meta(ge=0, le=120)]


class ServeRequest(msgspec.Struct, frozen=True):
    """`POST /control/v1/serve`."""

    release: ReleaseNumber


class SlotRelease(msgspec.Struct, frozen=True):
    """The release that a slot holds."""

    slot: Literal["a", "b"]
    release: ReleaseNumber
    version: str


class Weights(msgspec.Struct, frozen=True):
    """Percent of new visitors by slot."""

    a: Weight
    b: Weight


class Step(msgspec.Struct, frozen=True):
    """One step of a rollout; None holds until a person promotes."""

    weight: Weight
    hold_seconds: Annotated[float, msgspec.Meta(ge=0)] | None


class Check(msgspec.Struct, frozen=True):
    """One judgement with its latest value."""

    name: str
    value: str | None
    limit: str


class ReleaseDocument(msgspec.Struct, frozen=True):
    """`PUT /control/v1/release`: the state of the rollout as people see it."""

    phase: Literal["Pending", "Preparing", "Running", "Releasing", "Withdrawn", "Degraded", "Paused", "Deleting"]
    version: str
    stable: SlotRelease | None
    canary: SlotRelease | None
    weights: Weights
    step: Annotated[int, msgspec.Meta(ge=0)]
    steps: Annotated[list[Step], msgspec.Meta(max_length=20)]
    step_started_at: str | None
    reason: Annotated[str, msgspec.Meta(max_length=1024)]
    checks: Annotated[list[Check], msgspec.Meta(max_length=30)]
    at: str

    def document(self) -> dict[str, Any]:
        """The same as a JSON-like value, without what this version does not know; whole weights as integers."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        value["weights"] = {slot: _whole(weight) for slot, weight in value["weights"].items()}
        value["steps"] = [{**step, "weight": _whole(step["weight"])} for step in value["steps"]]
        return value


def _whole(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number
