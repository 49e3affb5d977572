"""What the specification names and the cluster does not have: one shape for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .conditions import Conditions, explain


@dataclass(frozen=True)
class Unresolved:
    """Something that is named and cannot be used: field, object and mend.

    `reason` is one word, as a condition has it; `path` the field (`spec.gateway.name`). `holds` says that a change
    waits for it: what serves goes on as it is, and the engine does not serve as asked.
    """

    reason: str
    path: str
    message: str
    mend: str
    holds: bool = True

    @property
    def words(self) -> str:
        """All of it as one text."""
        return explain(f"{self.path}: {self.message}", self.mend)


def references_condition(conditions: Conditions, found: Sequence[Unresolved], unchecked: Sequence[str] = ()) -> None:
    """Sets ReferencesResolved. `unchecked` are kinds that the operator has no right to look up."""
    if found:
        conditions.set("ReferencesResolved", "False", found[0].reason, " ".join(f"{entry.words}." for entry in found))
        return
    skipped = f"not looked up, since the chart's ClusterRole is off: {', '.join(unchecked)}" if unchecked else ""
    conditions.set("ReferencesResolved", "True", "Resolved", skipped)
