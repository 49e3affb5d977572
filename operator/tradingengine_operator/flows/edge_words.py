"""What people are told of the edge. Pure: a healthy start, restart or change never reads like a failure.

What has not answered since it started is told apart from what answered and fell silent, and a pod that starts from one
whose container ended. Every patience has an end: what does not come up in time is said to have failed, with its cause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from .conditions import explain
from .edge import EdgeObservation
from .pod_observation import Life

#: How long a pod may take to be made, to find its node and volume and to get its image, and its journal to be opened.
START_SECONDS = 180.0
#: As long as a startup probe waits. What a kubelet said earlier may be its last word before its link was cut.
COMING_SECONDS = 120.0
#: How long a pod may refuse the operator's token: kubelets bring a changed Secret within a minute or two.
TOKEN_SECONDS = 180.0


class Heard(StrEnum):
    """What the control API answered."""

    NOTHING = "nothing"
    REFUSAL = "refusal"
    """401: it runs, and knows another token."""
    OPENING = "opening"
    """It runs, and cannot say anything of its journal yet."""
    STATE = "state"


class Stage(StrEnum):
    """How far an edge is that does not tell its state."""

    COMING = "coming"
    BEHIND = "behind"
    LATE = "late"
    REFUSING = "refusing"
    SILENT = "silent"


@dataclass(frozen=True)
class EdgeLook:
    """One look at the edge, for words. `life` is None while there is no pod, `stable` before a first release serves.

    `journal` and `workload` name its claim and, for `kubectl`, its StatefulSet.
    `says` is what the edge itself says keeps it from trading, or from opening its journal. `ran` is the release that an
    edge of this engine last said it runs, None before any did. `heard_at` is when a status last changed that could only
    be written after this edge had been heard: it tells an operator that was just started.
    """

    seen: EdgeObservation
    stable: int | None
    postponed: bool
    life: Life | None
    heard: Heard
    ready: bool = False
    says: str = ""
    ran: int | None = None
    heard_at: datetime | None = None
    journal: str = ""
    workload: str = ""


@dataclass(frozen=True)
class WordMemory:
    """Which run of the pod was heard, and since when there is no pod, or its pod refuses the token.

    All moments are of a clock that nobody sets, and so is every `now` here.

    `untold_pod` (a uid) has told no state since `untold_since`, in one run or in several: a container that is started
    again and again does not begin the patience anew, and neither does a silence between refusals.

    All of it can be lost: an operator that was just started is patient anew, at most as long as each patience lasts.
    """

    run: str = ""
    absent_since: datetime | None = None
    refused_since: datetime | None = None
    untold_pod: str = ""
    untold_since: datetime | None = None


@dataclass(frozen=True)
class EdgeWords:
    """The word of the EDGE column, and the condition EdgeReady."""

    state: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def remember(memory: WordMemory, look: EdgeLook, now: datetime) -> WordMemory:
    """The memory after a look."""
    heard = look.heard in {Heard.STATE, Heard.REFUSAL} and look.life is not None
    before = look.life is not None and look.heard_at is not None and look.heard_at >= look.life.begun
    run = look.life.run if look.life is not None and (heard or (before and not memory.run)) else memory.run
    told = look.heard is Heard.STATE
    refused_since = memory.refused_since or (now if look.heard is Heard.REFUSAL else None)
    untold_pod, untold_since = ("", None) if told else _untold(memory, look.life, run, now)
    return WordMemory(
        run=run,
        absent_since=(memory.absent_since or now) if look.life is None and look.seen.wanted is not None else None,
        refused_since=None if told else refused_since,
        untold_pod=untold_pod,
        untold_since=untold_since,
    )


def _untold(memory: WordMemory, life: Life | None, heard_run: str, now: datetime) -> tuple[str, datetime | None]:
    """The pod that has told no state, and since when it could have: not while it is made, ends, or is cut off."""
    if life is None:
        return "", None
    if memory.untold_pod == life.pod:
        return memory.untold_pod, memory.untold_since
    could = life.placed and not life.ending and life.run != heard_run
    return (life.pod, now) if could else ("", None)


def edge_words(memory: WordMemory, look: EdgeLook, now: datetime) -> EdgeWords:
    """Word, status, reason and message; `memory` is the one after this look."""
    if look.seen.leaving:
        return _leaving(look)
    words = _telling(look) if look.heard is Heard.STATE else _silence(memory, look, now)
    if look.stable is None:
        state = "Waiting" if look.life is None else words.state
        return EdgeWords(state, "Unknown", "WaitsForRelease", "the edge starts once a first release serves")
    if look.seen.wanted is None:
        message = f"the record of release {look.stable} is missing; the edge stays as it is"
        return replace(words, status="Unknown", reason="RecordMissing", message=message)
    return words


def _leaving(look: EdgeLook) -> EdgeWords:
    """The edge is switched off, and goes once it is idle."""
    seen = look.seen
    if not seen.workload_exists and not seen.pod_exists:
        message = f"spec.edge.enabled is false; the claim with the journal stays: {look.journal}"
        return EdgeWords("Disabled", "True", "Disabled", message)
    if not look.postponed:
        return EdgeWords("Stopping", "False", "Stopping", "spec.edge.enabled is false; the edge is drained, then ends")
    if seen.reachable:
        message = "spec.edge.enabled is false; orders are in flight, so the edge goes on and is drained again later"
        return EdgeWords("Connected", "True", "StopPostponed", message)
    message = "spec.edge.enabled is false, but the edge does not answer and may be trading, so it is left alone"
    mend = "see that its node and link work; one that surely does not trade ends by `kubectl delete statefulset"
    return EdgeWords("Unreachable", "False", "StopPostponed", explain(message, f"{mend} {look.workload}`"))


def lacking(words: EdgeWords, reason: str, message: str, mend: str) -> EdgeWords:
    """What the successor of this edge needs is missing, so the edge goes on as it is, or does not start at all."""
    if words.reason == "UpdatePostponed":
        return replace(words, message=explain(f"{message}; the edge goes on as it is", mend))
    return with_trouble(words, reason, explain(message, mend))


def with_trouble(words: EdgeWords, reason: str, message: str) -> EdgeWords:
    """The condition speaks of what keeps the pod from running instead."""
    return replace(words, status="False", reason=reason, message=message)


def _silence(memory: WordMemory, look: EdgeLook, now: datetime) -> EdgeWords:
    """The edge does not tell its state."""
    stage, cause = _stage(memory, look, now)
    match stage:
        case Stage.COMING if _changes(look):
            return EdgeWords(
                "Updating", "False", "Updating", f"the edge changes to release {look.seen.wanted}; {cause}"
            )
        case Stage.COMING:
            crashed = look.life is not None and look.life.restarts > 0
            word = "Restarting" if crashed or look.ran is not None else "Starting"
            return EdgeWords(word, "False", word, cause)
        case Stage.BEHIND:
            return EdgeWords("Waiting", "False", "WaitsForToken", cause)
        case Stage.LATE:
            return EdgeWords("DidNotStart", "False", "DidNotStart", cause)
        case Stage.REFUSING:
            return EdgeWords("Refusing", "False", "TokenRefused", cause)
        case Stage.SILENT:
            return EdgeWords("Unreachable", "False", "Unreachable", cause)


def _telling(look: EdgeLook) -> EdgeWords:
    """The edge tells its state."""
    seen = look.seen
    if look.postponed:
        message = "orders are in flight; the edge is replaced once it is idle"
        return EdgeWords("Connected", "True", "UpdatePostponed", message)
    if seen.wanted is not None and seen.pod != seen.wanted:
        return EdgeWords("Updating", "False", "Updating", f"the edge changes to release {seen.wanted}")
    if look.says:
        return EdgeWords("Connected", "False", "CannotTrade", look.says)
    if not seen.recovered or not look.ready:
        return EdgeWords("Connected", "False", "Recovering", "the edge reconciles its journal with the broker")
    return EdgeWords("Connected", "True", "Ready")


def _changes(look: EdgeLook) -> bool:
    """Whether what does not tell its state does so because a promotion replaces it."""
    wanted, life = look.seen.wanted, look.life
    if wanted is None or (life is not None and life.restarts > 0 and not life.ending):
        return False
    if look.seen.pod_exists and look.seen.pod != wanted:
        return not look.postponed
    return look.ran is not None and look.ran != wanted


def _stage(memory: WordMemory, look: EdgeLook, now: datetime) -> tuple[Stage, str]:
    """How far it is, and the words for it."""
    life = look.life
    if look.heard is Heard.REFUSAL:
        return _refused(memory, now)
    if life is None:
        waited = _seconds(memory.absent_since, now)
        coming = "waits for its StatefulSet to make the pod"
        late = f"the StatefulSet of the edge has made no pod for {_minutes(START_SECONDS)}"
        return (Stage.COMING, coming) if waited < START_SECONDS else (Stage.LATE, explain(late, _mend(None)))
    waited = _seconds(life.begun, now)
    if life.ending:
        return (Stage.COMING, "waits for its pod to end") if waited < COMING_SECONDS else _silent()
    if not life.placed:
        if waited < START_SECONDS:
            return Stage.COMING, f"waits for its pod to run; that waits for {life.waits}"
        late = f"the edge's pod does not run after {_minutes(START_SECONDS)}: {life.hindered or life.waits}"
        return Stage.LATE, explain(late, _mend(life))
    if memory.untold_pod == life.pod:
        waited = max(waited, _seconds(memory.untold_since, now))
    if look.heard is Heard.OPENING:
        if waited < START_SECONDS:
            return Stage.COMING, look.says or "waits for its journal to be opened"
        late = f"the edge's journal is not open after {_minutes(START_SECONDS)}: {look.says}"
        return Stage.LATE, explain(late, _mend(life))
    fresh = not life.started or memory.run != life.run
    return (Stage.COMING, _coming(life)) if fresh and waited < COMING_SECONDS else _silent()


def _coming(life: Life) -> str:
    if life.restarts and life.ended:
        return f"its container ended ({life.ended}) and was started again; its pod does not answer yet"
    return "waits for its pod to answer"


def _refused(memory: WordMemory, now: datetime) -> tuple[Stage, str]:
    if _seconds(memory.refused_since, now) < TOKEN_SECONDS:
        return Stage.BEHIND, "the edge runs on; waits for its kubelet to bring it the new control token"
    message = f"the edge has refused the operator's control token for {_minutes(TOKEN_SECONDS)}"
    mend = "delete the edge's pod while it has no order in flight, so that it reads the Secret anew; it trades on"
    return Stage.REFUSING, explain(message, mend)


def _silent() -> tuple[Stage, str]:
    mend = "see that the edge's node is up and its link works; it trades on by itself"
    return Stage.SILENT, explain("the edge does not answer", mend)


def _mend(life: Life | None) -> str:
    return f"see `kubectl describe pod {life.name}`" if life else "see the events of the StatefulSet of the edge"


def _seconds(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since is not None else 0.0


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes"
