"""What the release flow remembers: stored whole, with absolute times, so that a killed operator goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from tradingengine_operator.api import Slot
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.errors import RecordError

#: Grows when an older operator could not go on from what it reads; a field that it may ignore is no reason.
FORMAT = 1


def other(slot: Slot) -> Slot:
    """The slot beside this one."""
    return "b" if slot == "a" else "a"


class Stage(StrEnum):
    """Where a candidate stands on its way up."""

    RECORDING = "recording"
    MIGRATING = "migrating"
    STARTING = "starting"
    SHIFTING = "shifting"
    HOLDING = "holding"


class Leaving(StrEnum):
    """Where a release stands on its way down."""

    REROUTING = "rerouting"
    QUIETING = "quieting"
    CLOSING = "closing"
    WARM = "warm"


@dataclass(frozen=True)
class Placed:
    """A release in a slot."""

    slot: Slot
    release: int


@dataclass(frozen=True)
class Schema:
    """What a release's migrations said of the database's schema; revisions grow as text.

    `revision` is what it expands to. `contract` is the newest revision that takes an old form away and that this
    release can do without; empty when it knows none.
    """

    revision: str = ""
    contract: str = ""


@dataclass(frozen=True)
class Pin:
    """A record that a person went back to: it stands for the wish until that changes.

    `overruled` is the hash of the wish that does not count meanwhile; `template_hash` and `requested` are the record's.
    `left` is the release that served when it was asked.
    """

    record: int
    template_hash: str
    requested: str
    overruled: str
    at: datetime
    reason: str = ""
    left: int = 0


@dataclass(frozen=True)
class CheckCount:
    """Counters of one check: failing samples since the last good one, and since when what it needs is missing.

    `failed_at` is when the newest failing sample was taken.
    """

    failures: int = 0
    failed_at: datetime | None = None
    silent_since: datetime | None = None
    both_since: datetime | None = None


def moved_by(count: CheckCount, by: timedelta) -> CheckCount:
    """The same after the wall clock was set by so much."""
    moved: dict[str, Any] = {name: value + by for name, value in _times_of(count).items()}
    return replace(count, **moved)


def _not_after(count: CheckCount, latest: datetime, now: datetime) -> CheckCount:
    ahead: dict[str, Any] = {name: now for name, value in _times_of(count).items() if value > latest}
    return replace(count, **ahead)


def _times_of(count: CheckCount) -> dict[str, datetime]:
    times = {name: getattr(count, name) for name in ("failed_at", "silent_since", "both_since")}
    return {name: value for name, value in times.items() if value is not None}


@dataclass(frozen=True)
class Pause:
    """A person holds a release where it is: who, why, and since when."""

    since: datetime
    by: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Candidate:
    """The release that is on its way up; `weight` is the intent, in tenths of a percent.

    `held` are the seconds for which this step was judged, `evidence` what was learnt by kind of request
    (`flows/sequential.py`), both as of the last time they were stored; `checks` are counters by name. `pods` are the
    ready pods by component that it had when it got its weight, `floor` those that the stable release wanted
    when the run began. A person may have ended the hold of this step (`ended`), or those of all that follow (`full`).
    """

    slot: Slot
    release: int
    template_hash: str
    stage: Stage
    started_at: datetime
    stage_at: datetime
    step: int = 0
    weight: int = 0
    step_started_at: datetime | None = None
    held: float = 0.0
    checks: dict[str, CheckCount] = field(default_factory=dict)
    evidence: dict[str, list[float]] = field(default_factory=dict)
    unready_since: datetime | None = None
    restarts: dict[str, int] = field(default_factory=dict)
    pods: dict[str, int] = field(default_factory=dict)
    floor: dict[str, int] = field(default_factory=dict)
    requested: str = ""
    paused: Pause | None = None
    ended: bool = False
    full: bool = False
    #: It is taken back from the warm slot: all the weight in one step.
    at_once: bool = False
    #: Its pods were closed when it gave way to a market: they are opened again before it gets any weight.
    closed: bool = False
    schema: Schema | None = None
    #: The prober runs the program of this release, since the one that serves did not start.
    probes_itself: bool = False


@dataclass(frozen=True)
class Retirement:
    """The release that is on its way down. With `until` it stays warm till then; without, its pods go.

    `aside`: it never served everybody, and waits for a market's close. It goes on in its step, and is not gone back to.
    """

    slot: Slot
    release: int
    stage: Leaving
    stage_at: datetime
    until: datetime | None = None
    schema: Schema | None = None
    aside: bool = False


@dataclass(frozen=True)
class Verdict:
    """Why the last release was withdrawn; it is not tried again while the specification asks for the same.

    `requested` is the hash of what was asked for: another version of the operator renders it otherwise. `query` shows
    what the `check` saw; its placeholders stay.
    """

    release: int
    template_hash: str
    reason: str
    message: str
    at: datetime
    value: str | None = None
    limit: str | None = None
    requested: str = ""
    check: str = ""
    query: str | None = None

    @property
    def words(self) -> str:
        """The whole for people: what happened, and where a check found it, which one, when, and what shows it."""
        if not self.check:
            return self.message
        figures = {"check": self.check, "value": self.value, "limit": self.limit, "at": render_time(self.at)}
        said = ", ".join(f"{name} {text}" for name, text in figures.items() if text)
        return f"{self.message} ({said})" + (f"; query: {self.query}" if self.query else "")


@dataclass(frozen=True)
class Override:
    """A person let a wish run in spite of market hours: which one (`requested`, however it is rendered), and why."""

    template_hash: str
    requested: str
    at: datetime
    reason: str
    by: str = ""


@dataclass(frozen=True)
class Acknowledged:
    """What became of a command: `outcome` is Done, Refused or Ignored, `release` the one that it was about."""

    id: str
    act: str
    outcome: str
    message: str
    at: datetime
    release: int | None = None
    by: str = ""


@dataclass(frozen=True)
class Contracting:
    """The Job that takes an old form of the schema away, for the release that serves; tried again after a failure."""

    release: int
    revision: str
    since: datetime
    failed: bool = False


@dataclass(frozen=True)
class ReleaseState:
    """The whole.

    `serial` grows with every change, so that the newest of two copies is known; `last` is the highest number that was
    ever given, since a cookie may still name it; `stable_hash` is what the stable release is made of, known even when
    its record is lost, and `stable_requested` what was asked for; `pin` is what a person went back to; `contracted` is
    the newest contract of the schema that was ever begun: what needs an older form cannot serve again.
    `command` is the last one that was acknowledged, `commands` are the ids of the last ones: none is done again.
    `deferred` is a release that lost its weight because a market opened, and goes on after the close; `override` says
    which wish waits for no market.
    """

    serial: int = 0
    last: int = 0
    stable: Placed | None = None
    candidate: Candidate | None = None
    retiring: Retirement | None = None
    withdrawn: Verdict | None = None
    finished_at: datetime | None = None
    stable_hash: str = ""
    stable_requested: str = ""
    pin: Pin | None = None
    command: Acknowledged | None = None
    commands: list[str] = field(default_factory=list)
    deferred: Candidate | None = None
    override: Override | None = None
    stable_schema: Schema | None = None
    contracted: str = ""
    contracting: Contracting | None = None

    def weights(self) -> dict[Slot, int]:
        """Intended weights of both slots, in tenths of a percent; both 0 before anything serves."""
        result: dict[Slot, int] = {"a": 0, "b": 0}
        canary = self.candidate.weight if self.candidate is not None else 0
        if self.candidate is not None:
            result[self.candidate.slot] = canary
        if self.stable is not None:
            result[self.stable.slot] = FULL - canary
        return result

    def live(self) -> tuple[Placed, ...]:
        """Releases whose cookie is followed: those that have weight, the stable one first.

        Who goes back at once takes everybody along: nobody stays with the release that is left.
        """
        candidate = self.candidate if self.candidate is not None and self.candidate.weight > 0 else None
        left = candidate is not None and candidate.at_once
        placed = [self.stable] if self.stable is not None and not left else []
        if candidate is not None:
            placed.append(Placed(candidate.slot, candidate.release))
        return tuple(placed)

    def trying(self) -> Slot | None:
        """The slot that who asks for the new release is given, whatever its weight; None while there is no canary."""
        candidate = self.candidate
        if candidate is None or self.stable is None or candidate.at_once or not candidate.weight:
            return None
        return candidate.slot

    def referenced(self) -> frozenset[int]:
        """Numbers of the records that a slot, or a contract's Job, is made from, or is to be."""
        runs = self.contracting if self.contracting is not None and not self.contracting.failed else None
        placed = (self.stable, self.candidate, self.retiring, self.deferred, runs)
        pinned = {self.pin.record} if self.pin is not None else set()
        return frozenset(entry.release for entry in placed if entry is not None) | pinned


