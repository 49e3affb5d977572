"""What one look at both releases showed: what came in since the last one, and what was learnt up to now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from tradingengine_operator.samples import OwnAnswer, OwnValue, Trials

from .sequential import Evidence, dump_evidence

CLIENT, PROBE = "client", "probe"
#: What the Gateway counted: requests of clients, seen from outside, so they are judged and not counted a second time.
GATEWAY = "gateway"
SOURCES = (CLIENT, PROBE)
#: What the prober tells of its probes: all bad ones, and among them wrong answers. Their source is what was asked.
PROBES, WRONG = "probes", "wrong"


@dataclass(frozen=True)
class Second:
    """What came in since the last look, of one kind of request."""

    canary: Trials = field(default_factory=Trials)
    stable: Trials = field(default_factory=Trials)

    def plus(self, more: Trials, *, canary: bool) -> Second:
        """With more of one of the two releases."""
        if canary:
            return Second(self.canary + more, self.stable)
        return Second(self.canary, self.stable + more)


@dataclass(frozen=True)
class Look:
    """What came in, what was learnt and who answers. Kinds of request are named `check/component/source` (`kind_of`).

    `silent` says why the metrics server did not answer, empty when it did, or was not asked; `gateway_silent` why it
    has nothing fresh of the Gateway, where that is asked. `ages` is by component of
    the candidate how many seconds ago its pods were last scraped, the oldest of them, None when a scrape failed or
    none was; empty when nothing was asked. `mute` are ready pods of the candidate that do not answer, `stable_mute`
    those of the stable release. `idle` is by component and source for how many seconds no request of the candidate was
    counted, without an end where this process has counted none; `watched` is for how many seconds it has looked.
    `stable_rate` is how many requests of clients the stable release had a second. `probed` says that the prober was
    answered well by every component of the candidate a moment ago. Answers to the operator's own requests are by
    component, values of the user's queries by name of the check.
    """

    at: datetime
    silent: str = ""
    gateway_silent: str = ""
    seconds: Mapping[str, Second] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    ages: Mapping[str, float | None] = field(default_factory=dict)
    mute: tuple[str, ...] = ()
    stable_mute: tuple[str, ...] = ()
    idle: Mapping[tuple[str, str], float] = field(default_factory=dict)
    watched: float = inf
    stable_rate: float = 0.0
    probed: bool = False
    own_answers: Mapping[str, OwnAnswer] = field(default_factory=dict)
    stable_own_answers: Mapping[str, OwnAnswer] = field(default_factory=dict)
    values: Mapping[str, OwnValue] = field(default_factory=dict)
    stable_values: Mapping[str, OwnValue] = field(default_factory=dict)

    def kinds(self, check: str) -> dict[str, Evidence]:
        """What was learnt of a check's kinds of request."""
        return {kind: found for kind, found in self.evidence.items() if kind.startswith(f"{check}/")}

    def learnt(self, *, next_step: bool = False) -> dict[str, list[float]]:
        """What was learnt, as it is stored; of the next step, requests are counted anew."""
        found = {kind: entry.next_step() if next_step else entry for kind, entry in self.evidence.items()}
        return {kind: dump_evidence(entry) for kind, entry in found.items() if entry != Evidence()}

    def counted(self, check: str, component: str) -> int:
        """Requests of a component that this step was judged on by a check, of all sources."""
        mine = (self.evidence.get(kind_of(check, component, source)) for source in ("", *SOURCES))
        return sum(found.step.all for found in mine if found is not None)


def kind_of(check: str, component: str, source: str) -> str:
    """Name of a kind of request."""
    return f"{check}/{component}/{source}"
