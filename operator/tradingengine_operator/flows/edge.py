"""The edge flow: the one pod that trades is replaced only after promotion, and only with nothing in flight.

Whatever follows must be able to start: while something that its successor needs is missing, the pod stays. An edge that
is switched off goes in the same way, drained first; its journal stays for as long as the engine lives.

It needs no stored state: the world shows where it stands. Only the bound of one attempt to drain is kept in memory;
a killed operator begins that attempt again. A drain is a lease that the edge itself ends, so it is asked for again with
every look; an operator that is gone, paused or refused never keeps the edge closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

DRAIN_SECONDS = 60.0
RETRY_SECONDS = 300.0
#: An edge of a deleted engine that does not answer is asked for so long.
SILENT_SECONDS = 3.0
POLL_SECONDS = 1.0
UNREADY_POLL_SECONDS = 10.0


class Act(StrEnum):
    """What is asked for."""

    WRITE_TEMPLATE = "write-template"
    REPLACE_POD = "replace-pod"
    REMOVE = "remove"
    DRAIN = "drain"
    RESUME = "resume"


@dataclass(frozen=True)
class EdgeObservation:
    """The edge as the cluster and its own control API show it. `wanted` and the others are release numbers.

    `stopped` says that no container of the pod runs, as its kubelet last reported, so that nothing can be in flight.
    `leaving` says that the edge is switched off, `workload_exists` that its StatefulSet stands, and `lacks` that
    something is missing without which a pod of `wanted` cannot start.
    `reachable` is False when the control API did not answer; the fields below it then mean nothing.
    """

    wanted: int | None
    template: int | None = None
    pod: int | None = None
    pod_exists: bool = False
    terminating: bool = False
    stopped: bool = False
    leaving: bool = False
    workload_exists: bool = False
    lacks: bool = False
    reachable: bool = False
    draining: bool = False
    idle: bool = False
    recovered: bool = False


@dataclass(frozen=True)
class EdgeMemory:
    """The attempt to drain that runs, and when the next one may begin, in ticks of a clock that never jumps.

    `silent_since`: since when the edge of a deleted engine has not answered.
    """

    draining_since: float | None = None
    not_before: float | None = None
    silent_since: float | None = None


@dataclass(frozen=True)
class EdgeDecision:
    """The next memory, what is asked for, and when to look again."""

    memory: EdgeMemory
    acts: tuple[Act, ...] = ()
    recheck: float | None = None
    postponed: bool = False


def edge_step(memory: EdgeMemory, seen: EdgeObservation, now: float) -> EdgeDecision:
    """One look at the edge; `now` are seconds of a clock that never jumps."""
    if seen.leaving:
        return _leave(memory, seen, now)
    if seen.wanted is None:
        return EdgeDecision(EdgeMemory(), (Act.RESUME,) if seen.reachable and seen.draining else ())
    if seen.lacks and awaits_successor(seen):
        return _stay(seen)
    if seen.template is None or not seen.pod_exists:
        return _place(seen)
    if seen.terminating:
        return EdgeDecision(memory, _template(seen), POLL_SECONDS)
    if seen.pod == seen.wanted:
        return _keep(seen)
    if seen.stopped:
        return EdgeDecision(EdgeMemory(), (*_template(seen), Act.REPLACE_POD), POLL_SECONDS)
    return _drained(memory, seen, now, (*_template(seen), Act.REPLACE_POD))


def closing_step(memory: EdgeMemory, seen: EdgeObservation, now: float) -> EdgeDecision:
    """One look at the edge of a deleted engine: it is drained and goes, as one that is switched off.

    But it is not waited for longer than one attempt takes, since it goes with its engine in any case; `postponed` then
    says that it may have had something in flight. No `recheck`: there is nothing more to wait for.
    """
    if seen.terminating or not (seen.workload_exists or seen.pod_exists):
        return EdgeDecision(EdgeMemory())
    decision = edge_step(memory, replace(seen, leaving=True), now)
    if Act.REMOVE in decision.acts:
        return replace(decision, recheck=None)
    if not seen.reachable:
        since = memory.silent_since if memory.silent_since is not None else now
        if now - since < SILENT_SECONDS:
            return EdgeDecision(replace(memory, silent_since=since), recheck=POLL_SECONDS)
    if decision.postponed:
        return EdgeDecision(EdgeMemory(), postponed=True)
    return decision


def awaits_successor(seen: EdgeObservation) -> bool:
    """Whether there is an edge, and another one is to take its place."""
    if seen.leaving or seen.wanted is None or not seen.workload_exists:
        return False
    return seen.template != seen.wanted or (seen.pod_exists and seen.pod != seen.wanted)


def _stay(seen: EdgeObservation) -> EdgeDecision:
    """The successor could not start: what is there goes on, template and pod."""
    acts = (Act.RESUME,) if seen.reachable and seen.draining else ()
    return EdgeDecision(EdgeMemory(), acts, UNREADY_POLL_SECONDS, postponed=True)


def _leave(memory: EdgeMemory, seen: EdgeObservation, now: float) -> EdgeDecision:
    """The edge is switched off: its StatefulSet goes first, or it would make the pod again."""
    if not seen.workload_exists and not seen.pod_exists:
        return EdgeDecision(EdgeMemory())
    if seen.terminating and not seen.workload_exists:
        return EdgeDecision(memory, (), POLL_SECONDS)
    if seen.terminating or seen.stopped or not seen.pod_exists:
        return EdgeDecision(EdgeMemory(), (Act.REMOVE,), POLL_SECONDS)
    return _drained(memory, seen, now, (Act.REMOVE,))


def _template(seen: EdgeObservation) -> tuple[Act, ...]:
    return (Act.WRITE_TEMPLATE,) if seen.template != seen.wanted else ()


def _place(seen: EdgeObservation) -> EdgeDecision:
    """Nobody trades now, so the template may be written."""
    return EdgeDecision(EdgeMemory(), (Act.WRITE_TEMPLATE,), None if seen.pod_exists else UNREADY_POLL_SECONDS)


def _keep(seen: EdgeObservation) -> EdgeDecision:
    """The right pod. Its template is applied again (drift), and a drain that was left behind is taken back."""
    acts: tuple[Act, ...] = (Act.WRITE_TEMPLATE,)
    if seen.reachable and seen.draining:
        return EdgeDecision(EdgeMemory(), (*acts, Act.RESUME), POLL_SECONDS)
    settled = seen.reachable and seen.recovered
    return EdgeDecision(EdgeMemory(), acts, None if settled else UNREADY_POLL_SECONDS)


def _drained(memory: EdgeMemory, seen: EdgeObservation, now: float, then: tuple[Act, ...]) -> EdgeDecision:
    """Drain, bounded, and `then` once it is idle. An edge that does not answer may be trading: it is waited for."""
    if not seen.reachable:
        return EdgeDecision(replace(memory, draining_since=None), recheck=UNREADY_POLL_SECONDS, postponed=True)
    if memory.not_before is not None and now < memory.not_before:
        wait = memory.not_before - now
        acts = (Act.RESUME,) if seen.draining else ()
        return EdgeDecision(memory, acts, max(POLL_SECONDS, wait), postponed=True)
    if not seen.draining:
        return EdgeDecision(EdgeMemory(draining_since=now), (Act.DRAIN,), POLL_SECONDS)
    since = memory.draining_since if memory.draining_since is not None else now
    if now - since >= DRAIN_SECONDS:
        return EdgeDecision(refused(now), (Act.RESUME,), RETRY_SECONDS, postponed=True)
    # Renewed before anything is written too, so that the edge stays closed until its pod is gone.
    return EdgeDecision(EdgeMemory(draining_since=since), (Act.DRAIN, *(then if seen.idle else ())), POLL_SECONDS)


def refused(now: float) -> EdgeMemory:
    """The memory after an attempt that led to nothing."""
    return EdgeMemory(not_before=now + RETRY_SECONDS)
