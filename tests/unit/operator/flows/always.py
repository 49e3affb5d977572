"""What must hold after each pass of the release flow, whatever happened: worked out from the world alone.

Never from what the flow thought of it: this is how people would see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis.stateful import RuleBasedStateMachine
from tradingengine_operator.api import Slot
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.state import ReleaseState

from .model import POLICY, WorldModel

#: A weight rises, and a release is promoted, on samples younger than this alone.
FRESH = timedelta(seconds=3)
#: How long a component may be without a ready pod whose pods were taken away, and not failing.
REPLACED = timedelta(seconds=POLICY.replace_budget + 2)


@dataclass(frozen=True)
class Sample:
    """What was last counted of a release: when, and whether it was good."""

    release: int
    at: datetime
    good: bool


class Always(RuleBasedStateMachine):
    """Passes on a world, and what must hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.world = WorldModel()
        self.policy: Policy = POLICY
        self.sample: Sample | None = None
        self.gone_since: dict[Slot, datetime] = {}

    def _passes(self, count: int) -> None:
        for _ in range(count):
            self._pass(done=True)

    def _pass(self, *, done: bool = False, kill: int | None = None) -> None:
        """One pass and what must hold after it, then a second of time."""
        world = self.world
        before = world.state()
        ready = {slot: self._ready(slot) for slot in world.slots}
        serving = world.slots[before.stable.slot].components if before.stable is not None else {}
        carried = {part: entry.ready for part, entry in serving.items()}
        self._note_gone()
        world.turn(self.policy, kill_after=kill)
        self._note_sample(before)
        after = world.state()
        self._nobody_is_lost(before, after)
        self._nothing_rises_blindly(before, after, ready, carried)
        if kill is None:
            self._nobody_is_sent_to_nobody(after)
            self._market_hours_are_kept(before, after)
        if done:
            world.settle()
        world.go(1)

    def _nobody_is_lost(self, before: ReleaseState, after: ReleaseState) -> None:
        """What serves is there, from its record, and takes all that the new release does not."""
        world = self.world
        assert after.stable is not None
        assert after.stable.release in world.records
        assert world.slots[after.stable.slot].release == after.stable.release
        assert sum(world.weights.values()) == FULL
        assert all(slot in world.slots for slot, weight in world.weights.items() if weight)
        if after.stable != before.stable:
            assert before.candidate is not None
            assert after.stable.release == before.candidate.release

    def _nothing_rises_blindly(
        self, before: ReleaseState, after: ReleaseState, ready: dict[Slot, bool], carried: dict[str, int]
    ) -> None:
        """A weight rises from one step to the next, and a release is promoted, on fresh good samples and all pods."""
        old, new = before.candidate, after.candidate
        if old is None or not old.weight:
            return
        raised = new is not None and new.release == old.release and new.weight > old.weight
        promoted = after.stable is not None and after.stable.release == old.release
        if not raised and not promoted:
            return
        if not raised and old.at_once and self.world.hash != old.template_hash and before.pin is None:
            # A person put everybody there at once; a newer wish waits a minute for that, and no weight rises.
            assert all(part.ready for part in self.world.slots[old.slot].components.values())
            return
        world, sample = self.world, self.sample
        assert sample is not None
        assert sample.release == old.release
        assert sample.good, f"{sample} of {old}"
        assert world.now - sample.at < FRESH
        assert not world.no_server
        assert all(age is not None and age < FRESH.total_seconds() for age in world.ages.values()), world.ages
        assert not world.mute.get(old.release)
        assert ready[old.slot]
        for part, entry in world.slots[old.slot].components.items():
            assert entry.ready >= carried[part], f"{part} has fewer pods than carry the load now"

    def _nobody_is_sent_to_nobody(self, after: ReleaseState) -> None:
        """A new release has weight only while every component has a ready pod, or its pods are being replaced."""
        candidate = after.candidate
        if candidate is None or not candidate.weight:
            return
        model = self.world.slots[candidate.slot]
        for part, entry in model.components.items():
            replaced = entry.starting == entry.wanted and not entry.failing
            since = self.gone_since.get(candidate.slot, self.world.now)
            gone = self.world.now - since
            assert entry.ready or (replaced and gone <= REPLACED), f"{part} of {candidate}: {entry} for {gone}"

    def _market_hours_are_kept(self, before: ReleaseState, after: ReleaseState) -> None:
        """While a market is open no release gets more weight, and none has any where it is to give way.

        Not where a person said so, or goes back.
        """
        candidate, market, now = after.candidate, self.world.market, self.world.wall()
        opened = market is not None and any(entry.opens <= now < entry.closes for entry in market.sessions)
        if candidate is None or not self.policy.outside_hours or not opened or candidate.at_once:
            return
        if after.pin is not None or after.override is not None:
            return
        old = before.candidate.weight if before.candidate is not None else 0
        assert candidate.weight <= (old if self.policy.hold_on_open else 0)

    def _note_sample(self, before: ReleaseState) -> None:
        """What the metrics server was asked in this pass, if it was."""
        candidate, world = before.candidate, self.world
        if candidate is None or not candidate.weight or world.counted_at != world.now:
            return
        share = world.rates.get(candidate.release, world.default_rate)
        if share is not None:
            good = share == "0" and world.slow.get(candidate.release, "0") == "0"
            self.sample = Sample(candidate.release, world.now, good)

    def _note_gone(self) -> None:
        for slot, model in self.world.slots.items():
            if all(entry.ready for entry in model.components.values()):
                self.gone_since.pop(slot, None)
            else:
                self.gone_since.setdefault(slot, self.world.now)

    def _ready(self, slot: Slot) -> bool:
        return all(entry.ready >= entry.wanted for entry in self.world.slots[slot].components.values())

    def _newest(self) -> int:
        state = self.world.state()
        placed = state.candidate or state.stable
        return placed.release if placed is not None else 1

    def _slot(self, *, newest: bool) -> Slot:
        state = self.world.state()
        placed = (state.candidate if newest else None) or state.stable
        return placed.slot if placed is not None else "a"

    def _needed(self) -> set[int]:
        """Records without which something that serves or is warm could not be applied."""
        state = self.world.state()
        return {entry.release for entry in (state.stable, state.retiring) if entry is not None}

    def _answered(self, state: ReleaseState) -> bool:
        """What is wished for serves, or a record stands in for it, or it was withdrawn with a reason."""
        assert state.stable is not None
        made = self.world.records[state.stable.release]
        return (
            made == self.world.hash
            or state.pin is not None
            or (state.withdrawn is not None and bool(state.withdrawn.reason))
        )