def render_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The moment of an RFC 3339 text; ValueError when it is none."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)


def dump_state(state: ReleaseState) -> str:
    """The state as compact JSON; fields without a value are left out."""
    return json.dumps({"format": FORMAT, **_plain(state)}, separators=(",", ":"), sort_keys=True)


def load_state(text: str) -> ReleaseState:
    """The state of `dump_state`, also of a later operator's, whose new fields are ignored.

    RecordError when the text is not one, or of a later format.
    """
    try:
        raw = json.loads(text)
        if raw.get("format") != FORMAT:
            raise RecordError(
                f"the release's progress has format {raw.get('format')!r}, this operator knows {FORMAT}",
                mend="run the operator version that wrote it, or a later one",
            )
        if not {"serial", "last"} <= raw.keys():
            raise ValueError("serial or last is missing")
        state: ReleaseState = _read(ReleaseState, raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"the release's progress cannot be read: {error}") from error
    return state


def newest(*candidates: ReleaseState | None) -> ReleaseState:
    """The one with the highest serial; an empty state when there is none."""
    return max((entry for entry in candidates if entry is not None), key=lambda entry: entry.serial, default=INITIAL)


def advanced(state: ReleaseState, **changes: Any) -> ReleaseState:
    """A changed copy with the next serial; the same object when nothing differs."""
    changed = replace(state, **changes)
    return state if changed == state else replace(changed, serial=state.serial + 1)


