"""The status of a TradingEngine, written by the operator alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Model

Phase = Literal["Pending", "Preparing", "Running", "Releasing", "Withdrawn", "Degraded", "Paused", "Deleting"]
ConditionType = Literal[
    "Ready",
    "Progressing",
    "Degraded",
    "SpecValid",
    "ReferencesResolved",
    "DatabaseReady",
    "CacheReady",
    "SecretsReady",
    "ReleaseHealthy",
    "BackupSucceeded",
    "DrillSucceeded",
    "EdgeReady",
    "Paused",
    "NamespaceDeletable",
]
ConditionStatus = Literal["True", "False", "Unknown"]
Slot = Literal["a", "b"]
Time = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
ShortText = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=2048)]


class Condition(Model):
    """One condition, as Kubernetes has them."""

    type: ConditionType = Field(description="What the condition is about.")
    status: ConditionStatus = Field(description="Whether it holds.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Generation of the specification that was judged."
    )
    last_transition_time: Time = Field(description="When `status` last changed.")
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=128)] = Field(
        description="One word for why."
    )
    message: LongText = Field(default="", description="What happened and how to mend it.")


class SlotStatus(Model):
    """What one slot holds."""

    release: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Number of the record.")
    version: ShortText | None = Field(default=None, description="Version of that release.")
    role: Literal["stable", "canary", "warm", "empty"] = Field(default="empty", description="What the slot is for.")
    weight: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0, description="Observed share of new visitors, percent."
    )
    ready: Annotated[int, Field(ge=0)] = Field(default=0, description="Ready pods of the API.")
    warm_until: Time | None = Field(default=None, description="When a warm slot is taken down.")


class SlotStatuses(Model):
    """Both slots."""

    a: SlotStatus = Field(default_factory=SlotStatus, description="Slot a.")
    b: SlotStatus = Field(default_factory=SlotStatus, description="Slot b.")


class CommandStatus(Model):
    """The last command that was acknowledged."""

    id: ShortText = Field(description="Its id; made from the text of an annotation that has none.")
    act: ShortText | None = Field(default=None, description="What was asked.")
    release: Annotated[int, Field(ge=0)] | None = Field(default=None, description="The release that was meant.")
    outcome: Literal["Done", "Refused", "Ignored"] = Field(
        description="Ignored: it means a release that it cannot be about."
    )
    message: LongText | None = Field(default=None, description="What follows from it, or why nothing does.")
    at: Time = Field(description="When.")
    by: ShortText | None = Field(default=None, description="Who wrote it, as the API server has it.")


class ReleaseStatus(Model):
    """Where a release stands."""

    state: ShortText | None = Field(default=None, description="State of the release flow.")
    number: Annotated[int, Field(ge=0)] | None = Field(default=None, description="The release that is under way.")
    stable: Annotated[int, Field(ge=0)] | None = Field(default=None, description="The release that serves.")
    slots: SlotStatuses = Field(default_factory=SlotStatuses, description="Both slots.")
    weight: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Share of new visitors on the new release, percent."
    )
    step: ShortText | None = Field(default=None, description="Step of how many, for example `1/3`.")
    step_index: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Index of the step, from 0.")
    step_started_at: Time | None = Field(default=None, description="When the step began.")
    started_at: Time | None = Field(default=None, description="When the release began.")
    finished_at: Time | None = Field(default=None, description="When the release was promoted or withdrawn.")
    failures: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Failed samples in a row.")
    failed_hash: ShortText | None = Field(
        default=None, description="Template hash of the last withdrawn release, which is not tried again by itself."
    )
    reason: ShortText | None = Field(default=None, description="One word for why.")
    message: LongText | None = Field(default=None, description="Value and limit in plain words.")
    next_window: Time | None = Field(
        default=None,
        description="When market hours let the release begin or go on, or the next one begin. None: now, or they do not"
        " count.",
    )
    command: CommandStatus | None = Field(
        default=None,
        description="The last command of the annotation `tradingengine.io/command`, and what became of it.",
    )
    progress: Annotated[str, Field(max_length=8192)] | None = Field(
        default=None,
        description="The release flow's own state, with absolute times, as JSON. The release's record holds a copy.",
    )


class EdgeStatus(Model):
    """What the edge says of itself."""

    state: ShortText | None = Field(
        default=None,
        description="Connected, Waiting (for a first release, or for a new control token), Starting, Updating (to the"
        " release that serves), Restarting (its pod or container ended and does not answer yet), Stopping (switched"
        " off, and drained first), Disabled, or what went wrong: DidNotStart, Refusing (the operator's token),"
        " Unreachable (it runs for all that is known, and does not answer any more: its link may be cut).",
    )
    version: ShortText | None = Field(default=None, description="Version that runs.")
    release: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Release that runs.")
    epoch: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Epoch of its journal.")
    flat: bool | None = Field(
        default=None, description="Whether it holds no position and no order; in live mode alone."
    )
    trading_state: Literal["ACTIVE", "REDUCING", "HALTED"] | None = Field(
        default=None, description="Its trading state; in live mode alone."
    )


class DatabaseStatus(Model):
    """The database as last seen."""

    state: ShortText | None = Field(default=None, description="Starting, Ready or Failed.")
    schema_revision: ShortText | None = Field(default=None, description="Revision of the schema.")


class AppliedField(Model):
    """A field of the specification that is not in force yet."""

    path: ShortText = Field(description="The field, for example `spec.gateway.name`.")
    value: Annotated[str, Field(max_length=256)] | None = Field(
        default=None,
        description="The value in force, a list or map as JSON. Not given: the field is not set in what is in force."
        " A value that may be a secret is not shown.",
    )
    since: Time = Field(description="Since when this value is in force in spite of the specification.")
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=128)] = Field(
        description="One word for why; the condition with the same reason says how to mend it."
    )


class TradingEngineStatus(Model):
    """What the operator saw and did."""

    phase: Phase | None = Field(default=None, description="The whole in one word.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Generation of the specification that was last worked through."
    )
    version: ShortText | None = Field(default=None, description="Version that serves.")
    operator_version: ShortText | None = Field(default=None, description="Version of the operator that wrote this.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Details.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    applied: Annotated[tuple[AppliedField, ...], Field(max_length=64)] | None = Field(
        default=None,
        description="What is in force where the specification cannot be followed yet: one entry for each field that"
        " differs. None: all is as asked, or on its way.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
    )
    release: ReleaseStatus | None = Field(default=None, description="The release.")
    edge: EdgeStatus | None = Field(default=None, description="The edge.")
    database: DatabaseStatus | None = Field(default=None, description="The database.")

    def condition(self, type_: ConditionType) -> Condition | None:
        """The condition of that type, if it was ever written."""
        return next((entry for entry in self.conditions if entry.type == type_), None)
