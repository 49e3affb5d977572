"""Cases: which engine, what is changed in it, which one fault is put in, and when. All of it follows from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tradingengine_operator.api import BUILT_IN, TradingEngineSpec

from .neighbours import Change, Path, Spec, changed, likely_refused, neighbours

#: Engines that changes begin from, beyond what all of them have; each has a namespace and an operator of its own.
DESKS: tuple[Spec, ...] = (
    {},
    {"edge": {"enabled": False}},
    {
        "database": {"type": "managed", "managed": {"secretName": "pg"}},
        "cache": {"type": "managed", "managed": {"secretName": "redis"}},
    },
    {
        "host": "third.localhost",
        "api": {
            "replicas": {"min": 1, "max": 2},
            "targetCPU": 70,
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
        },
    },
    {"deletionPolicy": "delete", "edge": {"egress": [{"cidr": "203.0.113.0/24", "port": 443}]}},
    {
        "rollout": {
            "steps": [{"weight": 1, "hold": "1s"}, {"weight": 50, "hold": "1s"}, {"weight": 100}],
            "noDataBudget": "5s",
            "warmSlot": "0s",
            "historyLimit": 3,
        }
    },
    {"rollout": {"steps": [{"weight": 100}], "noDataBudget": "5s", "warmSlot": "0s", "checks": []}},
    {"marketData": {"source": "replay", "replay": {"claimName": "recordings", "speed": 10}}},
    {
        "environment": "staging",
        "segments": ["NSE_EQ", "MCX"],
        "risk": {"dailyLoss": 1000, "cash": {"order": 20000, "position": 50000}, "ordersPerSecond": 3},
        "images": {"api": "localhost/own-api:1", "pullPolicy": "Always"},
        "secrets": {"type": "kubernetes"},
    },
    {
        "database": {"type": "embedded", "embedded": {"storage": "2Gi"}},
        "cache": {"type": "embedded", "embedded": {"storage": "256Mi"}},
        "marketData": {"simulator": {"seed": 7}},
    },
)
#: Share of changes that the API server is expected to refuse; the rest reaches the operator.
REFUSED_SHARE = 0.1
#: Share of changes of several fields at once.
SEVERAL_SHARE = 0.2
#: Share of cases whose new release answers with errors, so that it must not be promoted.
SICK_SHARE = 0.25
#: Kinds whose watches are disturbed.
WATCHED = ("tradingengines", "pods", "deployments", "statefulsets", "jobs", "configmaps", "httproutes", "services")
STATUSES = (409, 429, 500, 503)
#: Things go wrong in the first moments of a change more often than later.
_LATEST = 40


@dataclass(frozen=True)
class Fault:
    """One fault.

    `kind`: crash-before and crash-after (of write number `at`), refuse-write, refuse-read, lose-answer, stall, lag,
    drop, cut or gone. `plural` is the kind of a disturbed watch, empty for all; `status` an answer; `times` how often
    it is given; `seconds` how long it lasts; `back` puts it into the way back.
    """

    kind: str
    at: int = 0
    plural: str = ""
    status: int = 0
    times: int = 1
    seconds: float = 0.0
    back: bool = False

    def __str__(self) -> str:
        words = {
            "crash-before": f"the operator is killed before its write {self.at}, and started again",
            "crash-after": f"the operator is killed after its write {self.at}, before it hears of that, and begun anew",
            "refuse-write": f"write {self.at} and as many as follow are answered {self.status}, {self.times} in all",
            "refuse-read": f"read {self.at} and as many as follow are answered {self.status}, {self.times} in all",
            "lose-answer": f"write {self.at} is done and its answer is lost",
            "stall": f"call {self.at} is never answered",
            "lag": f"events of {self.plural or 'all kinds'} arrive {self.seconds:g} s late",
            "drop": f"events of {self.plural or 'all kinds'} are lost for {self.seconds:g} s, and then the history",
            "cut": f"watches of {self.plural or 'all kinds'} are cut at write {self.at}",
            "gone": f"watches of {self.plural or 'all kinds'} are cut at write {self.at} and answered 410",
        }
        return f"{words[self.kind]}, on the way {'back' if self.back else 'there'}"


FAULTS = (
    "crash-before", "crash-after", "refuse-write", "refuse-read", "lose-answer", "stall", "lag", "drop", "cut", "gone",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One state: the number of its desk, what is changed there, the fault, and whether the new release is sick."""

    number: int
    desk: int
    before: Spec
    changes: tuple[Change, ...]
    fault: Fault
    sick: bool

    @property
    def after(self) -> Spec:
        """The specification that is applied."""
        return changed(self.before, self.changes)

    def __str__(self) -> str:
        what = "; ".join(str(change) for change in self.changes)
        health = "; what is new answers with errors" if self.sick else ""
        return f"case {self.number} (desk {self.desk}): {what}{health}; {self.fault}"


