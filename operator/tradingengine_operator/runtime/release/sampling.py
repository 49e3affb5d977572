"""What a candidate with weight is judged by: what the metrics server counted, own requests, and the time judged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import names
from tradingengine_operator.flows.analysis import was_judged
from tradingengine_operator.flows.error_rate import windows
from tradingengine_operator.flows.observation import ReleaseObservation
from tradingengine_operator.flows.pod_observation import is_ready, of_component
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.state import Candidate, Placed, ReleaseState, Stage
from tradingengine_operator.runtime.reconcile.children import pod_address
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.samples import OwnAnswer

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


class Sampler:
    """Completes an observation with what only matters while a candidate has weight."""

    def __init__(self) -> None:
        self._judged = JudgedTime()
        self._clock = ClockWatch()

    async def complete(
        self, p: Pass, state: ReleaseState, seen: ReleaseObservation, policy: Policy
    ) -> ReleaseObservation:
        """Samples of both releases, own requests where clients ask too little, and the time judged."""
        candidate, stable = state.candidate, state.stable
        now, tick = p.tools.clock(), p.tools.ticks()
        seen = replace(seen, clock_jump=self._clock.look(now, tick))
        if candidate is None or stable is None or candidate.weight == 0:
            self._judged.look(None, tick, judged=False)
            return seen
        if not policy.error_rate_disabled:
            seen = await self._sampled(p, seen, candidate, stable, policy)
        judged = was_judged(candidate, seen, policy, p.tools.clock())
        return replace(seen, judged=self._judged.look(candidate, tick, judged=judged))

    async def _sampled(
        self, p: Pass, seen: ReleaseObservation, candidate: Candidate, stable: Placed, policy: Policy
    ) -> ReleaseObservation:
        now = p.tools.clock()
        asked = windows(candidate, now)
        if not asked:
            return seen
        url, whose = prometheus_url(p), (p.namespace, p.ctx.name)
        of_canary, of_stable = await asyncio.gather(
            p.tools.prometheus.counts(url, whose, (candidate.slot, candidate.release), asked, now),
            p.tools.prometheus.counts(url, whose, (stable.slot, stable.release), asked, now),
        )
        idle = [part for part in names.SLOT_COMPONENTS if of_canary.enough(part, policy.min_samples) is None]
        own = await _ask_all(p, candidate.slot, idle)
        failing = [part for part, answer in own.items() if answer.failed]
        own_of_stable = await _ask_all(p, stable.slot, [part for part in idle if part in failing])
        return replace(seen, canary=of_canary, stable=of_stable, own_answers=own, stable_own_answers=own_of_stable)


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