def only_held(before: ReleaseState, after: ReleaseState) -> bool:
    """Whether nothing but the judged seconds and counters moved on: worth a status, and not worth a copy of it."""
    if before.candidate is None or after.candidate is None:
        return False
    newest = after.candidate
    held = replace(before.candidate, held=newest.held, evidence=newest.evidence, checks=newest.checks)
    return replace(before, serial=after.serial, candidate=held) == after


INITIAL = ReleaseState()
#: Times of a candidate that are counted from: they go along when the wall clock is set.
COUNTED_TIMES = (
    "stage_at",
    "step_started_at",
    "unready_since",
)


#: The clocks of a machine drift and are slewed; what is more was set.
CLOCK_SET_SECONDS = 2.0
#: The clocks of two nodes are so far apart at most, when both are right.
APART_SECONDS = 2.0


def not_to_come(state: ReleaseState, now: datetime) -> ReleaseState:
    """The same without times that are still to come: another clock, which was ahead, told them. They count from now.

    Budgets that begin in an hour would not be over for an hour, and what leaves would stay for as long.
    """
    latest = now + timedelta(seconds=APART_SECONDS)
    candidate, leaving = state.candidate, state.retiring
    if candidate is not None:
        times = {name: getattr(candidate, name) for name in COUNTED_TIMES}
        ahead: dict[str, Any] = {name: now for name, value in times.items() if value is not None and value > latest}
        checks = {name: _not_after(count, latest, now) for name, count in candidate.checks.items()}
        candidate = replace(candidate, checks=checks, **ahead) if ahead or checks != candidate.checks else candidate
    if leaving is not None and leaving.stage_at > latest:
        until = now + (leaving.until - leaving.stage_at) if leaving.until is not None else None
        leaving = replace(leaving, stage_at=now, until=until)
    running = state.contracting
    if running is not None and running.since > latest:
        running = replace(running, since=now)
    return advanced(state, candidate=candidate, retiring=leaving, contracting=running)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return render_time(value)
    if hasattr(value, "__dataclass_fields__"):
        known = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return {name: _plain(entry) for name, entry in known.items() if entry is not None}
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return value


def _read(kind: Any, raw: Mapping[str, Any]) -> Any:
    """An object of a type of this file. What the type does not know was written by a later operator, and is ignored."""
    types = _types(kind)
    known = {entry.name: _value(types[entry.name], raw[entry.name]) for entry in fields(kind) if entry.name in raw}
    return kind(**known)


@cache
def _types(kind: Any) -> dict[str, Any]:
    """Types of the fields; to work them out takes longer than the reading."""
    return get_type_hints(kind)


def _value(type_: Any, raw: Any) -> Any:
    options = [option for option in get_args(type_) if option is not type(None)]
    if isinstance(type_, UnionType) and len(options) == 1:
        return _value(options[0], raw)
    if get_origin(type_) is dict and is_dataclass(get_args(type_)[1]):
        return {name: _read(get_args(type_)[1], entry) for name, entry in raw.items()}
    if get_origin(type_) is not None or not isinstance(type_, type):
        return raw
    if issubclass(type_, datetime):
        return parse_time(raw)
    if issubclass(type_, StrEnum):
        return type_(raw)
    return _read(type_, raw) if is_dataclass(type_) else raw
