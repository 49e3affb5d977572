"""What a candidate with weight is judged by: what came in, what was learnt of it, who answers, and the time judged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import names
from tradingengine_operator.clients.prometheus import Asked
from tradingengine_operator.flows.analysis import tally, was_judged
from tradingengine_operator.flows.checks.alive import FRESH_SECONDS
from tradingengine_operator.flows.look import Look, Second, kind_of
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.pod_observation import is_ready, of_component
from tradingengine_operator.flows.policy import CheckPolicy, Policy
from tradingengine_operator.flows.sequential import Evidence, learn, load_evidence
from tradingengine_operator.flows.state import (
    CLOCK_SET_SECONDS,
    Candidate,
    CheckCount,
    Placed,
    ReleaseState,
    Stage,
    moved_by,
    not_to_come,
)
from tradingengine_operator.runtime.reconcile.children import pod_address
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.release.meter import IdleWatch, Meter
from tradingengine_operator.runtime.release.slots import control_token
from tradingengine_operator.samples import OwnAnswer, OwnValue, Reading, Trials

#: A pod that lets the control API wait for so long does not answer.
CONTROL_SECONDS = 1.0
#: The operator's own requests begin before clients' are missing, so that their answer is there by then.
OWN_REQUEST_SECONDS = FRESH_SECONDS - 1.0
#: Looks come each second; after a longer gap nobody knows what went on in it.
GAP_SECONDS = 5.0
_Mark = tuple[int, int, float]


@dataclass
class JudgedTime:
    """Seconds for which a step's hold was judged since its `held` was stored; ticks are of a clock that never jumps.

    An operator that was just started has judged nothing yet, and a gap (paused, away, stuck) adds nothing, nor does the
    time in which a person holds the release.
    """

    mark: _Mark | None = None
    judged: float = 0.0
    last: float | None = None

    def look(self, candidate: Candidate | None, tick: float, *, judged: bool) -> float:
        """Judged seconds up to this look; `judged` says whether this moment has its evidence."""
        if candidate is None or candidate.stage is not Stage.HOLDING or candidate.paused is not None:
            self.mark = None
            return 0.0
        mark = (candidate.release, candidate.step, candidate.held)
        if mark != self.mark:
            same_step = self.mark is not None and self.mark[:2] == mark[:2]
            self.mark, self.judged, self.last = mark, 0.0, self.last if same_step else None
        if judged and self.last is not None and 0 <= tick - self.last <= GAP_SECONDS:
            self.judged += tick - self.last
        self.last = tick if judged else None
        return self.judged


@dataclass
class ClockWatch:
    """Notices a wall clock that was set, by one that never jumps."""

    last: tuple[datetime, float] | None = None

    def look(self, now: datetime, tick: float) -> float:
        """By how many seconds the wall clock went another way than the ticks since the last look."""
        before, self.last = self.last, (now, tick)
        if before is None:
            return 0.0
        return (now - before[0]).total_seconds() - (tick - before[1])


@dataclass
class Learner:
    """What was learnt of the candidate, as it was stored, and what came in since."""

    _mark: tuple[int, int] | None = None
    _evidence: dict[str, Evidence] = field(default_factory=dict)

    def look(self, candidate: Candidate, seconds: dict[str, Second], policy: Policy) -> dict[str, Evidence]:
        """Evidence by kind of request, one second further."""
        mark = (candidate.release, candidate.step)
        if self._mark is None or self._mark[0] != mark[0]:
            self._evidence = {kind: load_evidence(numbers) for kind, numbers in candidate.evidence.items()}
        elif self._mark != mark:
            self._evidence = {kind: found.next_step() for kind, found in self._evidence.items()}
        self._mark = mark
        shares = {check.name: check.share for check in policy.enabled if check.query is None}
        for kind, second in seconds.items():
            share = shares.get(kind.partition("/")[0])
            if share is not None:
                self._evidence[kind] = learn(self._evidence.get(kind, Evidence()), second.canary, second.stable, share)
        for check in policy.enabled:
            self._count_value(check, seconds)
        known = {check.name for check in policy.enabled}
        return {kind: found for kind, found in self._evidence.items() if kind.partition("/")[0] in known}

    def _count_value(self, check: CheckPolicy, seconds: dict[str, Second]) -> None:
        kind = kind_of(check.name, "", "")
        if check.query is not None and kind in seconds:
            before = self._evidence.get(kind, Evidence())
            self._evidence[kind] = replace(before, step=before.step + seconds[kind].canary)

    def forget(self) -> None:
        """Nothing is judged."""
        self._mark, self._evidence = None, {}


@dataclass
class Tally:
    """Counters of the candidate's checks: as they were stored when this process began, moved on with each look.

    They are stored only when that is worth a write (`flows/analysis.py`).
    """

    _release: int | None = None
    _counts: dict[str, CheckCount] = field(default_factory=dict)

    def look(
        self, state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime
    ) -> dict[str, CheckCount]:
        """Counters after this look, of the state as it was stored."""
        candidate = not_to_come(state, now).candidate
        if candidate is None:
            return {}
        if self._release != candidate.release:
            self._release, self._counts = candidate.release, dict(candidate.checks)
        elif abs(seen.clock_jump) >= CLOCK_SET_SECONDS:
            by = timedelta(seconds=seen.clock_jump)
            self._counts = {name: moved_by(count, by) for name, count in self._counts.items()}
        self._counts = tally(candidate, seen, policy, now, self._counts)
        return dict(self._counts)

    def forget(self) -> None:
        """Nothing is judged."""
        self._release, self._counts = None, {}


class Sampler:
    """Completes an observation with what only matters while a candidate has weight."""

    def __init__(self) -> None:
        self._judged = JudgedTime()
        self._clock = ClockWatch()
        self._meter = Meter()
        self._idle = IdleWatch()
        self._learner = Learner()
        self._tally = Tally()

    async def complete(
        self, p: Pass, state: ReleaseState, seen: ReleaseObservation, policy: Policy
    ) -> ReleaseObservation:
        """What both releases did since the last look, whether their pods answer, and the time judged."""
        candidate, stable = state.candidate, state.stable
        now, tick = p.tools.clock(), p.tools.ticks()
        seen = replace(seen, clock_jump=self._clock.look(now, tick))
        if candidate is None or stable is None or candidate.weight == 0:
            self._judged.look(None, tick, judged=False)
            self._learner.forget()
            self._tally.forget()
            self._meter, self._idle = Meter(), IdleWatch()
            return seen
        seen = replace(seen, look=await self._look(p, candidate, stable, policy))
        looked = p.tools.clock()
        counts = self._tally.look(state, seen, policy, looked)
        judged = was_judged(replace(candidate, checks=counts), seen, policy, looked)
        return replace(seen, judged=self._judged.look(candidate, tick, judged=judged), counts=counts)

    async def _look(self, p: Pass, candidate: Candidate, stable: Placed, policy: Policy) -> Look:
        at = p.tools.clock()
        own = self._idle.unasked(OWN_REQUEST_SECONDS) if policy.check("error-rate") is not None else []
        reading, mute, stable_mute, answers = await asyncio.gather(
            _read(p, candidate, stable, policy, at),
            _mute(p, candidate.slot),
            _mute(p, stable.slot),
            _ask_all(p, candidate.slot, own),
        )
        failing = [part for part in own if answers[part].failed]
        stable_answers = await _ask_all(p, stable.slot, failing)
        look = Look(
            at,
            mute=tuple(mute),
            stable_mute=tuple(stable_mute),
            own_answers=answers,
            stable_own_answers=stable_answers,
        )
        return look if reading is None else self._counted(p, look, reading, (candidate, stable), policy)

    def _counted(self, p: Pass, look: Look, reading: Reading, judged: tuple[Candidate, Placed], policy: Policy) -> Look:
        """The look with what the metrics server had."""
        candidate, stable = judged
        tick = p.tools.ticks()
        if reading.silent:
            evidence = self._learner.look(candidate, {}, policy)
            return replace(look, silent=reading.silent, evidence=evidence)
        seconds = self._meter.look(reading, policy.enabled, candidate.release, stable.release)
        idle = self._idle.look(seconds, tick)
        values = {check.name: _value(reading, check.name, candidate.release) for check in policy.enabled if check.query}
        counted = {
            kind_of(name, "", ""): Second(Trials(1)) for name, found in values.items() if found.value is not None
        }
        return replace(
            look,
            gateway_silent=_gateway_silent(policy, reading),
            seconds=seconds,
            evidence=self._learner.look(candidate, {**seconds, **counted}, policy),
            ages=_ages(p, candidate.slot, reading),
            idle=idle,
            watched=self._idle.watched,
            stable_rate=self._idle.stable_rate,
            probed=self._idle.probed(FRESH_SECONDS),
            values=values,
            stable_values={name: _value(reading, name, stable.release) for name in values},
        )


async def _read(p: Pass, candidate: Candidate, stable: Placed, policy: Policy, at: datetime) -> Reading | None:
    """The metrics server's answer; None when no check needs one."""
    if not policy.enabled:
        return None
    bounds = {check.name: check.bound for check in policy.checks if check.bound is not None}
    asked = Asked(
        p.namespace,
        p.ctx.name,
        {candidate.slot: candidate.release, stable.slot: stable.release},
        bounds["latency-p95"],
        bounds["order-latency"],
        {check.name: check.query for check in policy.enabled if check.query is not None},
        bool(policy.gateway),
    )
    return await p.tools.prometheus.read(prometheus_url(p), asked, at)