def desk_spec(number: int, prometheus: str) -> Spec:
    """What a desk begins with; `prometheus` is the address of its metrics server."""
    whole: Spec = {
        "version": "0.1.0",
        "host": f"desk-{number}.localhost",
        "api": {"replicas": {"min": 1, "max": 3}},
        "gateway": {"throttle": "200ms"},
        "monitoring": {"prometheus": prometheus},
        "rollout": {
            "steps": [{"weight": 50, "hold": "1s"}, {"weight": 100}],
            "noDataBudget": "5s",
            "warmSlot": "0s",
        },
    }
    return {**whole, **DESKS[number]}


def draw_case(seed: int, number: int, prometheus: str) -> Case:
    """Case `number` of a seed; the same two always make the same case."""
    rng = random.Random(f"{seed}/{number}")
    desk = number % len(DESKS)
    before = desk_spec(desk, prometheus)
    changes = _draw_changes(rng, before)
    sick = rng.random() < SICK_SHARE and judged(changed(before, changes), changes)
    return Case(number, desk, before, changes, _draw_fault(rng), sick)


def judged(after: Spec, changes: tuple[Change, ...]) -> bool:
    """Whether a release with errors is withdrawn under this specification: checks and metrics server as they were."""
    rollout: Any = after.get("rollout") or {}
    own = {change.path[0] for change in changes} & {"rollout", "monitoring", "paused"}
    return not own and len(rollout.get("steps") or ()) > 1


def asks_metrics(checks: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any check is on, so that a release is asked about: a built-in one is until it is switched off by name."""
    given = {check["name"]: bool(check.get("disabled")) for check in checks}
    on = {name for name, off in given.items() if not off}
    return bool(on) or not BUILT_IN.keys() <= given.keys()


def _draw_changes(rng: random.Random, before: Spec) -> tuple[Change, ...]:
    fields = _fields(json.dumps(before, sort_keys=True))
    refused = rng.random() < REFUSED_SHARE
    number = rng.choice((2, 3)) if not refused and rng.random() < SEVERAL_SHARE else 1
    while True:
        paths = sorted(fields, key=str)
        changes = tuple(rng.choice(fields[path]) for path in rng.sample(paths, number))
        try:
            after = changed(before, changes)
        except (KeyError, IndexError, TypeError):
            continue  # one of the changes took away what another one is about
        if likely_refused(before, after) == refused and (refused or not _same(before, after)):
            return changes


@cache
def _fields(before: str) -> dict[Path, list[Change]]:
    return neighbours(json.loads(before))


def _same(before: Spec, after: Spec) -> bool:
    """Whether both say the same, defaults filled in."""
    try:
        return TradingEngineSpec.model_validate(before) == TradingEngineSpec.model_validate(after)
    except ValueError:
        return False


def _draw_fault(rng: random.Random) -> Fault:
    kind = rng.choice(FAULTS)
    at = int(_LATEST ** rng.random()) - 1
    back = rng.random() < 0.5
    plural = rng.choice((*WATCHED, ""))
    if kind in {"refuse-write", "refuse-read"}:
        return Fault(kind, at, status=rng.choice(STATUSES), times=rng.choice((1, 3, 6)), back=back)
    if kind in {"lag", "drop"}:
        return Fault(kind, plural=plural, seconds=rng.choice((2.0, 5.0, 15.0)), back=back)
    if kind in {"cut", "gone"}:
        return Fault(kind, at, plural=plural, back=back)
    return Fault(kind, at, back=back)
