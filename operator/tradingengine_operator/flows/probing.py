"""Whose program the prober runs, and for how long it is waited for: it must not keep a mend from people. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .observation import ReleaseObservation
from .state import Candidate, ReleaseState

#: A prober that is not ready so long after the slot's pods were asked for is done without; seconds.
PROBER_SECONDS = 60.0


def prober_of(state: ReleaseState, seen: ReleaseObservation) -> int | None:
    """Number of the record that the prober is made from, None while nobody is to be asked.

    It is the serving release's, so that nothing is judged by its own program, unless that is lost or does not start.
    """
    candidate, stable = state.candidate, state.stable
    if candidate is None or stable is None:
        return None
    own = candidate.probes_itself or not seen.records.get(stable.release)
    return candidate.release if own else stable.release


def probing_itself(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation) -> Candidate:
    """The candidate, which from now on is asked by its own program where the one that serves has no ready pod.

    It stays so: a prober that changed with each readiness of the serving pods would ask nothing in between.
    """
    stable = state.stable
    if stable is None or candidate.probes_itself or seen.prober.ready or seen.slots[stable.slot].serving:
        return candidate
    return replace(candidate, probes_itself=True)


def is_waited_for(state: ReleaseState, candidate: Candidate, seen: ReleaseObservation, now: datetime) -> bool:
    """Whether a candidate gets no weight yet because of the prober.

    One that is taken back at once has served before, and people wait for it.
    """
    if state.stable is None or candidate.at_once or seen.prober.ready:
        return False
    return (now - candidate.stage_at).total_seconds() < PROBER_SECONDS


def without_prober(state: ReleaseState, seen: ReleaseObservation) -> str:
    """What people are told while a release with weight is judged without it, empty where it is ready.

    It comes a little later than the weight of what is taken back at once, which is no news.
    """
    candidate = state.candidate
    if candidate is None or state.stable is None or not candidate.weight or candidate.at_once or seen.prober.ready:
        return ""
    why = f" ({seen.prober.waiting})" if seen.prober.waiting else ""
    return f"the prober is not ready{why}: the release is judged on the requests of clients alone"