def _gateway_silent(policy: Policy, reading: Reading) -> str:
    """Why nothing fresh is known of the Gateway; empty when something is, or nothing is asked."""
    fresh = any(entry.answered and entry.age < FRESH_SECONDS for entry in reading.gateway.values())
    if not policy.gateway or fresh:
        return ""
    return f"the metrics server has no sample of the Gateway's own metrics younger than {FRESH_SECONDS:g} s" + (
        f" ({policy.gateway}, job {names.GATEWAY_JOB})"
    )


def _value(reading: Reading, name: str, release: int) -> OwnValue:
    return reading.own.get((name, release), OwnValue())


def _ready(p: Pass, slot: Slot, component: names.SlotComponent) -> dict[str, str]:
    """Addresses of the ready pods of a component, by pod."""
    pods = [pod for pod in of_component(p.children.pods, component, slot) if is_ready(pod)]
    return {pod["metadata"]["name"]: address for pod in pods if (address := pod_address(pod))}


def _ages(p: Pass, slot: Slot, reading: Reading) -> dict[str, float | None]:
    """How old the newest scrape of a component's ready pods is, the oldest of them; None when one of them failed.

    A pod that the metrics server has not found yet counts only when none of its component was found.
    """
    ages: dict[str, float | None] = {}
    for part in names.SLOT_COMPONENTS:
        known = [reading.scrapes.get(address) for address in _ready(p, slot, part).values()]
        found = [entry for entry in known if entry is not None]
        good = [entry.age for entry in found if entry.answered]
        ages[part] = max(good) if good and len(good) == len(found) else None
    return ages


