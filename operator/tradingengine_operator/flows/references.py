"""What the specification names and the cluster does not have: one shape for all of it."""

from __future__ import annotations

from dataclasses import dataclass

from tradingengine_operator.plan.attachment import Target

from .conditions import explain


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


@dataclass(frozen=True)
class RouteIntent:
    """Where the route is to hang. `unresolved` keeps it from there; `yields` and `followed` are those of `attach`.

    `readable` says whether Gateways may be looked up at all, `unread` why the last look at this one failed.
    """

    target: Target
    unresolved: Unresolved | None = None
    yields: bool = False
    followed: bool = True
    readable: bool = True
    unread: str = ""
