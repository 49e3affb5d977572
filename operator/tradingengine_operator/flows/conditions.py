"""Conditions and phase of one pass. Times of transition change only when a status flips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from tradingengine_operator.api import ConditionStatus, ConditionType, Phase

from .state import render_time

_ORDER: tuple[str, ...] = get_args(ConditionType)
#: What a first release stands on, in the order in which people should look.
FOUNDATIONS: tuple[ConditionType, ...] = ("SecretsReady", "DatabaseReady", "CacheReady", "ReleaseHealthy")


@dataclass(frozen=True)
class Flip:
    """A condition that changed its status or reason; `before` is its old status, empty when it was never set."""

    type: str
    status: str
    reason: str
    message: str
    before: str = ""


@dataclass(frozen=True)
class Said:
    """How a condition is, in the words of the part that knows."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


@dataclass
class Conditions:
    """Conditions of one engine: begun from those that were stored, changed by one pass."""

    generation: int
    now: datetime
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    flips: list[Flip] = field(default_factory=list)

    @classmethod
    def begin(cls, stored: Iterable[Mapping[str, Any]], generation: int, now: datetime) -> Conditions:
        """The stored conditions, ready to be changed; of a later operator's those that this version knows."""
        return cls(generation, now, {entry["type"]: dict(entry) for entry in stored if entry["type"] in _ORDER})

    def set(self, type_: ConditionType, status: ConditionStatus, reason: str, message: str = "") -> None:
        """Says how a condition is; nothing is news when status and reason are as before."""
        old = self.entries.get(type_)
        same = old is not None and old.get("status") == status
        since = old["lastTransitionTime"] if old is not None and same else render_time(self.now)
        if old is None or not same or old.get("reason") != reason:
            self.flips.append(Flip(type_, status, reason, message, str(old["status"]) if old is not None else ""))
        self.entries[type_] = {
            "type": type_,
            "status": status,
            "observedGeneration": self.generation,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message[:2048],
        }

    def take(self, said: Iterable[Said]) -> None:
        """Takes in what the parts say."""
        for entry in said:
            self.set(entry.type, entry.status, entry.reason, entry.message)

    def true(self, type_: ConditionType) -> bool:
        """Whether a condition holds."""
        return self.entries.get(type_, {}).get("status") == "True"

    def status(self, type_: ConditionType) -> str:
        """`True`, `False` or `Unknown`; `Unknown` when it was never set."""
        return str(self.entries.get(type_, {}).get("status", "Unknown"))

    def reason(self, type_: ConditionType) -> str:
        """Reason of a condition, empty when it was never set."""
        return str(self.entries.get(type_, {}).get("reason", ""))

    def message(self, type_: ConditionType) -> str:
        """Message of a condition."""
        return str(self.entries.get(type_, {}).get("message", ""))

    def blocked(self) -> bool:
        """Whether a first release does not get on for a reason that waiting does not mend."""
        return any(
            self.status(type_) == "False" and self.reason(type_) not in {"", "Starting"} for type_ in FOUNDATIONS
        )

    def to_list(self) -> list[dict[str, Any]]:
        """In the order of the type's definition."""
        return sorted(self.entries.values(), key=lambda entry: _ORDER.index(entry["type"]))


@dataclass(frozen=True)
class Overview:
    """What the phase is made of. `updating`: everybody is served, and the edge changes to the release that serves."""

    deleting: bool = False
    paused: bool = False
    spec_valid: bool = True
    installed: bool = False
    blocked: bool = False
    releasing: bool = False
    updating: bool = False
    withdrawn: bool = False
    ready: bool = False


def phase_of(seen: Overview) -> Phase:
    """The whole in one word; what a person must know first wins."""
    if seen.deleting:
        return "Deleting"
    if seen.paused:
        return "Paused"
    if not seen.installed:
        return "Pending" if seen.blocked or not seen.spec_valid else "Preparing"
    if not seen.spec_valid or (not seen.ready and not seen.releasing):
        return "Degraded"
    if seen.releasing:
        return "Releasing"
    if seen.withdrawn:
        return "Withdrawn"
    return "Releasing" if seen.updating else "Running"


def explain(message: str, mend: str = "") -> str:
    """What happened and how to mend it, as one text."""
    text = message.strip().rstrip(".")
    return f"{text}. To mend: {mend.strip()}" if mend else text