async def _mute(p: Pass, slot: Slot) -> list[str]:
    """Ready pods that do not answer the control API."""
    token = control_token(p)
    pods = {pod: where for part in names.SLOT_COMPONENTS for pod, where in _ready(p, slot, part).items()}
    if not token:
        return []
    answers = await asyncio.gather(
        *(p.tools.control.answers(address, token, CONTROL_SECONDS) for address in pods.values())
    )
    return [f"{pod} to the control API" for pod, answered in zip(pods, answers, strict=True) if not answered]


def prometheus_url(p: Pass) -> str:
    """The Prometheus that judges: the one that is named, or the embedded one."""
    return p.ctx.spec.monitoring.prometheus or names.prometheus_url(p.ctx.name, p.namespace)


async def _ask_all(p: Pass, slot: Slot, components: list[names.SlotComponent]) -> dict[str, OwnAnswer]:
    """One request to each ready pod of these components of a slot."""

    async def ask(component: names.SlotComponent) -> OwnAnswer:
        pods = [pod for pod in of_component(p.children.pods, component, slot) if is_ready(pod)]
        addresses = [address for pod in pods if (address := pod_address(pod))]
        return await p.tools.pages.ask(component, addresses, p.ctx.spec.host)

    answers = await asyncio.gather(*(ask(component) for component in components))
    return dict(zip(components, answers, strict=True))
