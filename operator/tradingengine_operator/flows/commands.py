"""Commands of people: each done once, by the id that the state remembers, and only for the release that it means.

A command changes what a release waits for, never what it is judged by: no weight rises on a missing or a bad sample,
whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from .actions import Action, Announce
from .analysis import Failure
from .command import Command, Unreadable
from .conditions import explain
from .moves import next_number, withdraw
from .observation import ReleaseObservation
from .policy import Policy
from .rollback import Refused, rollback
from .state import Acknowledged, Candidate, Override, Pause, ReleaseState, Stage, advanced
from .upgrade import is_tried, stable_hash
from .window import start_gate

Outcome = Literal["Done", "Refused", "Ignored"]
#: Ids that are remembered: a command that comes back among so many others is not done again.
REMEMBERED = 20


@dataclass(frozen=True)
class _Answer:
    """What became of a command, and the state after it."""

    state: ReleaseState
    outcome: Outcome
    message: str
    once: tuple[Action, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """A command with the world that it meets."""

    command: Command
    seen: ReleaseObservation
    policy: Policy
    now: datetime


_Act = Callable[[ReleaseState, _Asked], _Answer]


def obey(
    state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime
) -> tuple[ReleaseState, tuple[Action, ...]]:
    """The state after the command in the annotation, with its acknowledgement; unchanged when that was given before."""
    command = seen.command
    if command is None or command.id in state.commands:
        return state, ()
    if isinstance(command, Unreadable):
        answer = _refused(state, command.message, command.mend)
        release = None
    else:
        answer = _ACTS[command.act](state, _Asked(command, seen, policy, now))
        release = command.release
    words = answer.message[:512]
    said = Acknowledged(command.id, command.act, answer.outcome, words, now, release, command.by)
    known = [*state.commands, command.id][-REMEMBERED:]
    about = " ".join(part for part in (command.act, f"of release {release}" if release else "") if part)
    news = Announce(
        f"Command{answer.outcome}",
        f"{about or 'command'} ({command.id}): {words}",
        warning=answer.outcome != "Done",
    )
    return advanced(answer.state, command=said, commands=known), (news, *answer.once)


def _abort(state: ReleaseState, candidate: Candidate, asked: _Asked) -> _Answer:
    if state.stable is None:
        return _refused(state, "nothing else serves yet", "ask for another version; it takes the place of this one")
    moved = withdraw(state, candidate, Failure("Aborted", f"aborted{_by(asked.command)}"), asked.now)
    return _Answer(moved.state, "Done", "weight 0 from now on; retry lets it try again", moved.once)


def _retry(state: ReleaseState, asked: _Asked) -> _Answer:
    verdict = state.withdrawn
    if verdict is None or verdict.release != asked.command.release:
        return _ignored(state, asked.command)
    return _Answer(advanced(state, withdrawn=None), "Done", "the same is tried again, under a new number")


def _pause(state: ReleaseState, candidate: Candidate, asked: _Asked) -> _Answer:
    if state.stable is None:
        return _refused(state, "a first release is not held: nothing else serves", "pause the next one")
    held = candidate.held + (asked.seen.judged if candidate.stage is Stage.HOLDING else 0.0)
    pause = candidate.paused or Pause(asked.now, asked.command.by, asked.command.reason[:256])
    words = "held where it is, and judged on: a failing check still withdraws it"
    return _changed(state, replace(candidate, paused=pause, held=held), words)


def _resume(state: ReleaseState, candidate: Candidate, asked: _Asked) -> _Answer:
    if candidate.paused is None:
        return _refused(state, "it is not paused", "nothing is to be done")
    # What it was given to become ready in begins anew: nobody waited for it while it was paused.
    since = asked.now if candidate.stage is Stage.STARTING else candidate.stage_at
    return _changed(state, replace(candidate, paused=None, stage_at=since), "it goes on")


def _promote(state: ReleaseState, candidate: Candidate, asked: _Asked) -> _Answer:
    if state.stable is None:
        return _refused(state, "a first release takes all the weight as soon as it is ready", "wait for its pods")
    if candidate.paused is not None:
        return _refused(state, "it is paused", "resume it first")
    if not asked.policy.rising:
        return _refused(state, "its specification is not understood", "correct the specification first")
    if asked.command.full:
        words = "it goes to 100 % without the remaining holds, at each step on good samples of now"
        return _changed(state, replace(candidate, full=True), words)
    if candidate.stage not in {Stage.SHIFTING, Stage.HOLDING}:
        return _refused(state, "it has no weight yet, so there is no hold to end", "wait until it has, or say full")
    return _changed(state, replace(candidate, ended=True), "the hold ends with the next good samples")


def _rollback(state: ReleaseState, asked: _Asked) -> _Answer:
    command = asked.command
    there = {entry.release for entry in (state.candidate, state.stable) if entry is not None}
    if command.release not in there:
        return _ignored(state, command)
    found = rollback(state, command.to, asked.seen, asked.now, command.reason)
    if isinstance(found, Refused):
        return _refused(
            state, found.message, "see the records: kubectl get configmap -l app.kubernetes.io/component=release"
        )
    record = found.pin.record if found.pin is not None else "that is asked for"
    return _Answer(found, "Done", f"the record {record} stands for the specification until that changes")


def _start(state: ReleaseState, asked: _Asked) -> _Answer:
    """It lets what is asked for now run in spite of market hours, for this one run."""
    command, seen = asked.command, asked.seen
    meant = _under_way(state)
    number = meant.release if meant is not None else next_number(state, seen)
    if command.release != number:
        return _Answer(state, "Ignored", f"it means release {command.release}, and the one that waits is {number}")
    if start_gate(state, seen, asked.policy, asked.now, step=meant.step if meant is not None else 0) is None:
        return _refused(state, "nothing waits for market hours", "nothing is to be done")
    if meant is None and (is_tried(state, seen) or stable_hash(state, seen) == seen.template_hash):
        return _refused(state, "no release waits", "change the specification, or retry what was withdrawn")
    override = Override(seen.template_hash, seen.requested, asked.now, command.reason[:256], command.by)
    words = f"it runs whatever market is open{_by(command)}"
    return _Answer(advanced(state, override=override), "Done", words)


def _reaching(act: Callable[[ReleaseState, Candidate, _Asked], _Answer]) -> _Act:
    """An act on the release that a person can reach, if the command means that one."""

    def reach(state: ReleaseState, asked: _Asked) -> _Answer:
        candidate = _under_way(state)
        if candidate is None or candidate.release != asked.command.release:
            return _ignored(state, asked.command)
        return act(state, candidate, asked)

    return reach


_ACTS: dict[str, _Act] = {
    "abort": _reaching(_abort),
    "retry": _retry,
    "pause": _reaching(_pause),
    "resume": _reaching(_resume),
    "promote": _reaching(_promote),
    "rollback": _rollback,
    "start": _start,
}


def _changed(state: ReleaseState, candidate: Candidate, words: str) -> _Answer:
    """With what is under way, or waits for a market's close, as it is now."""
    place = "candidate" if state.candidate is not None else "deferred"
    return _Answer(advanced(state, **{place: candidate}), "Done", words)


def _under_way(state: ReleaseState) -> Candidate | None:
    """The release that a person can reach: the one that is on its way up, or that waits for a market's close."""
    return state.candidate or state.deferred


def _refused(state: ReleaseState, message: str, mend: str) -> _Answer:
    return _Answer(state, "Refused", explain(message, mend))


def _ignored(state: ReleaseState, command: Command) -> _Answer:
    """It means another release, or one that is not where the act could reach it."""
    under_way = _under_way(state)
    if under_way is not None:
        there = f"release {under_way.release} is under way"
    elif state.withdrawn is not None:
        there = f"release {state.withdrawn.release} was withdrawn, none is under way"
    elif state.stable is not None:
        there = f"release {state.stable.release} serves, none is under way"
    else:
        there = "there is no release yet"
    return _Answer(state, "Ignored", f"it means release {command.release}, and {there}")


def _by(command: Command) -> str:
    """Who and why, as far as they are known."""
    who = f" by {command.by}" if command.by else ""
    return f"{who}: {command.reason}" if command.reason else who
